import {Handlers} from './events.js'
import type {Message} from './protocol.js'

export interface StateChange<T> {
  /** The key that changed; undefined if all of it was replaced. */
  key?: string
  /** Its value now; undefined if it was deleted. */
  value?: T
  message?: Message
}

/** What a state channel keeps: the latest value of each key, kept up to date while it is followed. */
export class SharedState<T = any> implements ReadonlyMap<string, T> {
  /** Whether all of it is there. */
  ready = false
  private messages = new Map<string, Message>()
  private readonly handlers: Handlers<{change: StateChange<T>}>

  /** hold makes the channel be followed until the returned function is called. */
  constructor(private readonly hold: () => () => void, thrown: (cause: unknown) => void) {
    this.handlers = new Handlers(thrown)
  }

  /** Follows the state; fn is called after each change. */
  on(fn: (change: StateChange<T>) => void, {signal}: {signal?: AbortSignal} = {}): () => void {
    const release = this.hold()
    return this.handlers.on('change', fn, signal, release)
  }

  /** Answers when all of it is there. */
  async whenReady({signal}: {signal?: AbortSignal} = {}): Promise<this> {
    signal?.throwIfAborted()
    if (this.ready) return this
    await new Promise<void>((resolve, reject) => {
      const cancel = () => {
        off()
        reject(signal!.reason)
      }
      const off = this.on(() => {
        if (!this.ready) return
        off()
        signal?.removeEventListener('abort', cancel)
        resolve()
      })
      signal?.addEventListener('abort', cancel)
    })
    return this
  }

  get size(): number { return this.messages.size }
  get(key: string): T | undefined { return this.messages.get(key)?.data }
  /** The message that a value came with: its time, its offset. */
  message(key: string): Message | undefined { return this.messages.get(key) }
  has(key: string): boolean { return this.messages.has(key) }
  keys() { return this.messages.keys() }
  values() { return [...this.messages.values()].map((m): T => m.data).values() }
  entries() { return [...this.messages].map(([key, m]): [string, T] => [key, m.data]).values() }
  forEach(fn: (value: T, key: string, map: ReadonlyMap<string, T>) => void): void { this.messages.forEach((m, k) => fn(m.data, k, this)) }
  [Symbol.iterator]() { return this.entries() }

  /** @internal */
  replace(items: Message[]): void {
    this.messages = new Map(items.filter((m) => m.key !== undefined && m.data !== null).map((m) => [m.key!, m]))
    this.ready = true
    this.handlers.emit('change', {})
  }

  /** @internal */
  apply(m: Message): void {
    if (m.key === undefined) return
    if (m.data === null) this.messages.delete(m.key)
    else this.messages.set(m.key, m)
    this.handlers.emit('change', {key: m.key, value: m.data ?? undefined, message: m})
  }
}
