import {realClock, within, type Clock} from './clock.js'
import type {Wiring} from './connection.js'
import {RingdownError} from './errors.js'
import type {Transport, TransportName} from './line.js'
import {json, type Codec} from './protocol.js'
import {pollTransport} from './poll.js'
import {sseTransport} from './sse.js'
import {webSocketTransport, type WebSocketClass} from './websocket.js'

/** Why a token is asked for. */
export type TokenReason = 'connect' | 'reconnect' | 'expiring' | 'expired' | 'refused'
export type TokenSource = string | ((reason: TokenReason) => string | null | undefined | Promise<string | null | undefined>)

/** Answers with a token, with undefined for an anonymous client, or with why there is none. */
export async function askToken(source: TokenSource | undefined, why: TokenReason, clock: Clock, ms: number): Promise<string | undefined | RingdownError> {
  if (typeof source !== 'function') return source
  const none = (message: string) => new RingdownError('unauthorized', message, {retryable: true})
  const asked = (async () => source(why))().then(
    (token) => token || none('the token function answered with no token'),
    (cause) => none(`the token function failed: ${cause?.message ?? cause}`),
  )
  return within(clock, ms, asked, none('the token function has not answered in time'))
}

/** How the client goes about it. All times are milliseconds. */
export interface Settings {
  /** The transports to use, the best first. */
  transports: TransportName[]
  /** For a line to be open, and for `welcome` to come then. */
  openTimeout: number
  /** For the token function to answer. */
  tokenTimeout: number
  /** For `welcome` on an open stream: one that comes later is held up by something in between. */
  bufferedTimeout: number
  /** For an answer to a probe. */
  probeTimeout: number
  /** How much longer than the server's heartbeat a line may be silent. */
  silence: number
  /** How often silence and the clock are looked at. */
  watch: number
  /** The longest first delay before another attempt; it doubles up to backoffCap. */
  backoffBase: number
  backoffCap: number
  /** A line that has lived so long lets failures before it be forgotten. */
  healthy: number
  /** How long a worse transport is used before a better one is tried; doubles up to betterCap. */
  betterAfter: number
  betterCap: number
  /** Publications, and bytes of their data, that wait for their acknowledgement. */
  outboxMessages: number
  outboxBytes: number
  /** How long a publication may wait to be sent. */
  publishTimeout: number
  /** How long an acknowledgement may take on a live line before it is looked into. */
  ackTimeout: number
  callTimeout: number
  requestTimeout: number
  /** Publications of one channel that are under way at a time. More than one may change their order when one is refused. */
  pipeline: number
  /** How long a channel that nobody follows any more is kept, for pages that go and come. */
  grace: number
}

export const defaults: Settings = {
  transports: ['websocket', 'sse', 'poll'],
  openTimeout: 10_000, tokenTimeout: 10_000, bufferedTimeout: 5_000, probeTimeout: 3_000,
  silence: 15_000, watch: 5_000, backoffBase: 500, backoffCap: 20_000, healthy: 30_000,
  betterAfter: 60_000, betterCap: 600_000,
  outboxMessages: 1_000, outboxBytes: 1 << 20, publishTimeout: 120_000, ackTimeout: 10_000,
  callTimeout: 10_000, requestTimeout: 10_000, pipeline: 1, grace: 1_000,
}

export interface Options extends Partial<Settings> {
  /** A token, or what answers with a fresh one: it is asked before every opening of a line and before a token expires. Without it the client is anonymous. */
  token?: TokenSource
  /** One connection for all tabs of a browser: `tabs()` of `@ringdown/client/tabs`. */
  share?: Wiring
  /** How messages are written on a WebSocket: JSON, or `protobuf` of `@ringdown/client/protobuf`. */
  codec?: Codec
  /** Where the platform has none: the class of the package ws, say. */
  WebSocket?: WebSocketClass
  /** What tests replace. */
  environment?: Partial<Environment>
}

/** What the client needs of the world. */
export interface Environment {
  clock: Clock
  transport(name: TransportName): Transport
  /** Tells when somebody is back: a page comes into view, or the network does; and that a page is put away, or stands still from now on. Returns how to stop. */
  watch(back: (network: boolean) => void, hide: () => void, freeze?: () => void): () => void
}

export function environment(o: Options): Environment {
  const socket = webSocketTransport(o.codec ?? json, () => o.WebSocket ?? (globalThis as any).WebSocket)
  return {
    clock: realClock,
    transport: (name) => (name === 'websocket' ? socket : name === 'sse' ? sseTransport : pollTransport),
    watch: watchPage,
    ...o.environment,
  }
}

/** Listens to what a page, a worker or nothing at all tells of coming and going. */
function watchPage(back: (network: boolean) => void, hide: () => void, freeze?: () => void): () => void {
  const target = globalThis as any
  if (typeof target.addEventListener !== 'function') return () => {}
  const stop = new AbortController()
  const on = (t: any, name: string, fn: (e: any) => void) => t?.addEventListener?.(name, fn, {signal: stop.signal})
  const page = target.document
  on(target, 'online', () => back(true))
  on(target, 'focus', () => back(false))
  on(target, 'pageshow', (e) => e.persisted && back(false))
  on(target, 'pagehide', (e) => e.persisted && hide())
  on(page, 'visibilitychange', () => page.visibilityState === 'visible' && back(false))
  on(page, 'resume', () => back(false))
  on(page, 'freeze', () => freeze?.())
  return () => stop.abort()
}
