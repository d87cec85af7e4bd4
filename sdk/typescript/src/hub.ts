import {Connection, type Owner, type StateEvent} from './connection.js'
import {packed} from './errors.js'
import type {Environment, Settings, TokenReason} from './options.js'
import type {Item, Message} from './protocol.js'
import {Room} from './room.js'

/** What a tab says to the hub. */
export type ToHub =
  /** It is here: said when it comes, and again to each new hub. */
  | {type: 'hello'; url: string; settings: Settings; token?: string | true; items: Item[]} // true: tabs are asked for it
  | {type: 'send'; m: Message}
  | {type: 'test'}
  | {type: 'wake'; network: boolean}
  | {type: 'ping'}
  | {type: 'token'; n: number; token?: string; error?: string}
  | {type: 'bye'}

/** What the hub says to tabs. */
export type ToTab =
  | {type: 'lead'}
  | {type: 'pong'}
  | {type: 'state'; event: StateEvent; user?: string; error?: object}
  | {type: 'up'; welcome: any; user?: string; client: string}
  | {type: 'down'}
  | {type: 'renewed'}
  | {type: 'message'; m: Message}
  | {type: 'ask'; n: number; reason: TokenReason}

interface Tab {
  id: string
  awake: number // the last time that somebody looked at it
}

interface Membership {
  data?: any // of its enter
  stop?: () => void // it is gone, and waited for
}

/** How the hub reaches tabs, and hears that one is gone. */
export interface Tabs {
  post(to: string[] | 'all', said: ToTab): void
  watch(tab: string, gone: () => void): void
}

const askNext = 2_000 // how long one tab may take to answer with a token before another is asked too
const grace = 15_000 // how long a member whose tab is gone is waited for

/**
 * Holds the one connection that tabs share, and does for each of them what a server would. The
 * tabs have their own subscriptions and positions: a hub that is gone takes nothing with it.
 */
export class Hub {
  private connection?: Connection
  private readonly tabs = new Map<string, Tab>()
  private readonly rooms = new Map<string, Room>()
  private readonly pending = new Map<number, {tab: string; id: string | number}>()
  private readonly batches = new Map<number, Room[]>()
  private readonly starting = new Set<Room>() // in the next subscribe
  private readonly members = new Map<string, Map<string, Membership>>() // by channel and tab
  private readonly questions = new Map<number, (a: {token?: string; error?: string}) => void>()
  private lastId = 0 // 0 is the connection's own
  private event?: StateEvent
  private up?: any // the welcome, while there is a line

  /** client is by what the server knows who is not signed in. */
  constructor(private readonly env: Environment, private readonly client: string, private readonly out: Tabs) {}

  /** The connection ends with it; the tabs are not told, for another hub follows. */
  stop(): void {
    const connection = this.connection
    this.connection = undefined
    connection?.close()
    for (const list of this.members.values()) for (const m of list.values()) m.stop?.()
  }

  /** Ends the connection for all: the user has left. */
  signOut(): void { this.connection?.close('sign_out') }

  told(from: string, said: ToHub): void {
    const tab = this.tabs.get(from)
    if (said.type === 'hello') return this.hello(from, said)
    if (!tab) return
    switch (said.type) {
      case 'send': return this.send(from, said.m)
      case 'test': return this.connection?.test('wake')
      case 'ping': return this.out.post([from], {type: 'pong'})
      case 'token': return this.questions.get(said.n)?.(said)
      case 'bye': return this.gone(from)
      case 'wake':
        tab.awake = this.env.clock.now()
        return this.connection?.wake(said.network)
    }
  }

  private hello(from: string, hello: Extract<ToHub, {type: 'hello'}>): void {
    const known = this.tabs.has(from)
    this.tabs.set(from, {id: from, awake: this.env.clock.now()})
    if (!known) this.out.watch(from, () => this.gone(from))
    if (!this.connection || this.connection.state === 'closed') {
      const {url, settings, token, items} = hello
      for (const item of items) this.rooms.set(item.channel, new Room(item.channel, item)) // for what streams begin with
      const source = token === true ? (reason: TokenReason) => this.askToken(reason) : token
      // Only tabs see somebody come back, and say so.
      const env = {...this.env, watch: () => () => {}}
      this.connection = new Connection(url, source, settings, env, this.owner(), this.client)
      return this.connection.connect()
    }
    if (this.event) this.out.post([from], this.stateOf(this.event))
    if (this.up) this.out.post([from], this.upOf())
  }

  private gone(id: string): void {
    if (!this.tabs.delete(id)) return
    for (const [name, room] of this.rooms) {
      const list = this.members.get(name)
      const m = list?.get(id)
      if (!m) {
        this.unfollow(id, room)
        continue
      }
      // A page that is loaded anew is back in a moment.
      m.stop = this.env.clock.after(grace, () => {
        if (list!.size === 1 && m.data?.will) this.connection?.send({...m.data.will, channel: name})
        this.leave(id, {type: 'presence', channel: name, data: {action: 'leave'}})
        this.unfollow(id, room)
      })
    }
  }

  /** Asks one tab after the other, the one that was looked at last first. */
  private askToken(reason: TokenReason): Promise<string> {
    const order = [...this.tabs.values()].sort((a, b) => b.awake - a.awake)
    return new Promise((resolve, reject) => {
      let failed = 0
      const total = order.length
      const next = () => {
        const tab = order.shift()
        if (!tab) return
        const n = ++this.lastId
        const stop = this.env.clock.after(askNext, next)
        this.questions.set(n, ({token, error}) => {
          this.questions.delete(n)
          stop()
          if (token) return resolve(token)
          if (++failed === total) reject(new Error(error))
          else next()
        })
        this.out.post([tab.id], {type: 'ask', n, reason})
      }
      next()
    })
  }

  // What tabs send.

  private send(tab: string, m: Message): void {
    if (!this.connection?.live) return // it is sent again on the next line
    switch (m.type) {
      case 'subscribe':
        for (const item of m.channels!) this.follow(tab, item)
        return this.subscribe()
      case 'unsubscribe': {
        const room = this.rooms.get(m.channel!)
        return room ? this.unfollow(tab, room) : this.connection.send(m)
      }
      case 'presence':
        if (m.data?.action === 'leave') return this.leave(tab, m)
        if (m.data?.action !== 'get') this.enter(tab, m)
    }
    this.forward(tab, m)
  }

  private forward(tab: string, m: Message): void {
    if (m.id === undefined) return this.connection!.send(m)
    const id = ++this.lastId
    this.pending.set(id, {tab, id: m.id})
    this.connection!.send({...m, id})
  }

  private follow(tab: string, item: Item): void {
    let room = this.rooms.get(item.channel)
    if (!room) this.rooms.set(item.channel, (room = new Room(item.channel, item)))
    room.followers.add(tab)
    const answer = room.follow(tab, item)
    if (answer === 'again') this.connection!.send({type: 'unsubscribe', channel: room.name})
    if (typeof answer === 'string') this.starting.add(room)
    else for (const m of answer) this.out.post([tab], {type: 'message', m})
  }

  /** Subscribes to what is followed now: at once, for what the tab publishes next comes behind it. A tab asks for no more at a time than fits. */
  private subscribe(): void {
    const list = [...this.starting]
    this.starting.clear()
    if (!list.length) return
    const id = ++this.lastId
    this.batches.set(id, list)
    this.connection!.send({type: 'subscribe', channels: list.map((r) => r.request), id})
  }

  private unfollow(tab: string, room: Room): void {
    room.drop(tab)
    if (room.followers.size > 0 || this.rooms.get(room.name) !== room) return
    this.rooms.delete(room.name)
    this.members.delete(room.name)
    this.starting.delete(room)
    if (this.connection?.live && room.phase !== 'off') this.connection.send({type: 'unsubscribe', channel: room.name})
  }

  /** The connection is one member, for as long as any tab is. */
  private enter(tab: string, m: Message): void {
    let list = this.members.get(m.channel!)
    if (!list) this.members.set(m.channel!, (list = new Map()))
    list.get(tab)?.stop?.()
    list.delete(tab) // it is the last that spoke
    list.set(tab, {data: m.data})
  }

  private leave(tab: string, m: Message): void {
    const list = this.members.get(m.channel!)
    list?.get(tab)?.stop?.()
    list?.delete(tab)
    const other = [...(list?.values() ?? [])].at(-1)
    if (!other) {
      this.members.delete(m.channel!)
      return this.forward(tab, m)
    }
    this.connection?.send({type: 'presence', channel: m.channel, data: {...other.data, action: 'enter'}})
    if (m.id !== undefined) this.out.post([tab], {type: 'message', m: {type: 'ack', channel: m.channel, id: m.id}})
  }

  // What the server sends.

  private owner(): Owner {
    return {
      items: () => [...this.rooms.values()].map((r) => r.item()),
      up: (welcome, begun) => {
        for (const room of this.rooms.values()) {
          const item = begun.find((i) => i.channel === room.name)
          if (item) room.begun(item)
          else this.rooms.delete(room.name)
        }
        this.up = welcome.data
        this.out.post('all', this.upOf())
        // The tabs ask again for what they follow. What nobody asks for is left.
        if (begun.length) this.env.clock.after(10_000, () => this.rooms.forEach((r) => this.unfollow('', r)))
      },
      down: () => {
        this.up = undefined
        for (const list of this.members.values()) for (const m of list.values()) m.stop?.()
        this.members.clear() // they enter again
        this.pending.clear()
        this.batches.clear()
        this.starting.clear()
        for (const room of this.rooms.values()) room.lost()
        this.out.post('all', {type: 'down'})
      },
      message: (m) => this.message(m),
      changed: (e) => {
        this.event = e
        if (this.connection) this.out.post('all', this.stateOf(e))
      },
      renewed: () => this.out.post('all', {type: 'renewed'}),
    }
  }

  private upOf(): ToTab { return {type: 'up', welcome: this.up, user: this.connection!.user, client: this.client} }

  private stateOf(event: StateEvent): ToTab {
    const {error, ...rest} = event
    return {type: 'state', event: rest, user: this.connection?.user, ...(error ? {error: packed(error)} : {})}
  }

  private message(m: Message): void {
    const {id} = m
    if (typeof id === 'number') {
      const of = this.pending.get(id)
      if (of) {
        this.pending.delete(id)
        return this.out.post([of.tab], {type: 'message', m: {...m, id: of.id}})
      }
      const batch = this.batches.get(id)
      this.batches.delete(id)
      if (m.channel === undefined) {
        for (const room of batch ?? []) this.give(room, {...m, id: undefined, channel: room.name})
        return
      }
      const i = batch?.findIndex((r) => r.name === m.channel) ?? -1
      if (i < 0) return // it comes too late
      const [room] = batch!.splice(i, 1)
      if (batch!.length) this.batches.set(id, batch!)
      if (this.rooms.get(m.channel) === room) this.give(room!, {...m, id: undefined}) // the tabs have other numbers
      return
    }
    const room = m.channel === undefined ? undefined : this.rooms.get(m.channel)
    if (room) this.give(room, m)
    else if (m.type === 'error') this.out.post('all', {type: 'message', m})
  }

  private give(room: Room, m: Message): void {
    const to = room.take(m)
    if (room.phase === 'off') {
      this.rooms.delete(room.name)
      this.members.delete(room.name)
    }
    if (to.length) this.out.post(to, {type: 'message', m})
    // Others lose what one of them asked for anew and was refused.
    if (m.type === 'error' && room.phase === 'off') {
      const others = [...room.followers].filter((t) => !to.includes(t))
      if (others.length) this.out.post(others, {type: 'message', m: {type: 'unsubscribed', channel: room.name}})
    }
    for (const [tab, item] of room.waiting()) if (room.followers.has(tab)) this.follow(tab, item)
    this.subscribe()
  }
}
