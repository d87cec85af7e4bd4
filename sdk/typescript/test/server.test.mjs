// The client against the real server.
import assert from 'node:assert/strict'
import {execFile} from 'node:child_process'
import {mkdtempSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {after, before, test} from 'node:test'
import {promisify} from 'node:util'
import WebSocket from 'ws'
import {Ringdown, RingdownError} from '../dist/index.js'
import {declared, proxy, serve, tokenOf, until} from './server.mjs'

let server
before(async () => { server = await serve() })
after(() => server.stop())

const open = new Set()
function client(url, options = {}) {
  const c = new Ringdown(url, {WebSocket, grace: 0, backoffBase: 50, ...options})
  open.add(c)
  return c
}
test.afterEach(() => {
  for (const c of open) c.close()
  open.clear()
})

for (const transport of ['websocket', 'sse', 'poll']) {
  const only = {transports: [transport]}

  test(`${transport}: bytes are bytes in a history and in a state, too`, async () => {
    const bytes = new Uint8Array([0, 10, 255])
    const first = client(server.url, only)
    const ack = await first.channel(`chat:bytes-${transport}`).publish('message', bytes)
    await first.channel(`trucks:bytes-${transport}`).publish('position', bytes, {key: 'a'})
    const {messages, more, epoch} = await first.channel(`chat:bytes-${transport}`).page()
    assert.deepEqual([messages.map((m) => m.data), more, epoch], [[bytes], false, ack.epoch])
    assert.deepEqual((await first.channel(`trucks:bytes-${transport}`).state.whenReady()).get('a'), bytes)
  })

  test(`${transport}: what is published comes, with what was there before`, async () => {
    const room = `chat:${transport}`
    const ann = client(server.url, {...only, token: tokenOf('ann', 600)})
    const bob = client(server.url, {...only, token: tokenOf('bob', 600)})
    const ack = await bob.channel(room).publish('message', {n: 0})
    assert.equal(ack.offset, 1)
    const got = []
    const channel = ann.channel(room, {last: 10})
    const third = until((fn) => channel.on('message', fn), (data) => {
      got.push(data)
      return data.n === 2
    })
    await until((fn) => channel.when('subscribed', fn))
    await bob.channel(room).publish('message', {n: 1})
    await bob.channel(room).publish('message', {n: 2})
    await third
    assert.deepEqual(got, [{n: 0}, {n: 1}, {n: 2}])
    assert.equal(ann.user, 'ann')
    const past = []
    for await (const m of channel.history({limit: 2})) past.push([m.data.n, m.from])
    assert.deepEqual(past, [[2, 'bob'], [1, 'bob'], [0, 'bob']])
  })

  test(`${transport}: bytes are bytes`, async () => {
    const c = client(server.url, only)
    const channel = c.channel(`live:${transport}`)
    const bytes = new Uint8Array([0, 10, 13, 255, 128])
    const came = until((fn) => channel.on('frame', fn))
    await until((fn) => channel.when('subscribed', fn))
    await channel.publish('frame', bytes)
    assert.deepEqual(await came, bytes)
  })

  test(`${transport}: a state is a map`, async () => {
    const [writer, reader] = [client(server.url, only), client(server.url, only)]
    const to = writer.channel(`trucks:${transport}`)
    await to.publish('position', [1, 2], {key: 't1'})
    await to.publish('position', [3, 4], {key: 't2'})
    const {state} = reader.channel(`trucks:${transport}`)
    const gone = until((fn) => state.on(fn), ({key}) => key === 't1' && !state.has('t1'))
    await state.whenReady()
    assert.deepEqual([...state], [['t1', [1, 2]], ['t2', [3, 4]]])
    await to.publish('position', null, {key: 't1'})
    await gone
    assert.equal(state.size, 1)
  })

  test(`${transport}: members come and go`, async () => {
    const ann = client(server.url, {...only, token: tokenOf('ann', 600)})
    const bob = client(server.url, {...only, token: tokenOf('bob', 600)})
    const room = `chat:members-${transport}`
    const users = (members) => [...members.values()].map((m) => m.user + m.data).sort().join()
    const seen = until((fn) => ann.channel(room).presence.on(fn), (members) => users(members) === 'ann1,bob2')
    await ann.channel(room).presence.enter(1)
    await bob.channel(room).presence.enter(2)
    await seen
    const left = until((fn) => ann.channel(room).presence.on(fn), (members) => users(members) === 'ann1')
    await bob.channel(room).presence.leave()
    await left
  })

  test(`${transport}: who types`, async () => {
    const ann = client(server.url, {...only, token: tokenOf('ann', 600)})
    const bob = client(server.url, {...only, token: tokenOf('bob', 600)})
    const room = `chat:typing-${transport}`
    const subscribed = until((fn) => ann.channel(room).when('subscribed', fn))
    const typing = until((fn) => ann.channel(room).typing.on(fn), (users) => users.has('bob'))
    await subscribed
    await bob.connect()
    bob.channel(room).typing.active()
    await typing
    const over = until((fn) => ann.channel(room).typing.on(fn), (users) => users.size === 0)
    bob.channel(room).typing.stop()
    await over
  })

  test(`${transport}: refusals have a code, a rule and a page`, async () => {
    const c = client(server.url, only)
    const refused = await c.channel('mine').publish('e', 1).catch((e) => e)
    assert.ok(refused instanceof RingdownError)
    assert.equal(refused.code, 'forbidden')
    assert.equal(refused.rule, 'mine.allow.publish')
    assert.equal(refused.href, '/v1/errors/forbidden')
    assert.equal((await c.call('price').catch((e) => e)).code, 'no_backend')
    const failed = until((fn) => c.channel('mine').when('failed', fn))
    c.channel('mine').on('*', () => {})
    assert.equal((await failed).error.code, 'forbidden')
  })

  test(`${transport}: lines that are cut lose and double nothing`, async () => {
    const between = await proxy(server.url)
    try {
      const reader = client(between.url, only), writer = client(between.url, only)
      const room = `chat:cut-${transport}`
      const got = []
      const all = until((fn) => reader.channel(room).on('message', fn), (n) => got.push(n) === 200)
      await until((fn) => reader.channel(room).when('subscribed', fn))
      for (let n = 0; n < 200; n += 10) {
        const ten = Array.from({length: 10}, (_, i) => writer.channel(room).publish('message', n + i))
        if (n % 40 === 20) between.cut()
        await Promise.all(ten)
      }
      await all
      assert.deepEqual(got, Array.from({length: 200}, (_, i) => i))
    } finally {
      await between.close()
    }
  })

  test(`${transport}: a token that ends every few seconds loses nothing`, async () => {
    const asked = []
    const options = {...only, token: (reason) => {
      asked.push(reason)
      return tokenOf('ann', 3)
    }}
    const reader = client(server.url, options), writer = client(server.url, options)
    const room = `chat:short-${transport}`
    const got = []
    const all = until((fn) => reader.channel(room).on('message', fn), (n) => got.push(n) === 80)
    await until((fn) => reader.channel(room).when('subscribed', fn))
    for (let n = 0; n < 80; n++) {
      await writer.channel(room).publish('message', n)
      await new Promise((done) => setTimeout(done, 100))
    }
    await all
    assert.deepEqual(got, Array.from({length: 80}, (_, i) => i))
    assert.ok(asked.includes('expiring'), `asked for ${asked}`)
  })
}

test('a server that is killed and comes back', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'ringdown-'))
  let own = await serve({dir})
  const {port} = own
  const c = client(own.url)
  const got = []
  const both = until((fn) => c.channel('chat:1').on('message', fn), (data) => got.push(data) === 2)
  await c.channel('chat:1').publish('message', 'before')
  await own.kill()
  const later = c.channel('chat:1').publish('message', 'while it was gone')
  await until((fn) => c.on('state', fn), ({state}) => state === 'waiting')
  own = await serve({dir, port})
  await later
  await both
  assert.deepEqual(got, ['before', 'while it was gone'])
  c.close()
  await own.stop()
})

test('a WebSocket that is blocked, and a stream that is held back, are gone around; and the WebSocket is taken when it comes through', async () => {
  const between = await proxy(server.url, {blockUpgrade: true, buffer: true})
  try {
    const c = client(between.url, {bufferedTimeout: 300, betterAfter: 500, openTimeout: 1_000})
    const seen = []
    c.on('state', ({state, transport}) => state === 'live' && seen.push(transport))
    const got = []
    c.channel('chat:way').on('message', (n) => got.push(n))
    await c.channel('chat:way').publish('message', 1)
    assert.deepEqual(seen, ['poll'])
    between.state.blockUpgrade = false
    await until((fn) => c.on('state', fn), ({reason}) => reason === 'better')
    assert.deepEqual(seen, ['poll', 'websocket'])
    const came = until((fn) => c.channel('chat:way').on('message', fn), (n) => n === 2)
    await c.channel('chat:way').publish('message', 2)
    await came
    assert.deepEqual(got, [1, 2])
  } finally {
    await between.close()
  }
})

test('a handshake that is refused is explained', async () => {
  const full = await serve({config: declared + '  node: {connections: 1}\n'})
  try {
    await client(full.url).connect()
    const second = client(full.url)
    const waits = until((fn) => second.on('state', fn), ({reason}) => reason === 'refused')
    second.connect().catch(() => {})
    const {error, retryIn} = await waits
    assert.equal(error.code, 'unavailable')
    assert.equal(error.limit, 'limits.node.connections')
    assert.ok(retryIn >= 5_000)
  } finally {
    await full.kill()
  }
})

test('an iterator gives what comes, and ends with its signal', async () => {
  const c = client(server.url)
  const stop = new AbortController()
  const got = []
  const reading = (async () => {
    for await (const m of c.channel('chat:iterated').messages({signal: stop.signal})) {
      got.push(m.data)
      if (got.length === 3) stop.abort()
    }
  })()
  await until((fn) => c.channel('chat:iterated').when('subscribed', fn))
  for (const n of [1, 2, 3]) await c.channel('chat:iterated').publish('message', n)
  await reading
  assert.deepEqual(got, [1, 2, 3])
})

test('what is no JSON is refused, and in nobody\'s way', async () => {
  const c = client(server.url)
  for (const bad of [1n, (() => { const ring = {}; ring.ring = ring; return ring })()]) {
    for (const attempt of [c.call('price', bad), c.channel('live:bad').publish('e', bad), c.channel('live:bad').publish('e', bad, {ack: false}), c.channel('chat:bad').presence.enter(bad)]) {
      assert.equal((await attempt.catch((e) => e)).code, 'invalid_data')
    }
  }
  await c.channel('live:bad').publish('e', 'good')
})

test('an iterator ends with the client', async () => {
  const c = client(server.url)
  const reading = (async () => { for await (const _ of c.channel('chat:ends').messages()); })()
  await until((fn) => c.channel('chat:ends').when('subscribed', fn))
  c.close()
  await reading
})

for (const transport of ['websocket', 'sse', 'poll']) {
  test(`${transport}: every character comes, also those at which some libraries end a line`, async () => {
    const c = client(server.url, {transports: [transport]})
    const odd = 'a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\u00e9\u{1f600}'
    const got = []
    const last = until((fn) => c.channel(`live:odd-${transport}`).on('e', fn), (text) => got.push(text) === 3)
    await until((fn) => c.channel(`live:odd-${transport}`).when('subscribed', fn))
    for (const text of ['before', odd, 'after']) await c.channel(`live:odd-${transport}`).publish('e', text)
    await last
    assert.deepEqual(got, ['before', odd, 'after'])
  })
}

test('a client that is closed keeps no program alive', async () => {
  const program = `
    import WebSocket from 'ws'
    import {Ringdown} from ${JSON.stringify(new URL('../dist/index.js', import.meta.url).href)}
    const c = new Ringdown(process.argv[1], {WebSocket})
    c.channel('chat:end').on('message', () => {})
    c.channel('nowhere').on('message', () => {})
    await c.channel('chat:end').publish('message', 1)
    c.close()`
  const begun = Date.now()
  await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program, server.url], {cwd: new URL('..', import.meta.url), timeout: 20_000})
  assert.ok(Date.now() - begun < 8_000, `it took ${Date.now() - begun} ms to end, which a timer of 10 s may have kept it from`)
})

test('a thousand lines leave nothing behind', async () => {
  const c = client(server.url)
  c.channel('chat:again').on('message', () => {})
  const resources = () => process.getActiveResourcesInfo().length
  await c.connect()
  const before = resources()
  for (let n = 0; n < 1000; n++) {
    c.close()
    await c.connect()
  }
  c.close()
  for (let n = 0; n < 100 && resources() >= before; n++) await new Promise((done) => setTimeout(done, 50))
  assert.ok(resources() < before, `${resources()} timers and sockets, ${before} with one line`)
})

test('each request of a long line has a signal of its own, so that nothing gathers on one', async () => {
  const {fetch} = globalThis
  const seen = []
  globalThis.fetch = (url, init) => {
    seen.push(init?.signal)
    return fetch(url, init)
  }
  try {
    const c = client(server.url, {transports: ['poll'], token: tokenOf('ann', 600)})
    const channel = c.channel('chat:signals')
    await until((fn) => { channel.on('message', () => {}); return channel.when('subscribed', fn) })
    for (let i = 0; i < 10; i++) await channel.publish('message', i)
    assert.ok(seen.length > 15, `${seen.length} requests`)
    assert.equal(new Set(seen).size, seen.length)
  } finally {
    globalThis.fetch = fetch
  }
})

test('another rate is taken up from where the channel is, with no new snapshot, and at once', async () => {
  const writer = client(server.url), reader = client(server.url)
  const out = writer.channel('trucks:paced')
  const publish = async (from, to) => { for (let n = from; n <= to; n++) await out.publish('position', n, {key: 'a'}) }
  await publish(1, 1)
  const state = reader.channel('trucks:paced').state
  let changes = 0, snapshots = 0
  const reaches = (value) => until((fn) => state.on(fn), () => state.get('a') === value)
  state.on(({key}) => key === undefined ? snapshots++ : changes++)
  await state.whenReady()

  reader.channel('trucks:paced', {rate: 2})
  let last = reaches(40)
  await publish(2, 40)
  await last
  assert.ok(changes < 20, `${changes} of 39 were delivered`)

  changes = 0
  reader.channel('trucks:paced', {}) // all of them, again
  await until((fn) => reader.channel('trucks:paced').when('subscribed', fn))
  last = reaches(60)
  await publish(41, 60)
  await last
  assert.equal(changes, 20)
  assert.equal(snapshots, 1)
})

test('a rate that is changed while the subscription is asked for holds', async () => {
  const {url, close} = await proxy(server.url)
  const writer = client(server.url), reader = client(url)
  await reader.connect()
  const out = writer.channel('trucks:hasty')
  const subscribed = []
  reader.channel('trucks:hasty').when('subscribed', () => subscribed.push(1))
  const state = reader.channel('trucks:hasty').state
  let changes = 0
  state.on(({key}) => key === undefined || changes++)
  await null // it is asked for
  await null
  reader.channel('trucks:hasty', {rate: 1})
  await until((fn) => reader.channel('trucks:hasty').when('subscribed', fn), () => subscribed.length === 2)
  const last = until((fn) => state.on(fn), () => state.get('a') === 30)
  for (let n = 1; n <= 30; n++) await out.publish('position', n, {key: 'a'})
  await last
  assert.ok(changes < 10, `${changes} of 30 were delivered`)
  await close()
})
