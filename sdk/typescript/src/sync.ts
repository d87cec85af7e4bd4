import type {Channel, Event} from './channel.js'
import type {Position} from './protocol.js'

/** What load answers with. */
export interface Loaded<T> {
  data: T
  /** Up to where data has what the channel tells; without it, everything since the subscription is applied. */
  position?: Position
}

export interface SyncOptions<T> {
  /** Fetches the application's own data. Called first, and again when messages are missing for good. */
  load(signal: AbortSignal): Promise<Loaded<T>>
  /** Takes data in place of all that was known. */
  loaded(data: T): void
  /** Applies one event. Where load gives no position it may be given what data has already, so it must be idempotent then. */
  apply(message: Event): void
  /** What load failed with; it is tried again after a while. */
  failed?(cause: unknown): void
  signal?: AbortSignal
  /** The longest first delay before load is tried again, in ms; it doubles up to thirty times that. Default 1,000. */
  retry?: number
}

/**
 * Joins the application's data, which it loads by a request of its own, to the channel that tells
 * what changes, without a moment in between: the channel is followed first, and what comes while
 * load is under way is applied behind it. Ends with the returned function, or with signal.
 */
export function sync<T>(channel: Channel<any>, {load, loaded, apply, failed, signal, retry = 1_000}: SyncOptions<T>): () => void {
  const end = new AbortController()
  const stop = () => end.abort()
  signal?.addEventListener('abort', stop, {signal: end.signal})
  if (signal?.aborted) stop()
  let waiting: Event[] | undefined = [] // while data is being loaded
  let turn = 0 // of loads; only the last one counts
  let timer: ReturnType<typeof setTimeout> | undefined

  const again = (failures: number) => {
    waiting = []
    clearTimeout(timer)
    void run(++turn, failures)
  }
  const run = async (mine: number, failures: number): Promise<void> => {
    try {
      const {data, position} = await load(end.signal)
      if (mine !== turn || end.signal.aborted) return
      loaded(data)
      // Data that is older than the subscription: what lies between is asked for.
      if (position && channel.rewind(position)) waiting = []
      const behind: Event[] = waiting ?? []
      waiting = undefined
      for (const m of behind) if (!position || m.offset === undefined || m.offset > position.offset) apply(m)
    } catch (cause) {
      if (mine !== turn || end.signal.aborted) return
      failed?.(cause)
      timer = setTimeout(() => again(failures + 1), Math.random() * retry * Math.min(30, 2 ** failures))
    }
  }
  end.signal.addEventListener('abort', () => clearTimeout(timer))
  channel.when('subscribed', ({recovered}) => {
    if (recovered === undefined) again(0)
  }, {signal: end.signal})
  channel.when('gap', () => again(0), {signal: end.signal})
  channel.on('*', (_, m) => {
    if (waiting) waiting.push(m)
    else apply(m)
  }, {signal: end.signal})
  return stop
}
