import {readError} from './errors.js'
import {bodyOf, headers, lifeOf, readProblem, Uplink} from './http.js'
import type {Line, LineEvents, Opening, Transport} from './line.js'
import {decode} from './protocol.js'

/** Server-Sent Events over fetch, which can send a token and positions where EventSource cannot. */
export const sseTransport: Transport = {name: 'sse', open}

function open(o: Opening, events: LineEvents): Line {
  const life = lifeOf(events)
  const {signal, end, close} = life
  const up = new Uplink(o, events, life)
  const event = (data: string) => {
    const m = decode(data)
    if (!m) return events.heard()
    if (m.type === 'error' && m.data?.close) return end({code: m.data.close, error: readError(m.data)})
    if (m.type === 'welcome') up.welcomed(m)
    events.message(m)
  }
  const run = async () => {
    const answer = await fetch(`${o.url}/v1/sse?${new URLSearchParams(o.query)}`, {
      method: 'POST', headers: headers(o, {Accept: 'text/event-stream'}), body: JSON.stringify({channels: bodyOf(o)}),
      signal, cache: 'no-store',
    })
    if (!answer.ok) return end(readProblem({answer, text: await answer.text()}))
    if (!answer.body || !answer.headers.get('content-type')?.startsWith('text/event-stream')) return end({})
    events.opened()
    const reader = answer.body.getReader()
    const text = new TextDecoder()
    const parser = new EventParser(event, () => events.heard())
    for (;;) {
      const {done, value} = await reader.read()
      if (signal.aborted) return
      if (done) return end({})
      parser.feed(text.decode(value, {stream: true}))
    }
  }
  run().catch(() => end({}))
  return {send: (m) => up.send(m), close}
}

/** Cuts a stream into the data of its events, wherever its pieces were cut. */
export class EventParser {
  private rest = ''
  private data: string[] = []

  constructor(private readonly event: (data: string) => void, private readonly comment: () => void) {}

  feed(piece: string): void {
    const lines = (this.rest + piece).split(/\r\n|\n|\r(?!$)/)
    this.rest = lines.pop()!
    for (const line of lines) this.line(line)
  }

  private line(line: string): void {
    if (line === '') {
      const data = this.data
      this.data = []
      if (data.length) this.event(data.join('\n'))
    } else if (line.startsWith('data:')) {
      this.data.push(line.slice(line[5] === ' ' ? 6 : 5))
    } else if (line[0] === ':') {
      this.comment()
    }
  }
}
