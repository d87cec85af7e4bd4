// The program for Node.js: node client.js LIBRARY. It says of each step "ok STEP" or
// "FAIL STEP: why". BASE, CONTROL, TOKEN and API_KEY come by the environment.
'use strict'
const {BASE, CONTROL, TOKEN, API_KEY} = process.env
const library = process.argv[2]
const channel = 'lab:' + library
const texts = Array.from({length: 20}, (_, i) => i === 10 ? 'x'.repeat(40000) : `nº ${i} ✓ 日本語 🚀 "\\\n\u2028`)

const sleep = (ms) => new Promise((done) => setTimeout(done, ms))
async function step(name, work) {
  try {
    await work()
    console.log('ok ' + name)
  } catch (e) {
    console.log(`FAIL ${name}: ${e.message}`)
    process.exitCode = 1
  }
}
function same(what, got, want) {
  if (JSON.stringify(got) !== JSON.stringify(want)) throw new Error(`${what}: ${JSON.stringify(got).slice(0, 500)} instead of ${JSON.stringify(want).slice(0, 500)}`)
}
const control = (path) => fetch(CONTROL + path, {method: 'POST'}).then((r) => { if (!r.ok) throw new Error(path + ': ' + r.status) })

// Inbox is what came, and who waits for more.
class Inbox {
  all = []
  take(m) { this.all.push(m); this.wake?.() }
  of(type) { return this.all.filter((m) => m.type === type) }
  async until(what, done) {
    for (const end = Date.now() + 15000; !done();) {
      if (Date.now() > end) throw new Error(`waited for ${what} in vain, after ${JSON.stringify(this.all.slice(-5)).slice(0, 500)}`)
      await new Promise((wake) => { this.wake = wake; setTimeout(wake, 200) })
    }
  }
}

// What the libraries for WebSockets have in common is the interface of browsers.
const sockets = {
  ws: (url) => new (require('ws'))(url),
  undici: (url) => new (require('undici').WebSocket)(url),
  websocket: (url) => new (require('websocket').w3cwebsocket)(url),
  'reconnecting-websocket': (url) => new (require('reconnecting-websocket'))(url, [], {WebSocket: require('ws'), minReconnectionDelay: 20, maxReconnectionDelay: 100}),
}

function open(query, opened) {
  const line = Object.assign(new Inbox(), {codes: [], socket: sockets[library](BASE.replace('http', 'ws') + '/v1/ws?' + query)})
  line.say = (m) => line.socket.send(JSON.stringify(m))
  line.socket.onmessage = ({data}) => line.take(JSON.parse(data))
  line.socket.onerror = () => {}
  line.socket.onopen = () => opened?.(line)
  line.socket.onclose = ({code}) => {
    line.codes.push(code)
    // 40xx: not to come back without changing something. A wrapper does not know.
    if (code >= 4000 && code < 4100) line.socket.close()
    line.wake?.()
  }
  return line
}

async function socket() {
  const reconnects = library === 'reconnecting-websocket'
  let since
  const subscribe = (line) => line.say({type: 'subscribe', channel, id: 1, since})
  const line = open('token=' + TOKEN, subscribe)
  await step('order', async () => {
    await line.until('welcome', () => line.of('welcome').length && line.of('subscribed').length)
    same('user', line.of('welcome')[0].data.user, 'ann')
    texts.forEach((text, i) => line.say({type: 'n', channel, id: 100 + i, data: {i, text}}))
    await line.until('the messages', () => line.of('n').length === 20 && line.of('ack').length === 20)
    same('messages', line.of('n').map((m) => m.data), texts.map((text, i) => ({i, text})))
  })
  let next = line
  await step('resume', async () => {
    since = {epoch: line.of('subscribed')[0].epoch, offset: line.of('n')[9].offset}
    const from = reconnects ? line.all.length : 0
    await control(`/cut?channel=${channel}&n=3`)
    await line.until('the end', () => line.codes.length)
    if (!reconnects) next = open('token=' + TOKEN, subscribe)
    await next.until('what was missed', () => next.of('missed').length === 3)
    const news = next.all.slice(from)
    same('recovered', news.find((m) => m.type === 'subscribed').data.recovered, true)
    same('messages', news.filter((m) => m.type === 'n').map((m) => m.data.i), texts.map((_, i) => i).slice(10))
    same('missed', next.of('missed').map((m) => m.data.i), [0, 1, 2])
  })
  await step('4001', async () => {
    const bad = open('token=a.bad.token')
    await bad.until('the end', () => bad.codes.length)
    same('code', bad.codes, [4001])
    same('error', bad.of('error')[0].data.code, 'unauthorized')
    await sleep(reconnects ? 300 : 0)
    same('codes', bad.codes, [4001])
  })
  await step('4005', async () => {
    const kicked = open('token=' + TOKEN)
    await kicked.until('welcome', () => kicked.of('welcome').length)
    await fetch(BASE + '/v1/connections/' + kicked.of('welcome')[0].data.connection, {method: 'DELETE', headers: {Authorization: 'Bearer ' + API_KEY}})
    await kicked.until('the end', () => kicked.codes.length)
    same('code', kicked.codes, [4005])
  })
  await step('4200', async () => {
    const before = next.codes.length
    await control('/drain')
    await next.until('the end', () => next.codes.length > before)
    same('code', next.codes[before], 4200)
    same('reconnect', next.of('reconnect').length, 1)
  })
}

// follow opens a stream; told is called with what is no message.
const streams = {
  eventsource(url, inbox) {
    const source = new (require('eventsource').EventSource)(url)
    source.onmessage = ({data}) => inbox.event(data)
    source.onerror = (e) => inbox.trouble.push(e.code ?? 'error')
    return {close: () => source.close(), stopped: () => source.readyState === 2}
  },
  'event-source-polyfill'(url, inbox) {
    const {EventSourcePolyfill} = require('event-source-polyfill')
    const source = new EventSourcePolyfill(url, {headers: {}})
    source.onmessage = ({data}) => inbox.event(data)
    source.onerror = (e) => inbox.trouble.push(e.status ?? 'error')
    return {close: () => source.close(), stopped: () => source.readyState === 2}
  },
  'fetch-event-source'(url, inbox) {
    globalThis.window = globalThis // it is written for pages
    globalThis.document = {hidden: false, addEventListener() {}, removeEventListener() {}}
    const {fetchEventSource} = require('@microsoft/fetch-event-source')
    const stop = new AbortController()
    const {origin, pathname, searchParams} = new URL(url)
    let stopped = false
    fetchEventSource(origin + pathname, {
      method: 'POST',
      headers: {'Content-Type': 'application/json', Authorization: 'Bearer ' + searchParams.get('token')},
      body: JSON.stringify({channels: searchParams.getAll('channel')}),
      signal: stop.signal, openWhenHidden: true,
      async onopen(r) { if (!r.ok) { inbox.trouble.push(r.status); throw Object.assign(new Error('refused'), {final: true}) } },
      onmessage: ({data}) => inbox.event(data),
      onclose() { inbox.trouble.push('closed'); throw new Error('closed') },
      onerror(e) { inbox.trouble.push('error'); if (e.final) throw e },
    }).catch(() => { stopped = true })
    return {close: () => stop.abort(), stopped: () => stopped}
  },
}

function follow(query) {
  const inbox = Object.assign(new Inbox(), {trouble: [], empty: 0})
  inbox.event = (data) => { if (data) inbox.take(JSON.parse(data)); else inbox.empty++ }
  inbox.source = streams[library](BASE + '/v1/sse?' + query, inbox)
  return inbox
}

async function stream() {
  const inbox = follow(`channel=${channel}&token=${TOKEN}`)
  await step('order', async () => {
    await inbox.until('subscribed', () => inbox.of('subscribed').length)
    const {connection, secret, user} = inbox.of('welcome')[0].data
    same('user', user, 'ann')
    for (const [i, text] of texts.entries()) {
      const r = await fetch(`${BASE}/v1/connections/${connection}/messages`, {method: 'POST', headers: {'Ringdown-Stream': secret, 'Content-Type': 'application/json'},
        body: JSON.stringify({type: 'n', channel, id: i, data: {i, text}})})
      same('status', r.status, 202)
    }
    await inbox.until('the messages', () => inbox.of('n').length === 20 && inbox.of('ack').length === 20)
    same('messages', inbox.of('n').map((m) => m.data), texts.map((text, i) => ({i, text})))
  })
  await step('quiet', async () => {
    await sleep(1500)
    same('empty events and errors', [inbox.empty, inbox.trouble], [0, []])
  })
  await step('resume', async () => {
    await control(`/cut?channel=${channel}&n=3`)
    await inbox.until('what was missed', () => inbox.of('missed').length === 3)
    same('messages', [inbox.of('n').length, inbox.of('missed').map((m) => m.data.i)], [20, [0, 1, 2]])
    same('recovered', inbox.of('subscribed').at(-1).data.recovered, true)
  })
  await step('401', async () => {
    const bad = follow(`channel=${channel}&token=a.bad.token`)
    await bad.until('an error', () => bad.trouble.length && bad.source.stopped())
    same('trouble', bad.trouble[0], 401)
  })
  await step('end', async () => {
    await control('/drain')
    await inbox.until('reconnect', () => inbox.of('reconnect').length)
    inbox.source.close()
    same('empty events', inbox.empty, 0)
  })
}

(sockets[library] ? socket() : stream()).then(() => process.exit())
