import {Channel, type Host, type PublishOptions} from './channel.js'
import {backoff} from './clock.js'
import {Connection, type Owner, type State, type StateEvent, type Wire, type Wiring} from './connection.js'
import {RingdownError, readError} from './errors.js'
import {Handlers} from './events.js'
import {defaults, environment, type Environment, type Options, type Settings} from './options.js'
import {aborted, Outbox, unknown, type Ack} from './outbox.js'
import type {Item, Message} from './protocol.js'
import type {Follow, Subscription} from './subscription.js'
import type {AnyApi, Api, ChannelName, ChannelOf} from './types.js'

export interface ClientEvents {
  state: StateEvent
  /** What a handler of the application threw, and what nobody else was told of. */
  error: unknown
}

export interface CallOptions {
  /** Milliseconds, in all. */
  timeout?: number
  signal?: AbortSignal
}

/** A request that waits for its answer. */
interface Pending {
  message: Message
  sent: boolean
  again: boolean // it may be sent on another line
  settle(result: Message | RingdownError): void
}

const batch = 100 // channels of one subscribe

/** A client: one line to a server, over which everything goes. */
export class Ringdown<A extends Api = AnyApi> {
  private readonly settings: Settings
  private readonly env: Environment
  private readonly connection: Wire
  /** @internal */
  readonly outbox: Outbox
  private readonly handlers: Handlers<ClientEvents>
  private readonly channels = new Map<string, Channel>()
  private readonly followed = new Map<string, Subscription>()
  private readonly asking = new Set<Subscription>() // in the next subscribe
  private readonly batches = new Map<number, Subscription[]>()
  private readonly retries = new Map<number, {list: Subscription[]; stop(): void}>() // by when
  private readonly pending = new Map<number, Pending>()
  private lastId = 0 // 0 is the connection's own
  private readonly host: Host

  /**
   * @param url of the server: https://host, wss://host, or with the path below which it is served
   */
  constructor(url: string | URL, private readonly options: Options = {}) {
    this.settings = {...defaults, ...options}
    this.env = environment(options)
    this.handlers = new Handlers((cause) => this.thrown(cause))
    const clock = this.env.clock
    const base = String(url).replace(/^ws/, 'http').replace(/\/v1\/ws\/?$|\/$/, '')
    const wiring: Wiring = options.share ?? ((...how) => new Connection(...how))
    this.connection = wiring(base, options.token, this.settings, this.env, this.owner())
    this.outbox = new Outbox(this.settings, clock, (m) => this.sendRequest(m), () => this.connection.test('silent'),
      () => this.connection.welcome?.dedupe_window ?? 120_000)
    this.host = {
      clock, grace: this.settings.grace,
      follow: (s) => this.follow(s), unfollow: (s) => this.unfollow(s), again: (s) => this.again(s),
      request: (m, o) => this.request(m, {...o, again: true}), publish: (m, o) => this.publish(m, o),
      thrown: (cause) => this.thrown(cause),
    }
  }

  /** Where the connection is. */
  get state(): State { return this.connection.state }
  /** Who the server says this is; undefined if nobody is signed in, or before it said so. */
  get user(): string | undefined { return this.connection.user }

  /** Calls fn until the returned function is called. */
  on<K extends keyof ClientEvents>(event: K, fn: (detail: ClientEvents[K]) => unknown, {signal}: {signal?: AbortSignal} = {}): () => void {
    return this.handlers.on(event, fn, signal)
  }

  /** Opens the line, which else the first thing does that needs one; while it waits, at once. Answers when it is live; fails when the client is closed. */
  async connect({signal}: {signal?: AbortSignal} = {}): Promise<void> {
    this.connection.connect()
    if (this.connection.live) return
    await new Promise<void>((resolve, reject) => {
      const done = (settle: () => void) => {
        off()
        signal?.removeEventListener('abort', cancel)
        settle()
      }
      const cancel = () => done(() => reject(aborted()))
      const off = this.on('state', ({state, error}) => {
        if (state === 'live') done(resolve)
        if (state === 'closed') done(() => reject(error ?? closed()))
      })
      signal?.addEventListener('abort', cancel)
      if (signal?.aborted) cancel()
    })
  }

  /** Ends the line and all that waits. What was followed is followed again after another connect. */
  close(): void { this.connection.close('close') }

  /** Closes, for the user leaves. */
  signOut(): void { this.connection.close('sign_out') }

  /** The channel of that name: always the same one. How it is followed is said before anybody listens; another `rate` holds at once. */
  channel<N extends ChannelName<A>>(name: N, follow?: Follow): Channel<ChannelOf<A, N>> {
    let channel = this.channels.get(name)
    if (!channel) this.channels.set(name, (channel = new Channel(name, follow ?? {}, this.host)))
    else if (follow) channel.followed = follow
    return channel
  }

  /** Asks the application behind the server. It is sent once: if the line breaks then, the error is `unknown`. */
  async call<E extends keyof A['calls'] & string>(event: E, data?: A['calls'][E]['data'], {timeout = this.settings.callTimeout, signal}: CallOptions = {}): Promise<A['calls'][E]['result']> {
    const answer = await this.request({type: event, data}, {timeout, signal, again: false})
    return answer.data
  }

  // Channels.

  private follow(s: Subscription): void {
    this.followed.set(s.name, s)
    if (s.phase === 'failed') s.phase = 'off' // the application asks again
    this.connection.need()
    this.ask(s)
  }

  private unfollow(s: Subscription): void {
    this.followed.delete(s.name)
    this.asking.delete(s)
    if (this.connection.live && (s.phase === 'on' || s.phase === 'asked')) this.connection.send({type: 'unsubscribe', channel: s.name})
  }

  /** Subscribes with the others of this turn. */
  private ask(s: Subscription): void {
    if (!this.connection.live || s.phase !== 'off') return
    this.asking.add(s)
    if (this.asking.size === 1) queueMicrotask(() => this.subscribe())
  }

  private subscribe(): void {
    const list = [...this.asking].filter((s) => s.phase === 'off')
    this.asking.clear()
    if (!this.connection.live) return
    const room = (this.connection.welcome?.max_message ?? 65_536) - 100
    let items: Item[] = [], of: Subscription[] = [], size = 0
    const send = () => {
      if (of.length) this.batches.set(this.sendRequest({type: 'subscribe', channels: items}), of)
      items = []
      of = []
      size = 0
    }
    for (const s of list) {
      const item = s.item()
      const n = JSON.stringify(item).length + 1
      if (of.length === batch || size + n > room) send()
      s.phase = 'asked'
      items.push(item)
      of.push(s)
      size += n
    }
    send()
  }

  private receive(s: Subscription, m: Message): void {
    switch (s.receive(m)) {
      case 'hole':
      case 'again':
        return this.again(s)
      case 'failed':
        if (s.error!.retryable) this.retryLater(s)
    }
  }

  /** Subscribes anew, from where the subscription says. */
  private again(s: Subscription): void {
    this.connection.send({type: 'unsubscribe', channel: s.name})
    s.phase = 'off'
    this.ask(s)
  }

  /** Tries again those that failed together, together. */
  private retryLater(s: Subscription): void {
    const pause = backoff(this.env.clock, s.failures - 1, this.settings.backoffBase, this.settings.backoffCap)
    const at = this.env.clock.now() + Math.max(s.error!.retryAfter, pause)
    const others = this.retries.get(at)
    if (others) return void others.list.push(s)
    const list = [s]
    const stop = this.env.clock.after(at - this.env.clock.now(), () => {
      this.retries.delete(at)
      for (const one of list) this.retry(one)
    })
    this.retries.set(at, {list, stop})
  }

  private retry(s: Subscription): void {
    if (s.phase !== 'failed' || this.followed.get(s.name) !== s) return
    s.phase = 'off'
    this.ask(s)
  }

  // The line.

  private owner(): Owner {
    return {
      items: () => [...this.followed.values()].filter((s) => s.phase !== 'failed').map((s) => s.item()),
      up: (_, begun) => this.up(begun),
      down: () => this.down(),
      message: (m) => this.message(m),
      renewed: () => this.followed.forEach((s) => this.retry(s)),
      changed: (e) => {
        if (e.state === 'closed') this.ended(e.error)
        this.handlers.emit('state', e)
      },
    }
  }

  private up(begun: Item[]): void {
    const there = new Set(begun.map((i) => i.channel))
    for (const name of there) if (!this.followed.has(name)) this.connection.send({type: 'unsubscribe', channel: name})
    for (const s of this.followed.values()) {
      if (there.has(s.name)) s.phase = 'asked'
      else if (typeof this.options.token === 'function') this.retry(s) // the token is a new one
      this.ask(s)
    }
    for (const [id, p] of this.pending) {
      if (p.sent) continue
      p.sent = true
      this.connection.send({...p.message, id})
    }
    // What is subscribed to in this turn comes before what is published.
    void (this.outbox.keeper?.before() ?? Promise.resolve()).then(() => this.connection.live && this.outbox.start())
  }

  private down(): void {
    for (const s of this.followed.values()) s.lost()
    for (const c of this.channels.values()) c.lost()
    this.batches.clear()
    this.outbox.stop()
    for (const p of [...this.pending.values()]) {
      if (!p.sent) continue
      p.sent = false
      if (!p.again) p.settle(unknown())
    }
  }

  /** The client is closed: nothing waits any more. */
  private ended(error?: RingdownError): void {
    const why = () => error ?? closed()
    for (const p of [...this.pending.values()]) p.settle(p.sent && !p.again ? unknown() : why())
    this.outbox.clear((sent) => (sent ? unknown() : why()))
    for (const c of this.channels.values()) c.closed(error)
    for (const {list, stop} of this.retries.values()) {
      stop()
      for (const s of list) if (s.phase === 'failed') s.phase = 'off' // on the next line, then
    }
    this.retries.clear()
  }

  private message(m: Message): void {
    const error = m.type === 'error' ? (readError(m.data, m.channel) ?? new RingdownError('internal', 'an error without a code', {}, m.channel)) : undefined
    if (typeof m.id === 'number') {
      const waiting = this.pending.get(m.id)
      if (waiting) return waiting.settle(error ?? m)
      if (this.outbox.answer(m.id, m, error)) return
      const list = this.batches.get(m.id) ?? []
      this.batches.delete(m.id)
      if (m.channel === undefined) return list.forEach((s) => this.receive(s, m))
      const rest = list.filter((s) => s.name !== m.channel)
      if (rest.length) this.batches.set(m.id, rest)
      if (!list.includes(this.followed.get(m.channel)!)) return // of an earlier time
    }
    const s = m.channel === undefined ? undefined : this.followed.get(m.channel)
    if (s) this.receive(s, m)
    else if (error) this.handlers.emit('error', error)
  }

  // Requests.

  private sendRequest(m: Message): number {
    const id = ++this.lastId
    this.connection.send({...m, id})
    return id
  }

  private request(message: Message, {timeout = this.settings.requestTimeout, signal, again, take}: CallOptions & {again: boolean; take?: (m: Message) => void}): Promise<Message> {
    const refused = signal?.aborted ? aborted() : notJSON(message)
    if (refused) return Promise.reject(refused)
    this.connection.need()
    if (this.connection.state === 'closed') return Promise.reject(closed())
    return new Promise((resolve, reject) => {
      const id = ++this.lastId
      const p: Pending = {
        message, sent: this.connection.live, again,
        settle: (result) => {
          stop()
          signal?.removeEventListener('abort', cancel)
          this.pending.delete(id)
          if (result instanceof RingdownError) return reject(result)
          take?.(result)
          resolve(result)
        },
      }
      const cancel = () => p.settle(p.sent && !again ? unknown(message.channel) : aborted())
      const stop = this.env.clock.after(timeout, () => {
        p.settle(new RingdownError('timeout', p.sent ? 'no answer came in time' : 'there was no line in time', {retryable: again || !p.sent}, message.channel))
      })
      signal?.addEventListener('abort', cancel)
      this.pending.set(id, p)
      if (p.sent) this.connection.send({...message, id})
    })
  }

  private publish(m: Message, o: PublishOptions): Promise<Ack> {
    const refused = notJSON(m)
    if (refused) return Promise.reject(refused)
    this.connection.need()
    if (this.connection.state === 'closed') return Promise.reject(closed())
    if (o.ack !== false) return this.outbox.add(m, o)
    if (!this.connection.live) return Promise.reject(new RingdownError('unavailable', 'there is no line just now', {retryable: true}, m.channel))
    this.connection.send(m)
    return Promise.resolve({})
  }

  private thrown(cause: unknown): void {
    if (this.handlers.has('error')) this.handlers.emit('error', cause)
    else console.error(cause)
  }
}

function closed(): RingdownError {
  return new RingdownError('closed', 'the client is closed; connect() opens it again')
}

/** Refuses what cannot be sent, before it is in anybody's way. */
function notJSON({data, channel}: Message): RingdownError | undefined {
  try {
    if (!(data instanceof Uint8Array)) JSON.stringify(data)
    return undefined
  } catch (cause) {
    return new RingdownError('invalid_data', `this is no JSON: ${(cause as Error).message}`, {}, channel)
  }
}
