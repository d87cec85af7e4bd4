type Handler = (detail: any) => unknown

/** Handlers by event. One that throws costs the others nothing. */
export class Handlers<Events> {
  // Made when there is somebody: most have nobody, and there may be thousands of them. A list is
  // replaced and never changed, so that whoever goes through one is not disturbed.
  private lists?: {[K in keyof Events]?: readonly Handler[]}

  constructor(private readonly thrown: (cause: unknown) => void) {}

  has(event: keyof Events): boolean { return (this.lists?.[event]?.length ?? 0) > 0 }

  /** Adds a handler, until the returned function is called or signal aborts. */
  on<K extends keyof Events>(event: K, fn: (detail: Events[K]) => unknown, signal?: AbortSignal, ended?: () => void): () => void {
    if (signal?.aborted) {
      ended?.()
      return () => {}
    }
    const lists: {[K in keyof Events]?: readonly Handler[]} = (this.lists ??= Object.create(null))
    lists[event] = [...(lists[event] ?? []), fn]
    let on = true
    const off = () => {
      if (!on) return
      on = false
      signal?.removeEventListener('abort', off)
      const list = lists[event]!
      const i = list.indexOf(fn)
      lists[event] = list.filter((_, n) => n !== i)
      ended?.()
    }
    signal?.addEventListener('abort', off)
    return off
  }

  emit<K extends keyof Events>(event: K, detail: Events[K]): void {
    const list = this.lists?.[event]
    if (!list) return
    for (const fn of list) {
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
