/** Codes of the server, and of the client itself: `unknown` (it was sent, and whether it was
 * done is not known), `timeout`, `closed`, `aborted`. More may be added. */
export type Code =
  | 'bad_request' | 'unauthorized' | 'forbidden' | 'not_found' | 'too_large' | 'invalid_data' | 'rate_limited'
  | 'limit_exceeded' | 'conflict' | 'not_subscribed' | 'no_backend' | 'backend_failed' | 'unavailable' | 'timeout'
  | 'internal' | 'unknown' | 'closed' | 'aborted' | (string & {})

/** What an error says besides its code and message. */
export interface Details {
  retryable?: boolean
  retry_after?: number
  href?: string
  rule?: string
  limit?: string
  reason?: string
  did_you_mean?: string
  close?: number
}

/** Why something was refused or could not be done. */
export class RingdownError extends Error {
  override readonly name = 'RingdownError'
  /** Whether the same request may succeed later. */
  readonly retryable: boolean
  /** Not before so many milliseconds; 0 says nothing. */
  readonly retryAfter: number
  /** The page about this code, on the server. */
  readonly href?: string
  /** The rule that refused, by its name. */
  readonly rule?: string
  /** The limit that was reached, by its key in the server's configuration. */
  readonly limit?: string
  /** What refused where it is neither a rule nor a limit. */
  readonly reason?: string
  /** The verb that was perhaps meant. */
  readonly didYouMean?: string

  constructor(readonly code: Code, message: string, details: Details = {}, readonly channel?: string) {
    super(message)
    this.retryable = details.retryable ?? false
    this.retryAfter = (details.retry_after ?? 0) * 1000
    this.href = details.href
    this.rule = details.rule
    this.limit = details.limit
    this.reason = details.reason
    this.didYouMean = details.did_you_mean
  }
}

/** An error as data, which readError reads. */
export function packed(e: RingdownError): object {
  return {...e, message: e.message, retry_after: e.retryAfter / 1000, did_you_mean: e.didYouMean}
}

/** Reads the data of an `error` message, or a problem document; undefined if it is neither. */
export function readError(data: any, channel?: string): RingdownError | undefined {
  if (typeof data?.code !== 'string') return undefined
  return new RingdownError(data.code, data.message ?? data.detail ?? data.code, data, channel)
}
