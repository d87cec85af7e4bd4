import type {RingdownError} from './errors.js'
import type {Item, Message} from './protocol.js'

export type TransportName = 'websocket' | 'sse' | 'poll'

/** What a line is opened with. */
export interface Opening {
  /** http: or https:, without a slash at its end. */
  url: string
  query: Record<string, string>
  token?: string
  /** For streams and polls, which say in their body what they begin with. */
  channels: Item[]
}

/** How a line ended. With neither code nor status, it broke. */
export interface End {
  code?: number
  status?: number
  /** What the server said; without it, somebody in between may have answered. */
  error?: RingdownError
  /** Milliseconds to wait at least, as an answer said. */
  retryAfter?: number
}

/** What a line tells. After ended, and after its close(), it tells nothing more. */
export interface LineEvents {
  opened(): void
  message(m: Message): void
  /** Something came that is no message. */
  heard(): void
  ended(end: End): void
}

/** One line to the server, of one transport. It ends once. */
export interface Line {
  send(m: Message): void
  close(code?: number): void
}

export interface Transport {
  readonly name: TransportName
  open(o: Opening, events: LineEvents): Line
  /** Asks why a line cannot be opened, where its transport cannot tell. */
  explain?(o: Opening): Promise<End | undefined>
}
