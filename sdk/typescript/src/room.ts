import type {Item, Message, Position} from './protocol.js'

const most = 256 // messages that a room keeps for tabs that come

/**
 * A channel that tabs follow over one connection, on which the server knows it once. A tab that
 * comes is answered from what has come since; when that does not do, the channel is subscribed to
 * anew, from where that tab is, and the others pass over what they had. A rate is that of who
 * came first.
 */
export class Room {
  phase: 'off' | 'asked' | 'on' = 'off'
  readonly followers = new Set<string>()

  private asking = new Set<string>() // are given the answer that is to come
  private later = new Map<string, Item>() // look again when it has come
  private position?: Position
  private floor = 0 // all after this offset is in recent
  private recent: Message[] = []
  private keyed = false
  private parts = false // a state is being given

  /** request is what was asked of the server, or is to be. */
  constructor(readonly name: string, public request: Item) {}

  /** What a stream begins with. */
  item(): Item {
    const {rate} = this.request.data ?? {}
    if (this.position) this.request = {channel: this.name, since: {...this.position}, ...(rate ? {data: {rate}} : {})}
    return this.request
  }

  /** A stream began with it. */
  begun(item: Item): void {
    this.phase = 'asked'
    this.request = item
  }

  /** The line is gone. Who follows asks again on the next. */
  lost(): void {
    this.phase = 'off'
    this.parts = false
    this.followers.clear()
    this.asking.clear()
    this.later.clear()
  }

  drop(tab: string): void {
    this.followers.delete(tab)
    this.asking.delete(tab)
    this.later.delete(tab)
  }

  /** Those who wait for another answer, once. */
  waiting(): Map<string, Item> {
    if (this.phase === 'asked' || this.parts) return new Map()
    const list = this.later
    this.later = new Map()
    return list
  }

  /** Takes a tab in: with messages for it, or by asking the server, for the first time or again. */
  follow(tab: string, item: Item): Message[] | 'start' | 'again' {
    if (this.phase === 'off') {
      this.ask(tab, item)
      return 'start'
    }
    if (this.phase === 'asked') {
      if (this.covers(item)) this.asking.add(tab)
      else this.later.set(tab, item)
      return []
    }
    if (this.parts) {
      this.later.set(tab, item)
      return []
    }
    const known = this.known(item)
    if (known) return known
    this.ask(tab, item)
    return 'again'
  }

  private ask(tab: string, item: Item): void {
    this.request = item
    this.phase = 'asked'
    this.asking.add(tab)
  }

  /** Whether the answer to what was asked will do for item as well. */
  private covers(item: Item): boolean {
    const {since, data} = this.request
    if (!since || !item.since) return !since && !item.since && (item.data?.last ?? 0) <= (data?.last ?? 0)
    return since.epoch === item.since.epoch && item.since.offset >= since.offset
  }

  /** What item is answered with from what is here; undefined if that does not do. */
  private known({since, data}: Item): Message[] | undefined {
    const answer: Message = {type: 'subscribed', channel: this.name}
    const at = this.position
    if (!at) return data?.last || since || this.keyed ? undefined : [answer]
    if (!since) return data?.last || this.keyed ? undefined : [{...answer, ...at}]
    if (since.epoch !== at.epoch || since.offset < this.floor || since.offset > at.offset) return undefined
    const missed = this.recent.filter((m) => m.offset! > since.offset)
    return [{...answer, ...at, data: {recovered: true, head: at.offset}}, ...missed]
  }

  /** Takes a message of the server and answers whom it is for. */
  take(m: Message): string[] {
    switch (m.type) {
      case 'subscribed': return this.subscribed(m)
      case 'unsubscribed':
        if (this.phase !== 'on') return [] // the answer to one of ours
        this.phase = 'off'
        break
      case 'error':
        if (this.phase === 'asked') {
          this.phase = 'off'
          return this.answered()
        }
        break
      case 'state':
        this.keyed = true
        this.parts = m.data?.more === true
        break
      case 'gap':
        if (m.epoch !== undefined) this.begin({epoch: m.epoch, offset: m.offset ?? 0})
        else if (m.data?.to !== undefined) this.floor = Math.max(this.floor, m.data.to)
        break
      default:
        this.keep(m)
    }
    return [...this.followers]
  }

  private answered(): string[] {
    const list = [...this.asking]
    this.asking.clear()
    return list
  }

  private subscribed(m: Message): string[] {
    if (this.phase !== 'asked') return []
    this.phase = 'on'
    const {since} = this.request
    if (m.data?.recovered && since) this.begin(since)
    else this.begin(m.epoch === undefined || m.offset === undefined ? undefined : {epoch: m.epoch, offset: m.offset})
    return this.answered()
  }

  private begin(at: Position | undefined): void {
    this.position = at && {...at}
    this.floor = at?.offset ?? 0
    this.recent = []
  }

  private keep(m: Message): void {
    if (m.offset === undefined || !this.position || m.offset <= this.position.offset) return
    const prev = m.prev ?? m.offset - 1
    if (prev > this.position.offset && !this.keyed) this.begin({...this.position, offset: prev}) // a hole, which the tabs ask about
    this.position.offset = m.offset
    this.recent.push(m)
    if (this.recent.length > most) this.floor = this.recent.shift()!.offset!
  }
}
