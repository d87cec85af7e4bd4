/** A value that components read, and whose changes they hear of: what useSyncExternalStore takes. */
export interface Store<T> {
  subscribe(changed: () => void): () => void
  /** The same object until it changes. */
  snapshot(): T
}

/**
 * A store that follows something while anybody listens. follow is told how to set the value, and
 * answers with how to stop.
 */
export function following<T>(initial: T, follow: (set: (to: (was: T) => T) => void) => () => void): Store<T> {
  let value = initial
  let stop: (() => void) | undefined
  const listeners = new Set<() => void>()
  const set = (to: (was: T) => T) => {
    value = to(value)
    for (const changed of listeners) changed()
  }
  return {
    subscribe(changed) {
      // Strict mode mounts twice with the same function.
      const own = () => changed()
      listeners.add(own)
      stop ??= follow(set)
      return () => {
        listeners.delete(own)
        if (listeners.size > 0) return
        stop?.()
        stop = undefined
      }
    },
    snapshot: () => value,
  }
}
