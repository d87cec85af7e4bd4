import {readError, RingdownError} from './errors.js'
import type {End, LineEvents, Opening} from './line.js'
import {encodeText, type Message} from './protocol.js'

/** Reads what an answer that is no success says. */
export async function readProblem(answer: Response): Promise<End> {
  const wait = Number(answer.headers.get('retry-after'))
  const text = await answer.text().catch(() => '')
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
    private readonly end: (e: End) => void,
    private readonly signal: AbortSignal,
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
    for (let m = this.queue.shift(); m && !this.signal.aborted; m = this.queue.shift()) await this.post(m)
    this.busy = false
  }

  private async post(m: Message): Promise<void> {
    try {
      const answer = await fetch(`${this.o.url}/v1/connections/${encodeURIComponent(this.connection!)}/messages`, {
        method: 'POST', headers: headers(this.o, {'Ringdown-Stream': this.secret}), body: encodeText(m), signal: this.signal,
      })
      if (answer.ok) return void (await answer.text())
      const problem = await readProblem(answer)
      if (answer.status === 404 || !problem.error) return this.end({}) // the connection is no more
      if (answer.status === 401) return this.end(problem) // the token is over, and so is the line
      if (!this.signal.aborted) {
        const {error} = problem
        this.events.message({
          type: 'error', id: m.id, channel: m.channel,
          data: {...error, message: error.message, retry_after: Math.max(error.retryAfter, problem.retryAfter ?? 0) / 1000},
        })
      }
    } catch {
      this.end({})
    }
  }
}

/** Makes sure that a line of HTTP requests ends once, and that nothing is heard of it then. */
export function lifeOf(events: LineEvents): {control: AbortController; end: (e: End) => void; close: () => void} {
  const control = new AbortController()
  const close = () => control.abort()
  const end = (e: End) => {
    if (control.signal.aborted) return
    close()
    events.ended(e)
  }
  return {control, end, close}
}
