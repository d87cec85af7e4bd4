import {RingdownError, readError} from './errors.js'
import type {Item, Message, Position} from './protocol.js'

/** What a subscription tells besides messages. */
export interface Lifecycle {
  /** Delivery begins: `recovered` if it goes on where it was, false if it does not, and then why. */
  subscribed: {recovered?: boolean; reason?: string}
  /** What was missed while away has come: so many messages. */
  recovered: {count: number}
  /** Messages are missing, and why. */
  gap: {reason: string; from?: number; to?: number; missed?: number}
  /** It could not be made, or is not allowed any more. */
  failed: {error: RingdownError}
}

/** Who follows the channel. */
export interface Follower {
  message(m: Message): void
  told<K extends keyof Lifecycle>(event: K, detail: Lifecycle[K]): void
  /** All that the channel keeps by key, in place of what was known. */
  snapshot(items: Message[]): void
  members(m: Message): void
}

/** How a channel is followed. */
export interface Follow {
  /** Begin with so many of the last messages, 1 to 1,000. */
  last?: number
  /** At most so many deliveries a second, 0.01 to 50. */
  rate?: number
}

/**
 * off: nothing was asked of this line · asked: an answer is to come · on · failed: it waits for
 * another token, a time, or the application
 */
export type Phase = 'off' | 'asked' | 'on' | 'failed'

/** What is to be done about a message that a subscription was given. */
export type Verdict = 'hole' | 'again' | 'failed' | undefined

/** One channel on the wire. Its position lives as long as it does, whatever becomes of lines. */
export class Subscription {
  phase: Phase = 'off'
  position?: Position
  /** Why it failed. */
  error?: RingdownError
  /** Of how often in a row it has failed. */
  failures = 0

  /** It is a state channel, as far as is known: whoever wants its state says so, for only then is it known from the start. */
  keyed = false

  private parts?: Message[] // of a state that is being given
  private due?: Position // becomes the position when the state is whole
  private head?: number // the offset with which what was missed is there
  private caughtUp = 0
  private began?: number // the offset after which delivery began
  private holeAt?: number // a hole that was asked about already
  private pace?: number // that was asked for; by the time of the answer it may be another

  constructor(readonly name: string, public follow: Follow, private readonly follower: Follower) {}

  item(): Item {
    const item: Item = {channel: this.name}
    const {last, rate} = this.follow
    this.pace = rate
    if (this.position) item.since = {...this.position}
    const begin = this.position ? undefined : last
    if (begin || rate) item.data = {last: begin, rate} // JSON leaves out what is undefined
    return item
  }

  /** Goes back to a position, if delivery began after it; the caller subscribes anew then. */
  rewind({epoch, offset}: Position): boolean {
    if (this.phase !== 'on' || this.began === undefined || epoch === this.position?.epoch && offset >= this.began) return false
    this.position = {epoch, offset}
    return true
  }

  /** The line is gone. */
  lost(): void {
    if (this.phase !== 'failed') this.phase = 'off'
    this.parts = this.due = this.head = this.holeAt = undefined
  }

  receive(m: Message): Verdict {
    switch (m.type) {
      case 'subscribed': return this.subscribed(m)
      case 'unsubscribed': return this.unsubscribed()
      case 'error': return this.refused(readError(m.data, this.name)!)
    }
    if (this.phase !== 'on') return undefined // what comes before the answer is of an earlier time
    switch (m.type) {
      case 'state': return this.state(m)
      case 'gap': return this.gap(m)
      case 'presence': return void this.follower.members(m)
      default: return this.event(m)
    }
  }

  private subscribed(m: Message): Verdict {
    const {recovered, reason, head} = m.data ?? {}
    this.phase = 'on'
    this.error = undefined
    this.failures = 0
    if (recovered) {
      this.head = head
      this.caughtUp = 0
    } else {
      this.restart(m)
    }
    this.follower.told('subscribed', {recovered, reason})
    if (recovered === false) this.follower.told('gap', {reason: reason ?? 'unknown'})
    this.checkHead()
    if (this.pace !== this.follow.rate) return 'again'
  }

  /** Delivery goes on behind the position that m names; of a state, when all of it is there. */
  private restart(m: Message): void {
    const position = m.epoch === undefined || m.offset === undefined ? undefined : {epoch: m.epoch, offset: m.offset}
    this.due = position
    this.position = this.keyed ? undefined : position
    this.began = position?.offset
    this.parts = this.head = undefined
  }

  private state(m: Message): undefined {
    this.keyed = true
    if (!this.parts) {
      this.parts = []
      this.due ??= this.position
      this.position = undefined
    }
    this.parts.push(...(m.data?.items ?? []))
    if (m.data?.more) return
    const items = this.parts
    this.parts = undefined
    this.position = this.due
    this.due = undefined
    this.follower.snapshot(items)
  }

  private gap(m: Message): undefined {
    const {reason = 'unknown', from, to, missed} = m.data ?? {}
    if (m.epoch !== undefined) this.restart(m)
    else if (to !== undefined && this.position) this.position.offset = Math.max(this.position.offset, to)
    this.follower.told('gap', {reason, from, to, missed})
    this.checkHead()
  }

  private event(m: Message): Verdict {
    if (this.due) { // no state came, so it is none of those
      this.position ??= this.due
      this.due = undefined
      this.keyed = false
    }
    const {offset} = m
    const at = this.position
    if (offset !== undefined && at) {
      if (offset <= at.offset) return undefined
      const prev = m.prev ?? offset - 1
      if (prev > at.offset && !this.keyed) {
        if (this.holeAt !== at.offset) {
          this.holeAt = at.offset
          return 'hole'
        }
        // It is still there after asking again: so be it, but not in silence.
        this.follower.told('gap', {reason: 'unknown', from: at.offset, to: prev})
      }
      at.offset = offset
    }
    if (m.type[0] !== '_') {
      this.caughtUp++
      this.follower.message(m)
    }
    this.checkHead()
    return undefined
  }

  /** Tells when all is there that was missed. */
  private checkHead(): void {
    if (this.head === undefined || !this.position || this.position.offset < this.head) return
    this.head = undefined
    this.follower.told('recovered', {count: this.caughtUp})
  }

  private unsubscribed(): Verdict {
    if (this.phase !== 'on') return undefined // the answer to an unsubscribe of ours
    return this.fail(this.error ?? new RingdownError('forbidden', 'the server ended the subscription', {}, this.name))
  }

  private refused(error: RingdownError): Verdict {
    if (this.phase === 'on') {
      this.error = error // why it will be ended, perhaps
      return undefined
    }
    if (this.phase !== 'asked') return undefined
    if (error.code === 'conflict' && this.failures === 0) {
      this.failures++
      return 'again'
    }
    return this.fail(error)
  }

  private fail(error: RingdownError): Verdict {
    this.phase = 'failed'
    this.error = error
    this.failures++
    this.follower.told('failed', {error})
    return 'failed'
  }
}
