import {backoff, decodeBase64, randomId, Timer} from './clock.js'
import {Connection, type Owner, type Reason, type State, type StateEvent, type Wire, type Wiring} from './connection.js'
import {RingdownError, readError} from './errors.js'
import {Hub, type ToHub, type ToTab} from './hub.js'
import {askToken, defaults, type Environment, type Settings, type TokenReason, type TokenSource} from './options.js'
import type {TransportName} from './line.js'
import type {Message} from './protocol.js'

/** What tabs speak to each other by: a BroadcastChannel. */
export interface TabChannel {
  onmessage: ((event: {data: any}) => void) | null
  postMessage(data: any): void
  close(): void
}

/** navigator.locks, as far as it is needed. */
export interface TabLocks {
  request(name: string, options: {signal?: AbortSignal; steal?: boolean}, held: () => Promise<unknown> | unknown): Promise<unknown>
}

export interface TabOptions {
  /** A module of one's own origin that serves tabs in a SharedWorker: `@ringdown/client/worker`, as one's build has it. Without it one of the tabs does. */
  worker?: string | URL
  /** What tests replace. */
  channel?: (name: string) => TabChannel
  locks?: TabLocks
}

const patience = 1_000 // for who leads to answer; who does not is replaced
const freshFor = 10_000 // how long a token that was asked for to join may be used
const workerPatience = 5_000 // for a worker to be loaded

/** One line between who leads and the tabs. */
interface Envelope<T> {
  from: string
  to?: string[] // undefined: all
  hub?: string // whom a tab's is for; undefined, but there: whoever leads
  said: T
}

export interface Lead {
  hub: Hub
  take(e: Envelope<ToHub>): void
  stop(): void
}

/** The lock that a tab holds as long as it lives. */
const lifeOf = (tab: string) => `ringdown tab ${tab}`

/**
 * Has all tabs of a browser that are of one user use one connection. Where a browser cannot do
 * that, each has its own.
 *
 *   new Ringdown(url, {token, share: tabs()})
 */
export function tabs(options: TabOptions = {}): Wiring {
  return (url, token, settings, env, owner) => {
    const locks = options.locks ?? (globalThis as any).navigator?.locks
    const Channel = (globalThis as any).BroadcastChannel
    const channel = options.channel ?? (Channel && ((name: string) => new Channel(name)))
    if (!locks || !channel) return new Connection(url, token, settings, env, owner)
    return new SharedWire(url, token, settings, env, owner, locks, channel, options.worker)
  }
}

/** Leads from now on: makes a hub for the tabs of a channel, until stop is called. */
export function lead(env: Environment, id: string, client: string, channel: TabChannel, locks: TabLocks, local?: {id: string; told(hub: string, said: ToTab): void}): Lead {
  const over = new AbortController()
  const hub = new Hub(env, client, {
    post(to, said) {
      if (over.signal.aborted) return
      const others = to === 'all' ? undefined : to.filter((t) => t !== local?.id)
      if (!others || others.length) channel.postMessage({from: id, to: others, said})
      if (local && (to === 'all' || others!.length < to.length)) local.told(id, said)
    },
    watch(tab, gone) {
      locks.request(lifeOf(tab), {signal: over.signal}, gone).catch(() => {})
    },
  })
  channel.postMessage({from: id, said: {type: 'lead'}})
  return {
    hub,
    take: (e) => {
      if (e.hub === undefined || e.hub === id) hub.told(e.from, e.said)
    },
    stop() {
      over.abort()
      hub.stop()
    },
  }
}

/** A tab's part in a connection that tabs share. It leads, when it is its turn. */
class SharedWire implements Wire {
  state: State = 'idle'
  private reason?: Reason
  user?: string
  welcome: any

  private readonly id = randomId()
  private client = randomId() // of who is not signed in, the same in all tabs
  private turn = 0
  private failures = 0
  private group = ''
  private channel?: TabChannel
  private over?: AbortController // ends what the tab holds
  private queue?: AbortController // ends its waiting to lead
  private leading?: Lead
  private release = () => {} // of the lead
  private hub?: string // who leads
  private up = false
  private fresh?: {token: string; at: number} // it was asked for to join, and not used yet
  private transport: TransportName
  private readonly retry = new Timer(this.env.clock)
  private readonly alive = new Timer(this.env.clock)
  private readonly answer = new Timer(this.env.clock)
  private unwatch?: () => void

  constructor(
    private readonly url: string,
    private readonly source: TokenSource | undefined,
    private readonly settings: Settings,
    private readonly env: Environment,
    private readonly owner: Owner,
    private readonly locks: TabLocks,
    private readonly open: (name: string) => TabChannel,
    private readonly worker?: string | URL,
  ) {
    this.transport = settings.transports[0]!
  }

  get live(): boolean { return this.up && (this.state === 'live' || this.state === 'probing') }

  connect(): void {
    if (this.state === 'waiting') return this.back(false)
    if (this.state !== 'idle' && this.state !== 'closed') return
    this.failures = 0
    this.unwatch ??= this.env.watch((network) => this.back(network), () => this.hide(), () => this.freeze())
    void this.join('connect', 'connect')
  }

  need(): void {
    if (this.state === 'idle') this.connect()
  }

  close(reason: 'close' | 'sign_out' = 'close'): void {
    if (this.state === 'closed') return
    if (reason === 'sign_out' && this.channel) {
      this.channel.postMessage({from: this.id, said: {type: 'signed out'}})
    }
    this.end(reason)
  }

  send(m: Message): void {
    if (this.live) this.say({type: 'send', m})
  }

  test(_: Reason): void { this.say({type: 'test'}) }

  // Coming and going.

  private async join(reason: Reason, why: TokenReason, token?: string): Promise<void> {
    const turn = ++this.turn
    this.retry.stop()
    this.set({state: 'opening', reason})
    const got = token ?? await askToken(this.source, why, this.env.clock, this.settings.tokenTimeout)
    if (turn !== this.turn) return
    if (got instanceof RingdownError) {
      const retryIn = backoff(this.env.clock, this.failures++, this.settings.backoffBase, this.settings.backoffCap)
      this.set({state: 'waiting', reason: 'token', retryIn, error: got})
      return this.retry.set(retryIn, () => void this.join('retry', 'reconnect'))
    }
    this.failures = 0
    this.fresh = got === undefined ? undefined : {token: got, at: this.env.clock.now()}
    this.group = this.groupOf(got)
    this.channel = this.open(this.group)
    this.channel.onmessage = ({data}) => this.take(data)
    this.over = new AbortController()
    const {signal} = this.over
    const shared = await new Promise((held) => {
      this.locks.request(lifeOf(this.id), {signal}, () => {
        held(true)
        return new Promise((done) => signal.addEventListener('abort', done))
      }).catch(() => held(false))
    })
    if (turn !== this.turn) return
    if (!shared) return this.alone()
    if (this.worker) this.startWorker(this.worker)
    else this.campaign(false)
    this.hello()
    this.lookOften()
  }

  /** There are locks, and they are not given here: in a frame without an origin, say. */
  private alone(): void {
    this.channel!.close()
    this.channel = this.open(this.id)
    void this.begin(this.queue = new AbortController())
  }

  /** Leaves the others. */
  private leave(): void {
    this.turn++
    for (const timer of [this.retry, this.alive, this.answer]) timer.stop()
    if (this.hub) this.say({type: 'bye'})
    this.hub = undefined
    this.looking = false
    this.freeze()
    this.over?.abort()
    this.channel?.close()
    this.channel = undefined
    this.down()
  }

  private end(reason: Reason, error?: RingdownError): void {
    this.leave()
    this.unwatch?.()
    this.unwatch = undefined
    this.set({state: 'closed', reason, error})
  }

  private down(): void {
    if (!this.up) return
    this.up = false
    this.owner.down()
  }

  /** Somebody is back. */
  private back(network: boolean): void {
    if (this.state === 'closed' || this.state === 'idle') return
    if (this.state === 'waiting' && !this.channel) return void this.join('wake', 'reconnect')
    if (this.hub && !this.queue) this.campaign(false)
    this.say({type: 'wake', network})
    this.look()
  }

  /** The page stands still from now on: it may answer still, but hears nothing of the line. */
  private freeze(): void {
    this.queue?.abort()
    this.queue = undefined
    this.release()
  }

  /** The page goes to where pages are kept that may come back. */
  private hide(): void {
    if (this.state === 'idle' || this.state === 'closed') return
    this.leave()
    this.set({state: 'waiting', reason: 'wake'})
  }

  /** Those share a connection that are of one user at one server. Whose a token is that changes and is no JSON Web Token is not known here, so its tab is alone. */
  private groupOf(token: string | undefined): string {
    const who = token === undefined ? 'nobody' : subjectOf(token) ?? (typeof this.source === 'string' ? `token ${token}` : `tab ${this.id}`)
    return `ringdown ${this.url} ${who}`
  }

  // Leading.

  private campaign(steal: boolean): void {
    this.queue?.abort()
    const queue = (this.queue = new AbortController())
    // Stealing and a signal do not go together.
    const asked = this.locks.request(this.group, steal ? {steal} : {signal: queue.signal}, () => this.begin(queue))
    asked.catch(() => {}).then(() => {
      if (this.queue !== queue) return
      // Another has taken it away, for this one was frozen.
      this.stopLeading()
      if (!this.channel) return
      this.hub = undefined
      this.lose()
      this.hello()
      this.retry.set(patience, () => this.campaign(false))
    })
  }

  /** It is this tab's turn to lead. */
  private begin(queue: AbortController): Promise<void> | undefined {
    if (this.queue !== queue || !this.channel) return undefined
    return new Promise<void>((done) => {
      const hub = randomId()
      const local = {id: this.id, told: (from: string, said: ToTab) => this.told(from, said)}
      this.release = () => {
        this.stopLeading()
        done()
      }
      this.leading = lead(this.env, hub, this.client, this.channel!, this.locks, local)
      this.told(hub, {type: 'lead'})
    })
  }

  private stopLeading(): void {
    this.leading?.stop()
    this.leading = undefined
    this.release = () => {}
  }

  private startWorker(url: string | URL): void {
    const lead = () => this.channel && !this.leading && this.campaign(false)
    try {
      const worker = new (globalThis as any).SharedWorker(url, {type: 'module', name: this.group})
      worker.onerror = lead
    } catch {
      lead()
    }
  }

  // Speaking with who leads.

  private say(said: ToHub): void {
    const e = {from: this.id, hub: said.type === 'hello' ? undefined : this.hub, said}
    if (this.leading) this.leading.take(e)
    else this.channel?.postMessage(e)
    if (said.type === 'send') this.look()
  }

  private hello(): void {
    const {source, url} = this
    this.say({type: 'hello', url, settings: plain(this.settings), token: typeof source === 'function' || source, items: this.owner.items()})
  }

  private lookOften(): void {
    this.alive.set(this.settings.watch, () => {
      this.look()
      this.lookOften()
    })
  }

  private looking = false
  /** Looks whether who leads answers; who does not is replaced. */
  private look(): void {
    if (this.looking || this.leading || !this.channel) return
    this.looking = true
    this.say({type: 'ping'})
    // Not all at the same time.
    const most = (this.worker && !this.hub ? workerPatience : patience) + this.env.clock.random() * 200
    this.answer.set(most, () => {
      // The answer may be here already, behind this, if it was this tab that was busy.
      this.answer.set(50, () => {
        this.looking = false
        this.hub = undefined
        this.campaign(true)
      })
    })
  }

  private take(e: Envelope<ToHub | ToTab | {type: 'signed out'}>): void {
    if (e.said.type === 'signed out') return this.end('sign_out')
    if (e.to && !e.to.includes(this.id)) return
    if ('hub' in e) this.leading?.take(e as Envelope<ToHub>)
    else this.told(e.from, e.said as ToTab)
  }

  private told(from: string, said: ToTab): void {
    if (!this.channel) return
    if (said.type === 'lead') return this.follow(from, true)
    if (this.hub === undefined) this.follow(from, false) // it led before this tab came
    if (from !== this.hub) return
    this.looking = false
    this.answer.stop()
    switch (said.type) {
      case 'state': return this.mirror(said)
      case 'up':
        this.client = said.client
        this.welcome = said.welcome
        this.user = said.user
        if (this.up) return
        this.up = true
        return this.owner.up({type: 'welcome', data: said.welcome}, [])
      case 'down': return this.down()
      case 'renewed': return this.owner.renewed()
      case 'message': return this.owner.message(said.m)
      case 'ask': return void this.answerWith(said.n, said.reason)
    }
  }

  /** Who led is gone. */
  private lose(): void {
    if (this.up) this.set({state: 'opening', reason: 'lost'})
    this.down()
  }

  /** Somebody leads. */
  private follow(hub: string, fresh: boolean): void {
    if (this.hub === hub) return
    this.hub = hub
    this.looking = false
    this.answer.stop()
    if (this.worker && this.queue === undefined) this.campaign(false) // after the worker
    this.lose()
    if (fresh) this.hello()
  }

  private mirror({event, user, error}: Extract<ToTab, {type: 'state'}>): void {
    this.user = user
    this.transport = event.transport
    const e = {...event, ...(error ? {error: readError(error)} : {})}
    if (e.state === 'closed') return this.end(e.reason, e.error)
    if (e.state !== this.state || e.reason !== this.reason || e.state === 'waiting') this.set(e)
  }

  private async answerWith(n: number, reason: TokenReason): Promise<void> {
    const {group, fresh} = this
    this.fresh = undefined
    const good = fresh && reason.endsWith('connect') && this.env.clock.now() - fresh.at < freshFor
    const token = good ? fresh.token : await askToken(this.source, reason, this.env.clock, this.settings.tokenTimeout)
    if (token instanceof RingdownError || token === undefined) {
      return this.say({type: 'token', n, error: token?.message ?? 'no token'})
    }
    if (this.groupOf(token) === group) return this.say({type: 'token', n, token})
    // Somebody else signed in here: with the others it has nothing to share any more.
    this.say({type: 'token', n, error: 'another user'})
    this.leave()
    void this.join('token', reason, token)
  }

  private set(e: Partial<StateEvent> & {state: State; reason: Reason}): void {
    const previous = this.state
    this.state = e.state
    this.reason = e.reason
    this.owner.changed({transport: this.transport, ...e, previous})
  }
}

/** What can be sent to another tab. */
function plain(s: Settings): Settings {
  return Object.fromEntries(Object.keys(defaults).map((k) => [k, s[k as keyof Settings]])) as any
}

/** Who a JSON Web Token is of; undefined if it is none. Nobody is let in by that: the server judges. */
function subjectOf(token: string): string | undefined {
  try {
    const part = token.split('.')[1]!.replace(/-/g, '+').replace(/_/g, '/')
    const claims = JSON.parse(new TextDecoder().decode(decodeBase64(part)))
    return JSON.stringify(claims.sub ?? '')
  } catch {
    return undefined
  }
}
