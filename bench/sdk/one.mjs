// Weighs one client library in a program of its own: node --expose-gc one.mjs NAME
// prints one line of JSON. bench.mjs calls it.

import {sockets, script} from './window.mjs'

const {server, connect} = await import(`./.build/${process.argv[2]}.mjs`)
const messages = 100_000
const channels = 1_000

script.opened = (socket) => server.opened().forEach((text) => socket.deliver(text))
script.sent = (socket, text) => server.sent(text).forEach((answer) => socket.deliver(answer))
const settled = () => new Promise((done) => setTimeout(done, 50))

const client = await connect()
let sum = 0, seen = 0
client.subscribe('orders', (order) => {
  sum += order.id
  seen++
})
await settled()

const order = (id) => JSON.stringify({id, item: 'espresso', price: 19.5, place: [52.5203, 13.4051], status: 'shipped'})
let offset = 0
const made = (n) => Array.from({length: n}, () => server.message('orders', ++offset, order(offset)))

/** Delivers texts one by one, each with the tasks that it makes, as a browser does; µs for each. */
async function receive(texts) {
  const socket = sockets.at(-1)
  const want = seen + texts.length
  const begun = process.hrtime.bigint()
  for (const text of texts) {
    socket.deliver(text)
    await null
  }
  const took = Number(process.hrtime.bigint() - begun) / 1000
  await settled()
  if (seen !== want) throw new Error(`${process.argv[2]}: ${want - seen} of ${texts.length} messages did not come`)
  return took / texts.length
}

await receive(made(20_000)) // until the compiler has done its work
const texts = made(messages)
globalThis.gc()
const before = process.memoryUsage().heapUsed
const micros = await receive(texts)
const kept = process.memoryUsage().heapUsed - before // with a young generation that is larger than all of it

globalThis.gc()
const empty = process.memoryUsage().heapUsed
for (let i = 0; i < channels; i++) client.subscribe('room:' + i, () => { sum++ })
await settled()
await settled()
const standing = process.memoryUsage().heapUsed - empty
globalThis.gc()
const subscriptions = process.memoryUsage().heapUsed - empty

console.log(JSON.stringify({micros, allocated: kept / messages, subscriptions, standing}))
process.exit(sum > 0 ? 0 : 1)
