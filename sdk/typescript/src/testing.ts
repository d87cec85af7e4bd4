import type {Environment} from './options.js'
import type {Line, LineEvents, Opening} from './line.js'
import type {Item, Message} from './protocol.js'

/** How a channel of a FakeServer is. */
export interface FakeChannel {
  /** It keeps the latest of each key, and gives a snapshot. */
  state?: boolean
  /** It keeps nothing: no offsets, and nothing to come back for. */
  ephemeral?: boolean
  /** Subscribing and publishing are refused with this code. */
  refuse?: string
}

export interface FakeOptions {
  /** How channels are; without it each keeps what is published. */
  channels?: (name: string) => FakeChannel
  /** Who a token is of; without it the token itself. */
  user?: (token: string) => string
}

interface Log extends FakeChannel {
  name: string
  epoch: string
  messages: Message[]
  members: Map<string, {id: string; user?: string; data?: unknown}>
}

interface Open {
  id: string
  user?: string
  events: LineEvents
  /** By channel. */
  subscribed: Set<string>
}

const reserved = new Set(['auth', 'subscribe', 'unsubscribe', 'presence', 'history', 'ping', 'pong'])

/**
 * A server in memory, to test one's own application with: the client is the real one, and only
 * the line is not. It keeps messages, recovers, knows members, state and calls; it judges no tokens and no schemas.
 *
 *   const server = new FakeServer()
 *   const ringdown = new Ringdown('http://test', {environment: server.environment})
 *   server.publish('orders', 'order-created', {id: 1})
 */
export class FakeServer {
  /** What clients have published, in the order in which it came. */
  readonly published: Message[] = []
  private readonly logs = new Map<string, Log>()
  private readonly open = new Set<Open>()
  private readonly calls = new Map<string, (data: any, user?: string) => unknown>()
  private readonly acks = new Map<string, Message>() // by user, channel and dedupe
  private offline = false
  private connections = 0

  constructor(private readonly options: FakeOptions = {}) {}

  /** For the option `environment` of a client. */
  get environment(): Partial<Environment> {
    return {transport: (name) => ({name, open: (o, events) => this.connect(o, events)})}
  }

  /** Publishes as somebody else. */
  publish(channel: string, type: string, data?: unknown, {key, from}: {key?: string; from?: string} = {}): void {
    this.append(this.log(channel), {type, channel, data, ...(key === undefined ? {} : {key}), ...(from === undefined ? {} : {from})})
  }

  /** Answers calls of that event. What fn throws with a code is the error; anything else is `backend_failed`. */
  answer(event: string, fn: (data: any, user?: string) => unknown): void { this.calls.set(event, fn) }

  /** Breaks every line, as a network does; with a code as a server does. */
  cut(code?: number): void {
    for (const line of [...this.open]) {
      this.gone(line)
      line.events.ended(code === undefined ? {} : {code})
    }
  }

  /** While it is offline no line opens; going offline cuts those that there are. */
  setOffline(offline: boolean): void {
    this.offline = offline
    if (offline) this.cut()
  }

  /** Forgets what a channel kept, as a server does that was restarted without a store: clients are told of a gap when they come back. */
  forget(channel: string): void {
    const log = this.log(channel)
    log.messages = []
    log.epoch = 'e' + ++this.connections
  }

  private log(name: string): Log {
    let log = this.logs.get(name)
    if (!log) this.logs.set(name, (log = {...this.options.channels?.(name), name, epoch: 'e0', messages: [], members: new Map()}))
    return log
  }

  private connect(o: Opening, events: LineEvents): Line {
    const user = o.token === undefined ? undefined : (this.options.user?.(o.token) ?? o.token)
    const line: Open = {id: 'c' + ++this.connections, user, events, subscribed: new Set()}
    let over = false
    // As over a network, nothing is told while the client is still opening.
    queueMicrotask(() => {
      if (over) return
      if (this.offline) return events.ended({})
      this.open.add(line)
      events.opened()
      events.message({type: 'welcome', data: {connection: line.id, user, protocol: 1, ping: 25_000, max_message: 65_536, dedupe_window: 120_000, server: 'fake'}})
      for (const item of o.channels) this.subscribe(line, item)
    })
    return {
      send: (m) => {
        const message = structuredClone(m)
        queueMicrotask(() => this.open.has(line) && this.take(line, message))
      },
      close: () => {
        over = true
        this.gone(line)
      },
    }
  }

  private gone(line: Open): void {
    this.open.delete(line)
    for (const name of line.subscribed) this.leave(this.log(name), line)
  }

  private take(line: Open, m: Message): void {
    const tell = (answer: Message) => line.events.message(answer)
    const fail = (code: string, message: string) =>
      tell({type: 'error', id: m.id, channel: m.channel, data: {code, message, retryable: false, href: '/v1/errors/' + code}})
    switch (m.type) {
      case 'ping': return tell({type: 'pong', data: {time: Date.now()}})
      case 'pong': return
      case 'auth': return tell({type: 'ack', id: m.id})
      case 'subscribe':
        for (const item of m.channels ?? [{channel: m.channel!, since: m.since, data: m.data}]) this.subscribe(line, item, m.id)
        return
      case 'unsubscribe':
        line.subscribed.delete(m.channel!)
        this.leave(this.log(m.channel!), line)
        return tell({type: 'unsubscribed', id: m.id, channel: m.channel})
      case 'history': return this.history(line, m)
      case 'presence': return this.presence(line, m)
    }
    if (m.channel === undefined) return void this.call(line, m, fail)
    const log = this.log(m.channel)
    if (log.refuse) return fail(log.refuse, 'the fake server was told to refuse it')
    const known = m.dedupe === undefined ? undefined : JSON.stringify([line.user, m.channel, m.dedupe])
    let ack = known === undefined ? undefined : this.acks.get(known)
    if (!ack) {
      const {id: _, dedupe: __, ...message} = m
      this.published.push(message)
      const kept = this.append(log, {...message, ...(line.user === undefined ? {} : {from: line.user})})
      ack = {type: 'ack', channel: m.channel, ...(kept.offset === undefined ? {} : {epoch: log.epoch, offset: kept.offset})}
      if (known !== undefined) this.acks.set(known, ack)
    }
    if (m.id !== undefined) tell({...ack, id: m.id})
  }

  private append(log: Log, m: Message): Message {
    const offset = (log.messages.at(-1)?.offset ?? 0) + 1
    const kept = log.ephemeral || m.type === 'typing' ? {...m, time: Date.now()} : {...m, offset, time: Date.now()}
    if (kept.offset !== undefined) log.messages.push(kept)
    for (const line of this.open) if (line.subscribed.has(log.name)) line.events.message(structuredClone(kept))
    return kept
  }

  private subscribe(line: Open, {channel, since, data}: Item, id?: string | number): void {
    const log = this.log(channel)
    const tell = (m: Message) => line.events.message(structuredClone(m))
    if (log.refuse) return tell({type: 'error', id, channel, data: {code: log.refuse, message: 'the fake server was told to refuse it', retryable: false}})
    line.subscribed.add(channel)
    if (log.ephemeral) return tell({type: 'subscribed', id, channel})
    const head = log.messages.at(-1)?.offset ?? 0
    const recovered = since?.epoch === log.epoch && since.offset <= head
    const from = recovered ? since.offset : head - (since ? 0 : Math.min(data?.last ?? 0, log.messages.length))
    tell({type: 'subscribed', id, channel, epoch: log.epoch, offset: from, ...(since ? {data: recovered ? {recovered, head} : {recovered: false, reason: 'epoch'}} : {})})
    if (log.state && !recovered) {
      const latest = new Map(log.messages.filter((m) => m.key !== undefined).map((m) => [m.key, m]))
      tell({type: 'state', channel, data: {items: [...latest.values()].filter((m) => m.data !== null), more: false}})
    }
    for (const m of log.messages) if (m.offset! > from) tell(m)
  }

  private history(line: Open, m: Message): void {
    const {before = Infinity, limit = 100} = m.data ?? {}
    const log = this.log(m.channel!)
    const older = log.messages.filter((k) => k.offset! < before)
    line.events.message(structuredClone({type: 'history', id: m.id, channel: m.channel, epoch: log.epoch, data: {messages: older.slice(-limit), more: older.length > limit}}))
  }

  private presence(line: Open, m: Message): void {
    const log = this.log(m.channel!)
    const {action, data} = m.data
    if (action === 'get') {
      const members = [...log.members.values()]
      return line.events.message(structuredClone({type: 'presence', id: m.id, channel: m.channel, data: {action: 'members', members, total: members.length}}))
    }
    if (m.id !== undefined) line.events.message({type: 'ack', id: m.id, channel: m.channel})
    if (action === 'leave') return this.leave(log, line)
    const member = {id: line.id, user: line.user, data}
    const was = log.members.has(line.id)
    log.members.set(line.id, member)
    this.tellPresence(log, {action: was ? 'update' : 'enter', member})
  }

  private leave(log: Log, line: Open): void {
    if (log.members.delete(line.id)) this.tellPresence(log, {action: 'leave', member: {id: line.id, user: line.user}})
  }

  private tellPresence(log: Log, data: object): void {
    for (const line of this.open) if (line.subscribed.has(log.name)) line.events.message(structuredClone({type: 'presence', channel: log.name, data}))
  }

  private async call(line: Open, m: Message, fail: (code: string, message: string) => void): Promise<void> {
    const fn = this.calls.get(m.type)
    if (!fn || reserved.has(m.type)) return fail('no_backend', `nothing answers the call ${m.type}`)
    try {
      const data = await fn(m.data, line.user)
      if (this.open.has(line)) line.events.message({type: 'ack', id: m.id, data})
    } catch (cause) {
      fail((cause as any)?.code ?? 'backend_failed', String((cause as any)?.message ?? cause))
    }
  }
}
