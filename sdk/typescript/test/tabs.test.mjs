// Tabs that share a connection, against the real server.
import assert from 'node:assert/strict'
import {after, before, test} from 'node:test'
import WebSocket from 'ws'
import {FakeBrowser} from '../adapter/browser.mjs'
import {Ringdown} from '../dist/index.js'
import {tabs} from '../dist/tabs.js'
import {serve, tokenOf, until} from './server.mjs'

let server
before(async () => { server = await serve() })
after(() => server.stop())

const open = new Set()
test.afterEach(() => {
  for (const t of open) {
    t.crash()
    t.client.close()
  }
  open.clear()
})

/** Opens a tab: a client whose page can be frozen, and can go without a word. */
function openTab(browser, options = {}) {
  const page = browser.tab()
  const sockets = new Set()
  let gone = false
  class Socket extends WebSocket {
    constructor(...args) {
      if (gone) throw new Error('the tab is gone')
      super(...args)
      sockets.add(this)
      opened++
    }
  }
  const {token, ...more} = {token: () => tokenOf('ann', 600), ...options}
  const client = new Ringdown(server.url, {
    WebSocket: Socket, transports: ['websocket'], grace: 0, backoffBase: 50, token,
    share: tabs({locks: page.locks, channel: page.channel}), ...more,
  })
  const t = {
    client, sockets,
    get leads() { return [...sockets].some((s) => s.readyState === 1) },
    freeze: page.freeze, thaw: page.thaw,
    crash() {
      gone = true
      page.crash()
      for (const s of sockets) s.terminate()
    },
  }
  open.add(t)
  return t
}

let opened = 0 // sockets, by all tabs

/** What a tab is given of a channel. */
function follow(t, name, how) {
  const got = [], told = []
  const channel = t.client.channel(name, how)
  channel.on('message', (data) => got.push(data))
  for (const event of ['subscribed', 'recovered', 'gap', 'failed']) channel.when(event, (d) => told.push({event, ...d}))
  return {channel, got, told, subscribed: until((fn) => channel.when('subscribed', fn))}
}

async function eventually(what, ok, ms = 10_000) {
  for (const end = Date.now() + ms; Date.now() < end;) {
    if (await ok()) return
    await new Promise((done) => setTimeout(done, 10))
  }
  assert.fail(`not in time: ${what}`)
}

const count = (n, from = 0) => Array.from({length: n}, (_, i) => from + i)

test('eight tabs have one connection, and each is given everything once', async () => {
  const browser = new FakeBrowser()
  opened = 0
  const all = count(8).map(() => openTab(browser))
  const each = all.map((t) => follow(t, 'chat:eight'))
  await Promise.all(each.map((f) => f.subscribed))
  assert.equal(opened, 1)
  await Promise.all(all.map((t, i) => t.client.channel('chat:eight').publish('message', i)))
  await eventually('all eight everywhere', () => each.every((f) => f.got.length === 8))
  for (const f of each) {
    assert.deepEqual([...f.got].sort(), count(8))
    assert.deepEqual(f.told, [{event: 'subscribed', recovered: undefined, reason: undefined}])
  }
  assert.equal(all.filter((t) => t.leads).length, 1)
  assert.deepEqual(new Set(all.map((t) => t.client.user)), new Set(['ann']))
})

for (const way of ['is gone', 'is frozen']) {
  test(`a leader that ${way} is followed by another, and nobody misses anything`, async () => {
    const browser = new FakeBrowser()
    const all = count(8).map(() => openTab(browser))
    const each = all.map((t) => follow(t, `chat:${way.slice(3)}`))
    await Promise.all(each.map((f) => f.subscribed))
    const other = new Ringdown(server.url, {WebSocket, token: tokenOf('bob', 600)})
    try {
      let n = 0
      const publish = async () => { await other.channel(`chat:${way.slice(3)}`).publish('message', n++) }
      for (const _ of count(20)) await publish()
      const leader = all.find((t) => t.leads)
      const rest = each.filter((_, i) => all[i] !== leader)
      await eventually('the first', () => each.every((f) => f.got.length === 20))
      // What a tab publishes meanwhile is not lost either.
      if (way === 'is gone') leader.crash()
      else leader.freeze()
      const own = all.find((t) => t !== leader).client.channel(`chat:${way.slice(3)}`).publish('message', 'own')
      for (const _ of count(20)) await publish()
      await own
      await eventually('the rest', () => rest.every((f) => f.got.length === 41))
      for (const f of rest) {
        assert.deepEqual(f.got.filter((d) => d !== 'own'), count(40))
        assert.deepEqual(f.told.filter((e) => e.event === 'gap' || e.event === 'failed'), [])
      }
      const leaders = all.filter((t) => t !== leader && t.leads)
      assert.equal(leaders.length, 1)
      if (way === 'is gone') return
      // When it comes back it has what it missed, and leads no more.
      leader.thaw()
      const back = each[all.indexOf(leader)]
      await eventually('the frozen one has caught up', () => back.got.length === 41)
      assert.deepEqual(back.got.filter((d) => d !== 'own'), count(40))
      await eventually('it leads no more', () => !leader.leads)
    } finally {
      other.close()
    }
  })
}

test('a tab that comes later is given what it asks for', async () => {
  const browser = new FakeBrowser()
  const one = openTab(browser)
  const first = follow(one, 'chat:late')
  await first.subscribed
  for (const i of count(5)) await one.client.channel('chat:late').publish('message', i)
  const two = openTab(browser), three = openTab(browser)
  const fresh = follow(two, 'chat:late'), last = follow(three, 'chat:late', {last: 3})
  await Promise.all([fresh.subscribed, last.subscribed])
  await eventually('the last three', () => last.got.length === 3)
  await two.client.channel('chat:late').publish('message', 5)
  await eventually('the new one', () => fresh.got.length === 1 && last.got.length === 4 && first.got.length === 6)
  assert.deepEqual([first.got, fresh.got, last.got], [count(6), [5], [2, 3, 4, 5]])
  const past = []
  for await (const m of two.client.channel('chat:late').history()) past.push(m.data)
  assert.deepEqual(past, [5, 4, 3, 2, 1, 0])
})

test('state is whole in each tab, whenever it comes', async () => {
  const browser = new FakeBrowser()
  const one = openTab(browser), two = openTab(browser)
  const a = one.client.channel('trucks:tabs').state
  a.on(() => {})
  await a.whenReady()
  for (const i of count(3)) await one.client.channel('trucks:tabs').publish('moved', {i}, {key: `t${i}`})
  const b = two.client.channel('trucks:tabs').state
  b.on(() => {})
  await b.whenReady()
  await two.client.channel('trucks:tabs').publish('moved', {i: 9}, {key: 't1'})
  const want = {t0: {i: 0}, t1: {i: 9}, t2: {i: 2}}
  await eventually('both', () => [a, b].every((s) => JSON.stringify(Object.fromEntries([...s].sort())) === JSON.stringify(want)))
})

test('presence is counted by tabs: the member is there while any of them is', async () => {
  const browser = new FakeBrowser()
  const one = openTab(browser), two = openTab(browser)
  const bob = new Ringdown(server.url, {WebSocket, token: tokenOf('bob', 600)})
  try {
    const members = bob.channel('chat:members').presence
    const there = () => [...members.members.values()].map((m) => `${m.user} ${m.data}`)
    members.on(() => {})
    await one.client.channel('chat:members').presence.enter('one')
    await two.client.channel('chat:members').presence.enter('two')
    await eventually('two speaks', () => there().join() === 'ann two')
    await two.client.channel('chat:members').presence.leave()
    await eventually('one is there still', () => there().join() === 'ann one')
    await one.client.channel('chat:members').presence.leave()
    await eventually('nobody is', () => there().length === 0)
  } finally {
    bob.close()
  }
})

test('somebody else has a line of his own, and takes it along when he signs in', async () => {
  const browser = new FakeBrowser()
  let who = 'ann'
  const ann = openTab(browser), bob = openTab(browser, {token: () => tokenOf('bob', 600)})
  const third = openTab(browser, {token: () => tokenOf(who, 3)})
  await Promise.all([ann, bob, third].map((t) => t.client.connect()))
  assert.deepEqual([ann, bob, third].map((t) => t.client.user), ['ann', 'bob', 'ann'])
  assert.deepEqual([ann.leads, bob.leads, third.leads], [true, true, false])
  who = 'bob'
  ann.crash() // now the third is asked
  await eventually('the third is bob', () => third.client.state === 'live' && third.client.user === 'bob')
  assert.equal(third.leads, false)
})

test('any tab that lives may be asked for a token', async () => {
  const browser = new FakeBrowser()
  let failing = false, asked = 0
  const one = openTab(browser, {token: () => (failing ? Promise.reject(new Error('signed out here')) : tokenOf('ann', 3))})
  const f = follow(one, 'mine')
  await f.subscribed
  const two = openTab(browser, {token: () => (asked++, tokenOf('ann', 600))})
  const g = follow(two, 'mine')
  await g.subscribed
  failing = true
  asked = 0
  await eventually('the other is asked', () => asked > 0)
  await new Promise((done) => setTimeout(done, 2_500)) // the first token is over
  await two.client.channel('mine').publish('message', 1)
  await eventually('both', () => f.got.length === 1 && g.got.length === 1)
  assert.deepEqual([...f.told, ...g.told].filter((e) => e.event !== 'subscribed'), [])
})

test('signing out is for all tabs, and signing in again is too', async () => {
  const browser = new FakeBrowser()
  const all = count(3).map(() => openTab(browser))
  await Promise.all(all.map((t) => t.client.connect()))
  all[2].client.signOut()
  await eventually('all are closed', () => all.every((t) => t.client.state === 'closed'))
  await eventually('no line is left', () => !all.some((t) => t.leads))
  await Promise.all(all.map((t) => t.client.connect()))
  assert.equal(all.filter((t) => t.leads).length, 1)
  // One that is closed alone leaves the others theirs.
  const leader = all.find((t) => t.leads)
  leader.client.close()
  await eventually('another leads', () => all.some((t) => t !== leader && t.leads && t.client.state === 'live'))
})

test('a cut line is one cut for all', async () => {
  const browser = new FakeBrowser()
  const all = count(4).map(() => openTab(browser))
  const each = all.map((t) => follow(t, 'chat:cut'))
  await Promise.all(each.map((f) => f.subscribed))
  let n = 0
  for (let round = 0; round < 5; round++) {
    const publications = all.map((t) => t.client.channel('chat:cut').publish('message', n++))
    for (const t of all) for (const s of t.sockets) s.terminate()
    await Promise.all(publications)
  }
  await eventually('all', () => each.every((f) => f.got.length === 20))
  for (const f of each) {
    assert.deepEqual([...f.got].sort((a, b) => a - b), count(20))
    assert.ok(!f.told.some((e) => e.event === 'gap'))
  }
  assert.deepEqual(each.map((f) => f.got.join()), each.map(() => each[0].got.join()), 'in one order')
})

test('where locks are refused, a tab is alone and goes on', async () => {
  const locks = {request: () => Promise.reject(new DOMException('not here', 'SecurityError'))}
  const browser = new FakeBrowser()
  const all = count(2).map(() => new Ringdown(server.url, {WebSocket, grace: 0, token: () => tokenOf('ann', 600), share: tabs({locks, channel: browser.channel})}))
  try {
    const each = all.map((client) => follow({client}, 'chat:refused'))
    await Promise.all(each.map((f) => f.subscribed))
    await all[0].channel('chat:refused').publish('message', 1)
    await eventually('both', () => each.every((f) => f.got.length === 1))
  } finally {
    for (const c of all) c.close()
  }
})

test('somebody who comes back while a token is awaited waits for that one', async () => {
  const browser = new FakeBrowser()
  let asked = 0, back
  const watch = (fn) => { back = fn; return () => {} }
  const one = openTab(browser, {environment: {watch}, token: async () => {
    asked++
    await new Promise((done) => setTimeout(done, 100))
    return tokenOf('ann', 600)
  }})
  const live = one.client.connect()
  back(false)
  back(true)
  await live
  assert.equal(asked, 1)
})

test('where a browser cannot share, each tab has a line of its own', async () => {
  const c = new Ringdown(server.url, {WebSocket, token: tokenOf('ann', 60), share: tabs()})
  const {navigator} = globalThis
  try {
    if (navigator?.locks) return // this one can
    await c.connect()
    assert.equal(c.user, 'ann')
  } finally {
    c.close()
  }
})
