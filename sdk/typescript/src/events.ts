/** Handlers by event. One that throws costs the others nothing. */
export class Handlers<Events> {
  private readonly lists = new Map<keyof Events, Set<(detail: any) => unknown>>()

  constructor(private readonly thrown: (cause: unknown) => void) {}

  has(event: keyof Events): boolean { return (this.lists.get(event)?.size ?? 0) > 0 }

  /** Adds a handler, until the returned function is called or signal aborts. */
  on<K extends keyof Events>(event: K, fn: (detail: Events[K]) => unknown, signal?: AbortSignal, ended?: () => void): () => void {
    if (signal?.aborted) {
      ended?.()
      return () => {}
    }
    const own = (detail: Events[K]) => fn(detail) // the same function may be added twice
    let list = this.lists.get(event)
    if (!list) this.lists.set(event, (list = new Set()))
    list.add(own)
    const off = () => {
      signal?.removeEventListener('abort', off)
      if (list.delete(own)) ended?.()
    }
    signal?.addEventListener('abort', off)
    return off
  }

  emit<K extends keyof Events>(event: K, detail: Events[K]): void {
    for (const fn of this.lists.get(event) ?? []) {
      try {
        const result = fn(detail)
        if (result instanceof Promise) result.catch(this.thrown)
      } catch (cause) {
        if (event === 'error') console.error(cause) // who listens to errors and throws
        else this.thrown(cause)
      }
    }
  }
}
