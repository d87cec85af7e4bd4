import {bodyOf, headers, lifeOf, readProblem, Uplink} from './http.js'
import {readError} from './errors.js'
import type {Line, LineEvents, Opening, Transport} from './line.js'
import {unpack, type Message} from './protocol.js'

/** Long-poll in a session, which owns presence and what is ephemeral. */
export const pollTransport: Transport = {name: 'poll', open}

const wait = 25 // seconds

function open(o: Opening, events: LineEvents): Line {
  const life = lifeOf(events)
  const {signal, end, close} = life
  const up = new Uplink(o, events, life)
  const channels = new Map(o.channels.map((c, i) => [c.channel, bodyOf(o)[i]!]))
  let cursor: string | undefined
  let session: string | undefined

  const take = (m: Message) => {
    if (m.type === 'error' && m.data?.close) return end({code: m.data.close, error: readError(m.data)})
    if (m.type === 'welcome') {
      // A second one means that the session was lost, and with it what was entered.
      if (session !== undefined) return end({})
      session = m.data?.session
      up.welcomed(m)
    }
    events.message(m)
  }
  const run = async () => {
    for (;;) {
      const query = new URLSearchParams({...o.query, wait: String(cursor === undefined ? 0 : wait)})
      const got = await life.post(`${o.url}/v1/poll?${query}`, headers(o), JSON.stringify({channels: [...channels.values()], cursor, session}))
      if (!got.answer.ok) return end(readProblem(got))
      const page = JSON.parse(got.text)
      if (signal.aborted) return
      if (!Array.isArray(page?.messages)) return end({})
      if (cursor === undefined) events.opened()
      cursor = page.cursor
      for (const m of page.messages) {
        const read = unpack(m)
        if (read) take(read)
        if (signal.aborted) return
      }
      events.heard()
    }
  }
  run().catch(() => end({}))
  return {
    send(m) {
      // What is subscribed to joins the cursor, and is said with every request from now on.
      if (m.type === 'subscribe') for (const {channel, data} of m.channels ?? []) channels.set(channel, {channel, ...data})
      if (m.type === 'unsubscribe') channels.delete(m.channel!)
      up.send(m)
    },
    close,
  }
}
