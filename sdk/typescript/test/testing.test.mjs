// The fake server: what it says is what the real one says, as far as an application sees it. Each test
// runs against both.
import assert from 'node:assert/strict'
import {after, before, test} from 'node:test'
import WebSocket from 'ws'
import {Ringdown} from '../dist/index.js'
import {FakeServer} from '../dist/testing.js'
import {proxy, serve, tokenOf, until} from './server.mjs'

let server
before(async () => { server = await serve() })
after(() => server.stop())

/** Two clients, and how to break the line of the first. */
async function real() {
  const between = await proxy(server.url)
  const make = (url, user) => new Ringdown(url, {WebSocket, backoffBase: 20, token: user && tokenOf(user, 600)})
  const ann = make(between.url, 'ann'), bob = make(server.url, 'bob')
  return {ann, bob, cut: between.cut, end: async () => {
    ann.close()
    bob.close()
    await between.close()
  }}
}

async function fake() {
  const server = new FakeServer({channels: (name) => ({state: name.startsWith('trucks:'), refuse: name === 'nowhere' ? 'not_found' : undefined})})
  const make = (user) => new Ringdown('http://test', {environment: server.environment, backoffBase: 20, token: user})
  const ann = make('ann'), bob = make('bob')
  return {ann, bob, cut: () => server.cut(), end: async () => {
    ann.close()
    bob.close()
  }}
}

for (const [kind, world] of Object.entries({real, fake})) {
  const room = (name) => `${name}:testing-${kind}`

  test(`${kind}: what is published comes, before and after a break, once and in order`, async () => {
    const {ann, bob, cut, end} = await world()
    await bob.channel(room('chat')).publish('message', 0)
    const got = []
    const recovered = until((fn) => ann.channel(room('chat'), {last: 5}).when('recovered', fn))
    const all = until((fn) => ann.channel(room('chat')).on('message', fn), (n) => got.push(n) === 4)
    await until((fn) => ann.channel(room('chat')).when('subscribed', fn))
    await bob.channel(room('chat')).publish('message', 1)
    cut()
    await bob.channel(room('chat')).publish('message', 2)
    await recovered
    await bob.channel(room('chat')).publish('message', 3)
    await all
    assert.deepEqual(got, [0, 1, 2, 3])
    const past = []
    for await (const m of ann.channel(room('chat')).history()) past.push([m.data, m.from])
    assert.deepEqual(past, [[3, 'bob'], [2, 'bob'], [1, 'bob'], [0, 'bob']])
    await end()
  })

  test(`${kind}: members, state, calls and refusals`, async () => {
    const {ann, bob, end} = await world()
    const seen = until((fn) => ann.channel(room('chat')).presence.on(fn), (m) => [...m.values()].map((x) => x.user).join() === 'bob')
    await bob.channel(room('chat')).presence.enter({})
    await seen
    const gone = until((fn) => ann.channel(room('chat')).presence.on(fn), (m) => m.size === 0)
    await bob.channel(room('chat')).presence.leave()
    await gone
    await bob.channel(room('trucks')).publish('position', 1, {key: 't1'})
    const state = await ann.channel(room('trucks')).state.whenReady()
    assert.deepEqual([...state], [['t1', 1]])
    const deleted = until((fn) => state.on(fn), () => state.size === 0)
    await bob.channel(room('trucks')).publish('position', null, {key: 't1'})
    await deleted
    assert.equal((await ann.call('price').catch((e) => e)).code, 'no_backend')
    assert.equal((await ann.channel('nowhere').publish('e', 1).catch((e) => e)).code, 'not_found')
    await end()
  })
}

test('an application is tried with it: what it published, what others say, and a server that is gone for a while', async () => {
  const server = new FakeServer()
  server.answer('price', ({sku}) => ({price: sku.length}))
  const app = new Ringdown('http://test', {environment: server.environment, backoffBase: 1})
  const got = [], gaps = []
  app.channel('orders').on('order-created', (order) => got.push(order.id))
  app.channel('orders').when('gap', ({reason}) => gaps.push(reason))
  await app.connect()
  await until((fn) => app.channel('orders').when('subscribed', fn))
  server.publish('orders', 'order-created', {id: 1})
  server.setOffline(true)
  const later = app.channel('orders').publish('order-created', {id: 2})
  server.publish('orders', 'order-created', {id: 3}) // by somebody else, meanwhile
  assert.equal(app.state, 'waiting')
  server.setOffline(false)
  assert.equal((await later).offset, 3)
  assert.deepEqual(got, [1, 3, 2])
  assert.deepEqual(server.published.map((m) => m.data.id), [2])
  assert.deepEqual(await app.call('price', {sku: 'abc'}), {price: 3})
  server.forget('orders')
  server.cut()
  await until((fn) => app.channel('orders').when('gap', fn))
  assert.deepEqual(gaps, ['epoch'])
  app.close()
})

test('a value has its message, and a channel its position, also at another rate', {timeout: 5_000}, async () => {
  const server = new FakeServer({channels: () => ({state: true})})
  const app = new Ringdown('http://test', {environment: server.environment})
  server.publish('board', 'score', 1, {key: 'a'})
  const {state} = app.channel('board')
  await state.whenReady()
  assert.equal(state.message('a').data, 1)
  assert.equal(state.message('b'), undefined)
  const {position} = app.channel('board')
  assert.equal(position.offset, state.message('a').offset)
  assert.equal(typeof position.epoch, 'string')
  const again = until((fn) => app.channel('board').when('subscribed', fn))
  app.channel('board', {rate: 2})
  assert.equal((await again).recovered, true) // it goes on where it was
  assert.deepEqual([...state], [['a', 1]])
  app.close()
})

test('a rate that changes before the answer to the last change is asked for then', {timeout: 5_000}, async () => {
  const server = new FakeServer({channels: () => ({state: true})})
  const app = new Ringdown('http://test', {environment: server.environment})
  server.publish('board', 'score', 1, {key: 'a'})
  const board = app.channel('board')
  await board.state.whenReady()
  let answers = 0
  const last = until((fn) => board.when('subscribed', fn), () => ++answers === 2)
  app.channel('board', {rate: 2})
  await null // now it is asked, and not answered
  assert.equal(board.subscription.phase, 'asked')
  app.channel('board', {rate: 5})
  await last
  const changed = until((fn) => board.state.on(fn), () => board.state.get('a') === 2)
  server.publish('board', 'score', 2, {key: 'a'})
  await changed
  assert.equal(answers, 2)
  app.close()
})

test('connect does not wait where the client would', {timeout: 5_000}, async () => {
  const server = new FakeServer()
  const app = new Ringdown('http://test', {environment: server.environment, backoffBase: 1e9, backoffCap: 1e9})
  await app.connect()
  const waits = until((fn) => app.on('state', fn), ({state}) => state === 'waiting')
  server.cut()
  await waits
  await app.connect()
  assert.equal(app.state, 'live')
  app.close()
})
