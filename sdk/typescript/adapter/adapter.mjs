// Plays the cases of spec/client with this client: commands on stdin, events on stdout, a JSON
// object a line. What they mean is in spec/client/README.md.
import {createInterface} from 'node:readline'
import WebSocket from 'ws'
import {Ringdown, RingdownError} from '../dist/index.js'
import {tabs} from '../dist/tabs.js'
import {FakeBrowser} from './browser.mjs'
import {VirtualClock, VirtualLines} from './virtual.mjs'

const tell = (event) => process.stdout.write(JSON.stringify(event) + '\n')
const errorOf = (e) => ({code: e.code ?? 'thrown', message: e.message, retryable: e.retryable ?? false})

let client, clock, lines, real
const follows = new Map() // channel, or channel and name: off functions
const waits = new Map() // results by name: AbortController
const questions = [] // for a token
let throwing = new Set()

/** Waits until nothing happens any more that needs no time. */
async function settle() {
  if (real) return
  for (let i = 0; i < 4; i++) await new Promise((done) => setImmediate(done))
}

const commands = {
  start({real: forReal = false, options = {}}) {
    real = forReal
    const {url = 'http://example.test', token, fixed, random = 0.5, ...settings} = options
    clock = new VirtualClock(random)
    lines = new VirtualLines(tell)
    if (real) clock.now = Date.now
    if (token === 'fixed') settings.token = fixed
    if (token === 'function') {
      settings.token = (reason) => new Promise((resolve, reject) => {
        questions.push({resolve, reject})
        tell({event: 'token', reason})
      })
    }
    if (!real) {
      const watch = (back) => {
        commands.wake = () => back(true)
        return () => {}
      }
      settings.environment = {clock, transport: (name) => lines.transport(name), watch}
    } else if (!globalThis.WebSocket) { // Node.js 20
      settings.WebSocket = WebSocket
    }
    // The same again as a tab that leads, and has nobody to share with.
    if (process.env.RINGDOWN_SHARED) {
      const {locks, channel} = new FakeBrowser()
      settings.share = tabs({locks, channel})
    }
    client = new Ringdown(url, settings)
    tell({event: 'started', now: clock.now(), lacks: []})
    client.on('state', ({state, reason, retryIn, error, transport}) => tell({event: 'state', state, reason, retryIn, transport, error: error && errorOf(error)}))
    client.on('error', (cause) => tell({event: 'thrown', message: String(cause?.message ?? cause)}))
  },
  connect: () => void client.connect().catch(() => {}),
  close: () => client.close(),
  sign_out: () => client.signOut(),
  wake() {},
  subscribe({channel: name, last, rate, members, state, as}) {
    const channel = client.channel(name, last || rate ? {last, rate} : undefined)
    const key = name + ' ' + (as ?? '')
    const offs = []
    for (const event of ['subscribed', 'recovered', 'gap', 'failed']) {
      offs.push(channel.when(event, (detail) => tell({event, channel: name, as, ...detail, ...(detail.error ? {error: errorOf(detail.error)} : {})})))
    }
    if (state) offs.push(channel.state.on(() => tell({event: 'snapshot', channel: name, items: Object.fromEntries(channel.state)})))
    if (members) offs.push(channel.presence.on((table) => tell({event: 'members', channel: name, as, members: [...table.values()].sort((a, b) => (a.id < b.id ? -1 : 1))})))
    offs.push(channel.on('*', (data, message) => {
      tell({event: 'message', channel: name, as, message: data instanceof Uint8Array ? {...message, data: undefined, data64: Buffer.from(data).toString('base64')} : message})
      if (throwing.has(name)) throw new Error('thrown by a handler')
    }))
    follows.set(key, offs)
  },
  unsubscribe({channel, as}) {
    for (const off of follows.get(channel + ' ' + (as ?? ''))) off()
  },
  throw: ({channel}) => void throwing.add(channel),
  publish({channel, type, data, data64, key, dedupe, ack, timeout, as}) {
    const payload = data64 === undefined ? data : new Uint8Array(Buffer.from(data64, 'base64'))
    result(as, (signal) => client.channel(channel).publish(type, payload, {key, dedupe, ack, timeout, signal}))
  },
  call: ({type, data, timeout, as}) => result(as, (signal) => client.call(type, data, {timeout, signal})),
  history: ({channel, before, limit, as}) => result(as, (signal) => client.channel(channel).page({before, limit, signal})),
  enter: ({channel, data, will, as}) => result(as, () => client.channel(channel).presence.enter(data, {will})),
  update: ({channel, data, as}) => result(as, () => client.channel(channel).presence.update(data)),
  leave: ({channel, as}) => result(as, () => client.channel(channel).presence.leave()),
  cancel: ({as}) => waits.get(as).abort(),
  token({give, fail}) {
    const question = questions.shift()
    if (!question) throw new Error('nobody asked for a token')
    if (fail === undefined) question.resolve(give)
    else question.reject(new Error(fail))
  },
  advance: ({ms}) => clock.advance(ms, settle),
  jump: ({ms}) => clock.jump(ms),
  opened: (c) => lines.of(c).events.opened(),
  failed(c) {
    const error = c.problem && new RingdownError(c.problem.code, c.problem.message ?? c.problem.code, c.problem)
    lines.end(c, {status: c.status, error, retryAfter: c.retryAfter})
  },
  receive(c) {
    const entry = lines.of(c)
    for (const {data64, ...message} of [c.message].flat()) {
      if (entry.over) return
      entry.events.message(data64 === undefined ? message : {...message, data: new Uint8Array(Buffer.from(data64, 'base64'))})
    }
  },
  heard(c) { if (!lines.of(c).over) lines.of(c).events.heard() },
  ended(c) {
    lines.end(c, c.code === undefined ? {} : {code: c.code})
  },
}

function result(as, work) {
  const control = new AbortController()
  if (as !== undefined) waits.set(as, control)
  Promise.resolve().then(() => work(control.signal)).then(
    (value) => as !== undefined && tell({event: 'result', as, value: value ?? null}),
    (error) => as !== undefined && tell({event: 'result', as, error: errorOf(error)}),
  )
}

for await (const line of createInterface({input: process.stdin})) {
  const command = JSON.parse(line)
  if (!(command.do in commands)) throw new Error(`unknown command ${command.do}`)
  await commands[command.do](command)
  await settle()
  tell({settled: true})
}
process.exit(0)
