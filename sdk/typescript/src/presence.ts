import {Handlers} from './events.js'
import type {Message} from './protocol.js'

/** Somebody who is there. */
export interface Member<T = any> {
  /** Tells members apart, and is good for nothing else. */
  id: string
  /** Missing for who is not signed in. */
  user?: string
  data?: T
}

/** A publication that the server makes when a member is gone without having said so. */
export interface Will {
  type: string
  /** On a state channel. */
  key?: string
  data?: unknown
}

/** take is given the answer there and then, before anything that comes behind it. */
type Ask = (data: object, take?: (m: Message) => void) => Promise<Message>

/** Who is there on one channel. What was entered is entered again after each return. */
export class Presence<T = any> {
  private table: ReadonlyMap<string, Member<T>> = new Map()
  private fresh?: Map<string, Member<T>> // a table that is being read, page by page
  private entered?: {data: unknown; will?: Will}
  private leaveHold?: () => void
  private watchers = 0
  private reading = 0
  private on_ = false // the channel is subscribed to
  private readonly handlers: Handlers<{change: ReadonlyMap<string, Member<T>>}>

  constructor(private readonly ask: Ask, private readonly hold: () => () => void, private readonly thrown: (cause: unknown) => void) {
    this.handlers = new Handlers(thrown)
  }

  /** Who is there by id, while anybody watches; another map after each change. */
  get members(): ReadonlyMap<string, Member<T>> { return this.table }

  /** Watches who is there; fn is called after each change. */
  on(fn: (members: ReadonlyMap<string, Member<T>>) => void, {signal}: {signal?: AbortSignal} = {}): () => void {
    const release = this.hold()
    if (this.watchers++ === 0 && this.on_) void this.read()
    return this.handlers.on('change', fn, signal, () => {
      this.watchers--
      release()
    })
  }

  /** Makes this client a member, until it leaves or the client is closed. */
  async enter(data?: T, {will}: {will?: Will} = {}): Promise<void> {
    this.leaveHold ??= this.hold()
    this.entered = {data, will}
    if (this.on_) await this.say('enter')
    else await this.whenOn
  }

  /** Changes what this member says of itself. */
  async update(data: T): Promise<void> {
    await this.enter(data, {will: this.entered?.will})
  }

  async leave(): Promise<void> {
    if (!this.entered) return
    // Whoever enters again meanwhile takes a hold of its own.
    const release = this.leaveHold
    this.entered = this.leaveHold = undefined
    try {
      if (this.on_) await this.ask({action: 'leave'})
    } finally {
      release?.()
    }
  }

  // Of those who enter before the channel is subscribed to.
  private settleOn?: {resolve(): void; reject(cause: unknown): void}
  private whenOn: Promise<void> = this.renew()
  private renew(): Promise<void> {
    const p = new Promise<void>((resolve, reject) => { this.settleOn = {resolve, reject} })
    p.catch(() => {})
    return p
  }

  private async say(action: 'enter'): Promise<void> {
    const {data, will} = this.entered!
    await this.ask({action, data, will: will || undefined}) // JSON leaves out what is undefined
  }

  /** @internal The channel is subscribed to. */
  async up(): Promise<void> {
    this.on_ = true
    const waiting = this.settleOn!
    this.whenOn = this.renew()
    if (this.watchers > 0) void this.read()
    try {
      if (this.entered) await this.say('enter')
      waiting.resolve()
    } catch (cause) {
      waiting.reject(cause)
      if (!(cause as any)?.retryable) this.thrown(cause)
    }
  }

  /** @internal */
  down(cause?: unknown): void {
    this.on_ = false
    this.fresh = undefined
    this.reading++
    if (cause === undefined) return
    this.settleOn!.reject(cause)
    this.whenOn = this.renew()
  }

  /** @internal */
  told({data}: Message): void {
    if (data?.action === 'members') {
      this.fresh = undefined
      this.reading++
      this.change(() => new Map(data.members.map((m: Member<T>) => [m.id, m])))
      if (data.more && this.watchers > 0) void this.read()
      return
    }
    const apply = (table: Map<string, Member<T>>) => {
      if (data.action === 'leave') table.delete(data.member.id)
      else table.set(data.member.id, data.member)
      return table
    }
    if (this.fresh) apply(this.fresh)
    this.change((table) => apply(new Map(table)))
  }

  /** Reads the whole table, and takes part meanwhile in what is told. */
  private async read(): Promise<void> {
    const turn = ++this.reading
    const fresh = new Map<string, Member<T>>()
    this.fresh = fresh
    try {
      for (let after: string | undefined; ;) {
        const {data} = await this.ask({action: 'get', after}, ({data}) => {
          for (const m of data.members) fresh.set(m.id, m)
        })
        if (turn !== this.reading) return
        if (!data.more || data.members.length === 0) break
        after = data.members.at(-1).id
      }
      this.fresh = undefined
      this.change(() => fresh)
    } catch (cause) {
      if (turn === this.reading && this.on_) this.thrown(cause)
    }
  }

  private change(to: (table: ReadonlyMap<string, Member<T>>) => ReadonlyMap<string, Member<T>>): void {
    this.table = to(this.table)
    this.handlers.emit('change', this.table)
  }
}
