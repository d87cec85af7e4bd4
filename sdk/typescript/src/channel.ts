import type {Clock} from './clock.js'
import {RingdownError} from './errors.js'
import {Handlers} from './events.js'
import type {Ack} from './outbox.js'
import {Presence} from './presence.js'
import type {Message, Position} from './protocol.js'
import {SharedState} from './state.js'
import {Subscription, type Follow, type Lifecycle} from './subscription.js'
import type {ChannelType, EventName, MemberOf, StateOf} from './types.js'
import {Typing} from './typing.js'

/** What a channel needs of its client. */
export interface Host {
  clock: Clock
  grace: number
  follow(s: Subscription): void
  unfollow(s: Subscription): void
  again(s: Subscription): void
  request(m: Message, o?: {timeout?: number; signal?: AbortSignal; take?: (m: Message) => void}): Promise<Message>
  publish(m: Message, o: PublishOptions): Promise<Ack>
  thrown(cause: unknown): void
}

export interface PublishOptions {
  /** On a state channel: which entity this is the latest value of. */
  key?: string
  /** Makes it safe to publish again. The client draws one itself, so this is for what outlives it. */
  dedupe?: string
  /** W3C trace context. */
  traceparent?: string
  /** How long it may wait to be sent, in milliseconds. */
  timeout?: number
  /** false: sent if there is a line just now, and forgotten. For what is out of date at once. */
  ack?: boolean
  signal?: AbortSignal
}

export interface HistoryOptions {
  /** Begin before this offset; without it with the newest. */
  before?: number
  /** Messages of a page, 1 to 1,000. */
  limit?: number
  signal?: AbortSignal
}

/** A message as a handler is given it. */
export interface Event<T = any> extends Message {
  channel: string
  data: T
}

/** A channel. It is followed while anybody listens: a handler, an iterator, or one of its parts. */
export class Channel<C extends ChannelType = any> {
  /** @internal */
  subscription: Subscription
  private holds = 0
  private stopGrace?: () => void
  private readonly handlers: Handlers<Record<string, Event>>
  private readonly lifecycle: Handlers<Lifecycle>
  private state_?: SharedState<StateOf<C>>
  private presence_?: Presence<MemberOf<C>>
  private typing_?: Typing
  private readers?: Set<(error?: RingdownError) => void> // iterators, to be ended with the client
  private kept?: Message[] // a snapshot that came before anybody asked for the state

  constructor(readonly name: string, private follow: Follow, private readonly host: Host) {
    this.handlers = new Handlers(host.thrown)
    this.lifecycle = new Handlers(host.thrown)
    this.subscription = this.renewed()
  }

  /** Calls fn with each event of that name, or with all for `*`, until the returned function is called. */
  on<E extends EventName<C>>(event: E, fn: (data: C['events'][E], message: Event<C['events'][E]>) => unknown, options?: {signal?: AbortSignal}): () => void
  on(event: '*', fn: (data: C['events'][EventName<C>], message: Event<C['events'][EventName<C>]>) => unknown, options?: {signal?: AbortSignal}): () => void
  on(event: string, fn: (data: any, message: Event) => unknown, {signal}: {signal?: AbortSignal} = {}): () => void {
    if (signal?.aborted) return () => {}
    return this.handlers.on(event, (m) => fn(m.data, m), signal, this.hold())
  }

  /** Calls fn when this becomes of the subscription: `subscribed`, `recovered`, `gap`, `failed`. */
  when<K extends keyof Lifecycle>(event: K, fn: (detail: Lifecycle[K]) => unknown, {signal}: {signal?: AbortSignal} = {}): () => void {
    return this.lifecycle.on(event, fn, signal)
  }

  /**
   * All events, one after the other, for as long as the loop goes on, or until the client is closed. Of what it does not take in time the last
   * `buffer` are kept; that others were left out is told as a gap with the reason `slow`.
   */
  async *messages({signal, buffer = 1_000}: {signal?: AbortSignal; buffer?: number} = {}): AsyncGenerator<Event, void, undefined> {
    const queue: Event[] = []
    let wake = () => {}
    let missed = 0
    let ended: {error?: RingdownError} | undefined
    const enough = new AbortController()
    const stop = () => enough.abort()
    signal?.addEventListener('abort', stop)
    if (signal?.aborted) stop()
    enough.signal.addEventListener('abort', () => wake())
    const end = (error?: RingdownError) => {
      if (error?.retryable) return
      ended = {error}
      wake()
    }
    ;(this.readers ??= new Set()).add(end)
    this.when('failed', ({error}) => end(error), {signal: enough.signal})
    this.on('*', (_, m) => {
      if (queue.length >= buffer) {
        queue.shift()
        missed++
      }
      queue.push(m)
      wake()
    }, {signal: enough.signal})
    try {
      while (!enough.signal.aborted) {
        if (missed > 0) {
          this.told('gap', {reason: 'slow', missed})
          missed = 0
        }
        const m = queue.shift()
        if (m) yield m
        else if (ended?.error) throw ended.error
        else if (ended) return
        else await new Promise<void>((done) => { wake = done })
      }
    } finally {
      stop()
      this.readers.delete(end)
      signal?.removeEventListener('abort', stop)
    }
  }

  /** Publishes, and answers when it is stored as durably as the channel promises. It is kept and sent again over breaks until then. */
  publish<E extends EventName<C>>(event: E, data?: C['events'][E], options: PublishOptions = {}): Promise<Ack> {
    const {key, dedupe, traceparent} = options
    // What is undefined is not in JSON.
    return this.host.publish({type: event, channel: this.name, data, key, dedupe, traceparent}, options)
  }

  /** Where the application is in the channel: the epoch that offsets are of, and the offset that it was given last. */
  get position(): Position | undefined { return this.subscription.position }

  /** A page of what is kept, oldest first, of the newest before `before`. Their offsets are of `epoch`. */
  async page({before, limit, signal}: HistoryOptions = {}): Promise<{messages: Event[]; more: boolean; epoch: string}> {
    const answer = await this.host.request({type: 'history', channel: this.name, data: {before, limit}}, {signal})
    return {messages: answer.data.messages, more: answer.data.more === true, epoch: answer.epoch!}
  }

  /** What is kept, newest first, page by page as far as the loop goes. */
  async *history(options: HistoryOptions = {}): AsyncGenerator<Event, void, undefined> {
    for (let {before} = options; ;) {
      const {messages, more} = await this.page({...options, before})
      yield* messages.toReversed ? messages.toReversed() : [...messages].reverse()
      if (!more || messages.length === 0) return
      before = messages[0]!.offset
    }
  }

  /** The latest value of each key, of a state channel. */
  get state(): SharedState<StateOf<C>> {
    if (!this.state_) {
      this.state_ = new SharedState(() => this.hold(), this.host.thrown)
      if (this.kept) this.state_.replace(this.kept)
      this.kept = undefined
      if (this.subscription.phase === 'off') this.subscription.keyed = true
    }
    return this.state_
  }

  /** Who is there. */
  get presence(): Presence<MemberOf<C>> {
    if (!this.presence_) {
      const ask = (data: object, take?: (m: Message) => void) => this.host.request({type: 'presence', channel: this.name, data}, {take})
      this.presence_ = new Presence(ask, () => this.hold(), this.host.thrown)
      if (this.subscription.phase === 'on') void this.presence_.up()
    }
    return this.presence_
  }

  /** Who types, on a channel that declares it. */
  get typing(): Typing {
    const say = (active: boolean) => void this.host.publish({type: 'typing', channel: this.name, data: {active}}, {ack: false}).catch(() => {})
    return (this.typing_ ??= new Typing(this.host.clock, say, () => this.hold(), this.host.thrown))
  }

  /** Has the channel followed until the returned function is called. */
  private hold(): () => void {
    this.stopGrace?.()
    this.stopGrace = undefined
    this.holds++
    this.host.follow(this.subscription)
    let held = true
    return () => {
      if (!held) return
      held = false
      if (--this.holds > 0) return
      this.stopGrace = this.host.clock.after(this.host.grace, () => this.end())
    }
  }

  /** Nobody listens any more: the position is forgotten too. */
  private end(): void {
    this.stopGrace = undefined
    this.host.unfollow(this.subscription)
    this.subscription = this.renewed()
    this.kept = undefined
    if (this.state_) this.state_.ready = false
    this.presence_?.down()
    this.typing_?.clear()
  }

  /** @internal Has what came after a position told again, if it lies before where the subscription began or is; false if it does not. */
  rewind(position: Position): boolean {
    return this.subscription.rewind(position) && (this.host.again(this.subscription), true)
  }

  private renewed(): Subscription {
    const s = new Subscription(this.name, this.follow, this)
    s.keyed = this.state_ !== undefined
    return s
  }

  /** @internal */
  set followed(how: Follow) {
    const {subscription: s, follow: {rate}} = this
    this.follow = s.follow = how
    if (this.holds === 0 && !this.stopGrace) this.subscription = this.renewed()
    else if (how.rate !== rate && s.phase === 'on') this.host.again(s) // from where it is
  }

  /** @internal The client is closed: by the application, or for this. */
  closed(error?: RingdownError): void {
    for (const end of [...(this.readers ?? [])]) end(error)
  }

  /** @internal The line is gone. */
  lost(): void { this.presence_?.down() }

  // What its subscription tells it, as a Follower.

  /** @internal */
  message(m: Message): void {
    if (this.state_?.ready) this.state_.apply(m)
    else if (this.kept) this.kept = m.key === undefined ? this.kept : [...this.kept.filter((k) => k.key !== m.key), m]
    if (m.type === 'typing') this.typing_?.told(m)
    this.handlers.emit(m.type, m as Event)
    this.handlers.emit('*', m as Event)
  }

  /** @internal */
  told<K extends keyof Lifecycle>(event: K, detail: Lifecycle[K]): void {
    if (event === 'subscribed') void this.presence_?.up()
    if (event === 'failed') this.presence_?.down((detail as Lifecycle['failed']).error)
    this.lifecycle.emit(event, detail)
  }

  /** @internal */
  snapshot(items: Message[]): void {
    if (this.state_) this.state_.replace(items)
    else this.kept = items
  }

  /** @internal */
  members(m: Message): void { this.presence_?.told(m) }
}
