import {backoff, randomId, Timer, type Clock} from './clock.js'
import {RingdownError} from './errors.js'
import type {Settings} from './options.js'
import type {Message} from './protocol.js'

export interface Ack {
  /** Missing where the message is not kept. */
  epoch?: string
  offset?: number
}

/** A publication that waits for its acknowledgement. */
export interface Entry {
  readonly message: Message
  readonly size: number
  firstSent?: number
  failures: number
  due: number // not to be sent before
  id?: number // under which it is on the line
  readonly again: Timer // it is to be looked at
  settle(result: Ack | RingdownError): void
}

/** Keeps publications elsewhere as well. */
export interface Keeper {
  /** Takes an entry, or what has become of it: it was sent. */
  put(e: Entry): void
  remove(e: Entry): void
  /** Puts what was kept before in front, before anything is sent on a new line. */
  before(): Promise<unknown>
}

/** Where a publication is kept until it is acknowledged. */
export class Outbox {
  private readonly channels = new Map<string, Entry[]>()
  private readonly sent = new Map<number, Entry>()
  private count = 0
  private bytes = 0
  private up = false

  /** Where publications are kept over reloads. */
  keeper?: Keeper

  constructor(
    private readonly settings: Settings,
    private readonly clock: Clock,
    private readonly send: (m: Message) => number, // answers with the id that it was given
    private readonly probe: () => void,
    readonly window: () => number, // for which the server remembers dedupe keys
  ) {}

  /** kept is an entry of another time, which goes in front. */
  add(message: Message, {timeout = this.settings.publishTimeout, signal}: {timeout?: number; signal?: AbortSignal} = {}, kept?: {firstSent?: number}): Promise<Ack> {
    const {data} = message
    const size = data instanceof Uint8Array ? data.length : (JSON.stringify(data)?.length ?? 0)
    if (signal?.aborted) return Promise.reject(aborted())
    if (this.count >= this.settings.outboxMessages || this.bytes + size > this.settings.outboxBytes) {
      const text = `${this.count} publications with ${this.bytes} bytes wait for an acknowledgement: there is no room`
      return Promise.reject(new RingdownError('limit_exceeded', text, {limit: 'outbox', retryable: true}, message.channel))
    }
    return new Promise((resolve, reject) => {
      const entry: Entry = {
        message: {...message, dedupe: message.dedupe ?? randomId()}, size, failures: 0, due: 0, again: new Timer(this.clock), firstSent: kept?.firstSent,
        settle: (result) => {
          stop()
          entry.again.stop()
          signal?.removeEventListener('abort', cancel)
          this.remove(entry)
          if (result instanceof RingdownError) reject(result)
          else resolve(result)
        },
      }
      const cancel = () => entry.settle(entry.firstSent === undefined ? aborted() : unknown(message.channel))
      const late = () => {
        if (entry.firstSent === undefined) entry.settle(new RingdownError('timeout', 'it was not sent in time, and will not be', {retryable: true}, message.channel))
      }
      const stop = this.clock.after(timeout, late)
      signal?.addEventListener('abort', cancel)
      this.count++
      this.bytes += size
      const list = this.channels.get(message.channel!)
      if (!list) this.channels.set(message.channel!, [entry])
      else if (kept) list.unshift(entry)
      else list.push(entry)
      this.keeper?.put(entry)
      this.flush(message.channel!)
    })
  }

  /** A line is there. */
  start(): void {
    this.up = true
    for (const channel of [...this.channels.keys()]) this.flush(channel)
  }

  /** The line is gone: what was under way is sent again on the next. */
  stop(): void {
    this.up = false
    for (const entry of this.sent.values()) entry.id = undefined
    this.sent.clear()
  }

  /** Ends all that waits. */
  clear(error: (sent: boolean) => RingdownError): void {
    this.stop()
    for (const list of [...this.channels.values()]) for (const entry of [...list]) entry.settle(error(entry.firstSent !== undefined))
  }

  /** Takes an answer; false if it is not one to a publication. */
  answer(id: number, m: Message, error: RingdownError | undefined): boolean {
    const entry = this.sent.get(id)
    if (!entry) return false
    this.sent.delete(id)
    entry.id = undefined
    if (!error) entry.settle({epoch: m.epoch, offset: m.offset})
    else if (!error.retryable) entry.settle(error)
    else this.later(entry, Math.max(error.retryAfter, this.pause(entry)))
    return true
  }

  private pause(entry: Entry): number {
    return backoff(this.clock, entry.failures++, this.settings.backoffBase, this.settings.backoffCap)
  }

  private later(entry: Entry, delay: number): void {
    entry.due = this.clock.now() + delay
    entry.again.set(delay, () => this.flush(entry.message.channel!))
  }

  /** Sends of a channel what may be sent, in its order. */
  private flush(channel: string): void {
    const list = this.channels.get(channel)
    if (!this.up || !list) return
    const now = this.clock.now()
    for (const entry of list.slice(0, this.settings.pipeline)) {
      if (entry.id !== undefined) continue
      if (entry.firstSent !== undefined && now - entry.firstSent > this.window() - 5_000) {
        entry.settle(unknown(channel))
        return this.flush(channel)
      }
      if (entry.due > now) return
      if (entry.firstSent === undefined) {
        entry.firstSent = now
        this.keeper?.put(entry)
      }
      const id = this.send(entry.message)
      entry.id = id
      this.sent.set(id, entry)
      entry.again.set(this.settings.ackTimeout, () => this.overdue(entry, id))
    }
  }

  /** No answer: is anybody there? If so, it is sent again. */
  private overdue(entry: Entry, id: number): void {
    if (entry.id !== id) return
    this.probe()
    entry.again.set(this.settings.probeTimeout, () => {
      if (entry.id !== id) return
      this.sent.delete(id)
      entry.id = undefined
      this.flush(entry.message.channel!)
    })
  }

  private remove(entry: Entry): void {
    const channel = entry.message.channel!
    const list = this.channels.get(channel)
    const i = list?.indexOf(entry) ?? -1
    if (i < 0) return
    if (entry.id !== undefined) this.sent.delete(entry.id)
    list!.splice(i, 1)
    this.keeper?.remove(entry)
    this.count--
    this.bytes -= entry.size
    if (list!.length === 0) this.channels.delete(channel)
    else this.flush(channel)
  }
}

export const aborted = (channel?: string) => new RingdownError('aborted', 'it was taken back before it was sent', {}, channel)

export function unknown(channel?: string): RingdownError {
  return new RingdownError('unknown', 'it was sent, and no answer came: whether it was done is not known', {}, channel)
}
