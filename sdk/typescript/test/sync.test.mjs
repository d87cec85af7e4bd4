// The application's own data, joined to the channel that tells what changes.
import assert from 'node:assert/strict'
import {after, before, test} from 'node:test'
import WebSocket from 'ws'
import {Ringdown} from '../dist/index.js'
import {sync} from '../dist/sync.js'
import {proxy, serve} from './server.mjs'

let server
before(async () => { server = await serve() })
after(() => server.stop())

/** The application: a total that its own database has, and a log of what changed. */
class Application {
  total = 0
  position
  constructor(url, room) {
    this.client = new Ringdown(url, {WebSocket})
    this.channel = this.client.channel(room)
  }
  async add(n) {
    const ack = await this.channel.publish('message', n)
    this.total += n
    this.position = ack
  }
}

for (const transport of ['websocket', 'sse', 'poll']) {
  test(`${transport}: nothing is counted twice, and nothing is left out`, async () => {
    const between = await proxy(server.url)
    const app = new Application(server.url, `chat:sync-${transport}`)
    const page = new Ringdown(between.url, {WebSocket, transports: [transport], backoffBase: 50})
    try {
      for (let n = 1; n <= 10; n++) await app.add(n)
      let total, loads = 0
      const seen = []
      const stop = sync(page.channel(`chat:sync-${transport}`), {
        async load() {
          loads++
          const {total: data, position} = app // older than the subscription by the time that it comes
          for (let n = 11; n <= 20; n++) await app.add(n)
          return {data, position}
        },
        loaded: (data) => { total = data },
        apply: (m) => {
          total += m.data
          seen.push(m.data)
        },
      })
      const reached = async (want) => { while (total !== want) await new Promise((done) => setTimeout(done, 10)) }
      await reached(210)
      between.cut()
      await app.add(21)
      await reached(231)
      await app.add(22)
      await reached(253)
      assert.deepEqual(seen, [11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22])
      assert.equal(loads, 1)
      stop()
    } finally {
      page.close()
      app.client.close()
      await between.close()
    }
  })
}

test('data from before the subscription is caught up with', async () => {
  const app = new Application(server.url, 'chat:sync-stale')
  const page = new Ringdown(server.url, {WebSocket})
  try {
    for (let n = 1; n <= 3; n++) await app.add(n)
    const stale = {data: app.total, position: app.position} // a copy that lags behind
    for (let n = 4; n <= 6; n++) await app.add(n)
    let total
    const all = new Promise((done) => {
      sync(page.channel('chat:sync-stale'), {
        load: async () => stale,
        loaded: (data) => { total = data },
        apply: (m) => (total += m.data) === 21 && done(),
      })
    })
    await all
  } finally {
    page.close()
    app.client.close()
  }
})

test('a load that fails is tried again, and one that was overtaken does not count', async () => {
  const app = new Application(server.url, 'chat:sync-fails')
  const page = new Ringdown(server.url, {WebSocket})
  try {
    await app.add(5)
    let tries = 0
    const causes = []
    const loaded = new Promise((done) => {
      sync(page.channel('chat:sync-fails'), {
        load: async () => {
          if (++tries < 3) throw new Error(`down ${tries}`)
          return {data: app.total, position: app.position}
        },
        loaded: done, apply: () => {}, failed: (cause) => causes.push(cause.message), retry: 20,
      })
    })
    assert.equal(await loaded, 5)
    assert.deepEqual(causes, ['down 1', 'down 2'])
  } finally {
    page.close()
    app.client.close()
  }
})
