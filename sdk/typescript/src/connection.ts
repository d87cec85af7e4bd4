import {backoff, randomId, Timer, within} from './clock.js'
import {RingdownError, readError} from './errors.js'
import type {End, Line, TransportName} from './line.js'
import {askToken, type Environment, type Settings, type TokenReason, type TokenSource} from './options.js'
import type {Item, Message} from './protocol.js'

/*
 *   idle → opening → authenticating → live ⇄ probing
 *             ↑              │           │
 *             └── waiting ←──┴───────────┘        closed ← from everywhere
 */
export type State = 'idle' | 'opening' | 'authenticating' | 'live' | 'probing' | 'waiting' | 'closed'
export type Reason =
  | 'connect' | 'close' | 'sign_out' | 'lost' | 'refused' | 'token' | 'silent' | 'drain' | 'blocked' | 'better'
  | 'wake' | 'welcome' | 'opened' | 'retry'

export interface StateEvent {
  state: State
  previous: State
  reason: Reason
  transport: TransportName
  /** In `waiting`: milliseconds to the next attempt, unless it waits for the page to come back. */
  retryIn?: number
  error?: RingdownError
}

/** What goes on above the line. */
export interface Owner {
  /** What a stream begins with. */
  items(): Item[]
  /** A line is live; begun has the channels that it began with. */
  up(welcome: Message, begun: Item[]): void
  /** There is no line any more. */
  down(): void
  message(m: Message): void
  changed(e: StateEvent): void
  /** A new token was accepted. */
  renewed(): void
}

/** What a client has of its connection: one of its own, or a part in one that tabs share. */
export interface Wire {
  readonly state: State
  readonly live: boolean
  readonly user?: string
  /** The data of the last welcome. */
  readonly welcome: any
  connect(): void
  /** Something needs a line. */
  need(): void
  close(reason: 'close' | 'sign_out'): void
  send(m: Message): void
  /** Looks whether anybody is there. */
  test(reason: Reason): void
}

/** Makes a connection. */
export type Wiring = (url: string, token: TokenSource | undefined, settings: Settings, env: Environment, owner: Owner) => Wire

/** A line that is being opened, or is used. */
interface Attempt {
  line?: Line
  rank: number
  token?: string
  begun: Item[]
  welcomed: boolean
  buffered: boolean // its welcome is overdue on an open stream
  /** What the server said was wrong, before it ended the line. */
  error?: RingdownError
  timer: Timer
}

const authId = 0 // of the requests that renew the token

/** Keeps one line to the server, by whatever transport comes through. */
export class Connection implements Wire {
  state: State = 'idle'
  user?: string

  private current?: Attempt
  private trial?: Attempt
  private turn = 0 // of attempts; an answer to an older one is too late
  private failures = 0 // in a row
  private rank = 0 // of the transport in use
  private misses = 0 // attempts in a row that ended without a word of the server's
  private readonly proven = new Set<number>()
  private once42 = false // 42xx was met by coming back at once, and no welcome came since
  private askedRefused = false
  private lastToken?: string
  private renewFailed = 0 // times in a row
  private known?: Message // the last welcome

  private lastHeard = 0
  private lastWatch = 0
  private betterAfter: number
  private betterSince?: number // when a better transport was taken

  private readonly retry: Timer
  private readonly watch: Timer
  private readonly health: Timer
  private readonly better: Timer
  private readonly renewal: Timer
  private readonly drain: Timer
  private readonly probe: Timer
  private unwatch?: () => void
  private suspended = false

  constructor(
    private readonly url: string,
    private readonly token: TokenSource | undefined,
    private readonly settings: Settings,
    private readonly env: Environment,
    private readonly owner: Owner,
    private readonly client = randomId(), // by which an anonymous client is known again
  ) {
    const timer = () => new Timer(env.clock)
    this.retry = timer()
    this.watch = timer()
    this.health = timer()
    this.better = timer()
    this.renewal = timer()
    this.drain = timer()
    this.probe = timer()
    this.betterAfter = settings.betterAfter
  }

  get transport(): TransportName { return this.settings.transports[this.rank]! }
  get live(): boolean { return this.state === 'live' || this.state === 'probing' }
  get welcome(): any { return this.known?.data }

  connect(): void {
    if (this.state === 'waiting') return this.wake(false)
    if (this.state !== 'idle' && this.state !== 'closed') return
    this.failures = 0
    this.askedRefused = this.once42 = false
    this.unwatch ??= this.env.watch((network) => this.wake(network), () => this.hide())
    void this.begin('connect', 'connect')
  }

  /** Something needs a line. */
  need(): void {
    if (this.state === 'idle') this.connect()
  }

  close(reason: 'close' | 'sign_out' | 'refused' = 'close', error?: RingdownError): void {
    if (this.state === 'closed') return
    this.leave()
    this.retry.stop()
    this.unwatch?.()
    this.unwatch = undefined
    this.suspended = false
    this.set('closed', reason, {error})
  }

  send(m: Message): void { this.current?.line?.send(m) }

  /** Somebody is back: there is no time to lose. */
  wake(network: boolean): void {
    this.suspended = false
    if (network) {
      this.rank = this.misses = 0
      this.proven.clear()
    }
    if (this.state === 'waiting') {
      this.failures = 0
      void this.begin('wake', 'reconnect')
    } else if (this.live) {
      if (network || this.env.clock.now() - this.lastHeard > this.settings.watch) this.test('wake')
      if (this.current!.rank > 0) this.tryBetter()
    }
  }

  /** Looks whether anybody is there. */
  test(reason: Reason): void {
    if (this.state !== 'live') return
    this.set('probing', reason)
    this.send({type: 'ping'})
    this.probe.set(this.settings.probeTimeout, () => {
      this.leave()
      this.wait('silent')
    })
  }

  // Opening.

  private async begin(reason: Reason, why: TokenReason): Promise<void> {
    this.leave()
    this.retry.stop()
    const turn = ++this.turn
    this.set('opening', reason)
    const token = await this.askToken(why)
    if (turn !== this.turn || this.state !== 'opening') return
    if (token instanceof RingdownError) return this.wait('token', {error: token})
    if (why === 'refused' && token !== undefined && token === this.lastToken && this.askedRefused) {
      // It would be refused again.
      return this.wait('token', {error: new RingdownError('unauthorized', 'the refused token was given again')})
    }
    this.lastToken = token
    this.current = this.open(this.rank, token)
  }

  private askToken(why: TokenReason): Promise<string | undefined | RingdownError> {
    return askToken(this.token, why, this.env.clock, this.settings.tokenTimeout)
  }

  private open(rank: number, token: string | undefined): Attempt {
    const transport = this.env.transport(this.settings.transports[rank]!)
    const a: Attempt = {rank, token, begun: [], welcomed: false, buffered: false, timer: new Timer(this.env.clock)}
    const query: Record<string, string> = this.token === undefined ? {client: this.client} : {expect: 'user'}
    if (transport.name !== 'websocket') a.begun = this.owner.items()
    const mine = () => a === this.current || a === this.trial
    const overdue = () => this.ended(a, {})
    a.timer.set(this.settings.openTimeout, overdue)
    a.line = transport.open({url: this.url, query, token, channels: a.begun}, {
      opened: () => {
        if (!mine()) return
        const stream = transport.name === 'sse'
        a.timer.set(stream ? this.settings.bufferedTimeout : this.settings.openTimeout, () => {
          a.buffered = stream
          overdue()
        })
        if (a === this.current) this.set('authenticating', 'opened')
      },
      message: (m) => mine() && this.received(a, m),
      heard: () => mine() && this.heard(a),
      ended: (end) => mine() && this.ended(a, end),
    })
    return a
  }

  // Living.

  private received(a: Attempt, m: Message): void {
    this.heard(a)
    if (m.type === 'welcome' && !a.welcomed) return this.welcomed(a, m)
    if (m.type === 'error' && m.id === undefined && !m.channel) {
      a.error = readError(m.data)
      if (a.error?.code === 'unauthorized') return // the end of the line comes behind it
    }
    if (!a.welcomed) return
    switch (m.type) {
      case 'ping': return a.line!.send({type: 'pong'})
      case 'pong': return
      case 'welcome': return this.remember(m)
      case 'reconnect': return this.leaveWithin(m.data?.after ?? 0, m.data?.within ?? 0)
    }
    if (m.id === authId) return this.renewed(m)
    this.owner.message(m)
  }

  private heard(a: Attempt): void {
    if (a !== this.current) return
    this.lastHeard = this.env.clock.now()
    if (this.state !== 'probing') return
    this.probe.stop()
    this.set('live', 'welcome')
  }

  private welcomed(a: Attempt, m: Message): void {
    a.welcomed = true
    a.timer.stop()
    const better = a === this.trial
    if (better) {
      this.trial = undefined
      this.leave()
      this.current = a
      this.betterSince = this.env.clock.now()
    }
    this.rank = a.rank
    this.proven.add(a.rank)
    this.misses = 0
    this.askedRefused = this.once42 = false
    this.lastToken = a.token
    this.remember(m)
    this.lastHeard = this.lastWatch = this.env.clock.now()
    this.watch.set(this.settings.watch, () => this.look())
    this.health.set(this.settings.healthy, () => {
      this.failures = 0
      this.betterSince = undefined
    })
    if (a.rank > 0) this.better.set(this.betterAfter, () => this.tryBetter())
    this.set('live', better ? 'better' : 'welcome')
    this.owner.up(m, a.begun)
  }

  private remember(m: Message): void {
    this.known = m
    this.user = m.data?.user
    this.scheduleRenewal(m.data?.expires)
  }

  /** Looks at the clock: after sleep it has jumped, and no timer has told of it. */
  private look(): void {
    const now = this.env.clock.now()
    const slept = now - this.lastWatch > this.settings.watch + this.settings.silence
    this.lastWatch = now
    this.watch.set(this.settings.watch, () => this.look())
    if (slept) this.test('wake')
    else if (now - this.lastHeard >= (this.welcome?.ping ?? 25_000) + this.settings.silence) this.test('silent')
  }

  private leaveWithin(after: number, within: number): void {
    this.drain.set(after + this.env.clock.random() * within, () => void this.begin('drain', 'reconnect'))
  }

  // Renewing the token.

  private scheduleRenewal(expires: number | undefined): void {
    this.renewal.stop()
    if (expires === undefined || typeof this.token !== 'function') return
    const left = expires - this.env.clock.now()
    const early = Math.min(60_000, Math.max(5_000, left / 10))
    this.renewal.set(Math.max(1_000, left > 2 * early ? left - early : left / 2), () => void this.renew(0))
  }

  private async renew(failed: number): Promise<void> {
    const a = this.current
    const token = await this.askToken('expiring')
    if (a !== this.current || !this.live) return
    if (token instanceof RingdownError) return this.renewLater(failed)
    a!.token = token
    this.renewFailed = failed
    this.send({type: 'auth', id: authId, token})
  }
  private renewLater(failed: number): void {
    const delay = Math.max(1_000, backoff(this.env.clock, failed, this.settings.backoffBase, this.settings.backoffCap))
    this.renewal.set(delay, () => void this.renew(failed + 1))
  }

  private renewed(m: Message): void {
    if (m.type === 'ack') {
      this.lastToken = this.current!.token
      this.scheduleRenewal(m.data?.expires)
      this.owner.renewed()
    } else if (m.data?.code === 'conflict') {
      // Somebody else's token: nobody turns into somebody else on a line.
      this.leave()
      this.wait('token', {delay: 0})
    } else {
      this.renewLater(this.renewFailed)
    }
  }

  // Ending.

  /** Gives up the line that there is, and what goes with it. */
  private leave(code = 1000): void {
    this.dropTrial()
    for (const timer of [this.watch, this.health, this.better, this.renewal, this.drain, this.probe]) timer.stop()
    const a = this.current
    if (!a) return
    this.current = undefined
    a.timer.stop()
    a.line?.close(code)
    if (a.welcomed) this.owner.down()
  }

  private ended(a: Attempt, end: End): void {
    a.timer.stop()
    if (a === this.trial) {
      a.line?.close()
      this.trial = undefined
      return this.worse()
    }
    const error = end.error ?? a.error
    const {welcomed, rank, buffered} = a
    this.leave()
    if (welcomed && this.betterSince !== undefined && this.env.clock.now() - this.betterSince < this.settings.healthy) {
      this.worse()
    }
    this.betterSince = undefined
    const code = end.code ?? 0
    const ownWord = code >= 4000 || end.error !== undefined
    if ([4000, 4003, 4005].includes(code) || end.error && [400, 403, 404].includes(end.status ?? 0)) return this.close('refused', error)
    if (code === 4001 || end.status === 401) return this.refused(error)
    if (code === 4004) return void this.begin('token', 'expired')
    if (code >= 4200 && code < 4300 && !this.once42) {
      this.once42 = true
      return this.wait(code === 4200 ? 'drain' : 'lost', {delay: 0, error})
    }
    const least = Math.max(error?.retryAfter ?? 0, end.retryAfter ?? 0)
    if (!welcomed && !ownWord) return void this.missed(rank, buffered, least, error)
    this.wait(ownWord && code !== 4200 ? 'refused' : 'lost', {error, least})
  }

  private refused(error?: RingdownError): void {
    if (typeof this.token !== 'function') return this.close('refused', error)
    if (this.askedRefused) return this.wait('token', {error})
    this.askedRefused = true
    void this.begin('token', 'refused')
  }

  /** An attempt ended without a word of the server's: is it the transport? */
  private async missed(rank: number, buffered: boolean, least: number, error?: RingdownError): Promise<void> {
    this.misses++
    const blocked = buffered || this.misses >= (this.proven.has(rank) ? 4 : 2)
    if (!blocked) return this.wait('lost', {error, least})
    const turn = this.turn
    const explain = this.env.transport(this.settings.transports[rank]!).explain
    if (explain && this.known === undefined) {
      const end = await within(this.env.clock, this.settings.openTimeout, explain({url: this.url, query: {}, channels: []}).catch(() => undefined), undefined)
      if (turn !== this.turn || this.state === 'closed' || this.suspended) return
      if (end?.status === 403) return this.close('refused', end.error)
      if (end) return this.wait('refused', {error: end.error, least: end.retryAfter})
    }
    this.misses = 0
    if (this.settings.transports.length === 1) return this.wait('lost', {error, least})
    this.failures++
    this.rank = (rank + 1) % this.settings.transports.length
    void this.begin('blocked', 'reconnect')
  }

  private wait(reason: Reason, {delay, least = 0, error}: {delay?: number; least?: number; error?: RingdownError} = {}): void {
    const retryIn = delay ?? Math.max(least, backoff(this.env.clock, this.failures++, this.settings.backoffBase, this.settings.backoffCap))
    this.set('waiting', reason, {retryIn, error})
    const why = reason === 'token' && this.askedRefused ? 'refused' : 'reconnect'
    this.retry.set(retryIn, () => void this.begin('retry', why))
  }

  /** The page goes to where pages are kept that may come back. */
  private hide(): void {
    if (this.state === 'idle' || this.state === 'closed') return
    this.leave(1000)
    this.turn++
    this.retry.stop()
    this.suspended = true
    this.set('waiting', 'wake')
  }

  // A better transport, beside the one in use.

  private async tryBetter(): Promise<void> {
    if (this.trial || !this.live || this.current!.rank === 0) return
    const a = this.current
    const token = await this.askToken('reconnect')
    if (a !== this.current || !this.live || this.trial) return
    if (token instanceof RingdownError) return this.worse()
    this.trial = this.open(0, token)
  }

  private dropTrial(): void {
    const a = this.trial
    this.trial = undefined
    a?.timer.stop()
    a?.line?.close()
  }

  /** A better transport did not come through, or not for long. */
  private worse(): void {
    this.betterAfter = Math.min(this.betterAfter * 2, this.settings.betterCap)
    if (this.current?.welcomed && this.current.rank > 0) this.better.set(this.betterAfter, () => this.tryBetter())
  }

  private set(state: State, reason: Reason, more: {retryIn?: number; error?: RingdownError} = {}): void {
    const previous = this.state
    this.state = state
    this.owner.changed({state, previous, reason, transport: this.transport, ...more})
  }
}
