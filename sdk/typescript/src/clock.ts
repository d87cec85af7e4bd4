/** Time and chance, which tests replace. All times are milliseconds. */
export interface Clock {
  /** The time since 1970; it may jump. */
  now(): number
  /** From 0 to 1, 1 excluded. */
  random(): number
  /** Calls fn once after ms; the returned function prevents it. */
  after(ms: number, fn: () => void): () => void
}

export const realClock: Clock = {
  now: () => Date.now(),
  random: () => Math.random(),
  after(ms, fn) {
    const timer = setTimeout(fn, Math.min(ms, 2 ** 31 - 1))
    return () => clearTimeout(timer)
  },
}

/** One timer that is set anew, and stopped, by its owner. */
export class Timer {
  private stopped?: () => void
  constructor(private readonly clock: Clock) {}
  set(ms: number, fn: () => void): void {
    this.stop()
    this.stopped = this.clock.after(ms, () => {
      this.stopped = undefined
      fn()
    })
  }
  stop(): void {
    this.stopped?.()
    this.stopped = undefined
  }
}

/** Answers with what work does, or with otherwise if that takes longer than ms. */
export function within<T>(clock: Clock, ms: number, work: Promise<T>, otherwise: T): Promise<T> {
  let stop = () => {}
  const late = new Promise<T>((done) => { stop = clock.after(ms, () => done(otherwise)) })
  return Promise.race([work, late]).finally(stop)
}

/** The delay after the n-th failure in a row, from 0: full jitter. */
export function backoff(clock: Clock, n: number, base: number, cap: number): number {
  return Math.floor(clock.random() * Math.min(cap, base * 2 ** Math.min(n, 30)))
}

/** 128 random bits as text. */
export function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return encodeBase64(bytes).replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '')
}

export function encodeBase64(bytes: Uint8Array): string {
  let text = ''
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000))
  return btoa(text)
}

export function decodeBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0))
}
