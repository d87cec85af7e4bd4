import {packed, readError, type RingdownError} from './errors.js'
import type {End, LineEvents, Opening} from './line.js'
import {encodeText, type Message} from './protocol.js'

/** An answer, and all of its body. */
export interface Answer {
  answer: Response
  text: string
}

/** Reads what an answer that is no success says. */
export function readProblem({answer, text}: Answer): End {
  const wait = Number(answer.headers.get('retry-after'))
  let error: RingdownError | undefined
  try {
    error = readError(JSON.parse(text))
  } catch {
    // Not the server's word, then.
  }
  return {status: answer.status, error, retryAfter: wait > 0 ? wait * 1000 : undefined}
}

export function headers(o: Opening, more: Record<string, string> = {}): Record<string, string> {
  const h: Record<string, string> = {'Content-Type': 'application/json', ...more}
  if (o.token !== undefined) h['Authorization'] = 'Bearer ' + o.token
  return h
}

/** The body's form of the channels that a stream begins with. */
export function bodyOf(o: Opening): object[] {
  return o.channels.map(({channel, since, data}) => ({channel, since, ...data}))
}

/** Speaks for a stream or a poll: one message after the other, in their order. */
export class Uplink {
  private queue: Message[] = []
  private busy = false
  private connection?: string
  private secret = ''

  constructor(
    private readonly o: Opening,
    private readonly events: LineEvents,
    private readonly life: Life,
  ) {}

  /** Takes from welcome whom it speaks for. */
  welcomed(m: Message): void {
    this.connection = m.data?.connection
    this.secret = m.data?.secret ?? ''
    void this.flush()
  }

  send(m: Message): void {
    if (m.type === 'auth') this.o.token = m.token // for the requests from now on
    this.queue.push(m)
    void this.flush()
  }

  private async flush(): Promise<void> {
    if (this.busy || !this.connection) return
    this.busy = true
    for (let m = this.queue.shift(); m && !this.life.signal.aborted; m = this.queue.shift()) await this.post(m)
    this.busy = false
  }

  private async post(m: Message): Promise<void> {
    const {life} = this
    try {
      const got = await life.post(`${this.o.url}/v1/connections/${encodeURIComponent(this.connection!)}/messages`, headers(this.o, {'Ringdown-Stream': this.secret}), encodeText(m))
      if (got.answer.ok) return
      const problem = readProblem(got)
      if (problem.status === 404 || !problem.error) return life.end({}) // the connection is no more
      if (problem.status === 401) return life.end(problem) // the token is over, and so is the line
      if (!m.channel && m.id === undefined) return this.events.heard() // a ping of ours: somebody is there
      if (!life.signal.aborted) {
        const {error} = problem
        this.events.message({
          type: 'error', id: m.id, channel: m.channel,
          data: {...packed(error), retry_after: Math.max(error.retryAfter, problem.retryAfter ?? 0) / 1000},
        })
      }
    } catch {
      life.end({})
    }
  }
}

/** A line of HTTP requests, which ends once. */
export interface Life {
  signal: AbortSignal
  end(e: End): void
  close(): void
  /** Makes a request that ends with the line. */
  post(url: string, headers: Record<string, string>, body: string): Promise<Answer>
}

/** Makes sure that a line of HTTP requests ends once, and that nothing is heard of it then. */
export function lifeOf(events: LineEvents): Life {
  const control = new AbortController()
  const {signal} = control
  const close = () => control.abort()
  // Each has a signal of its own: platforms keep what listens to one until they collect garbage.
  const open = new Set<AbortController>()
  signal.addEventListener('abort', () => open.forEach((c) => c.abort()))
  return {
    signal, close,
    end(e) {
      if (signal.aborted) return
      close()
      events.ended(e)
    },
    async post(url, headers, body) {
      const one = new AbortController()
      open.add(one)
      try {
        const answer = await fetch(url, {method: 'POST', headers, body, signal: one.signal, cache: 'no-store'})
        return {answer, text: await answer.text()}
      } finally {
        open.delete(one)
      }
    },
  }
}
