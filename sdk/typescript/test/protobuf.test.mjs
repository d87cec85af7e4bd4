// Protobuf on the line, against the real server and against chance.
import assert from 'node:assert/strict'
import {after, before, test} from 'node:test'
import WebSocket from 'ws'
import {Ringdown} from '../dist/index.js'
import {protobuf} from '../dist/protobuf.js'
import {serve, tokenOf, until} from './server.mjs'

let server
before(async () => { server = await serve() })
after(() => server.stop())

const frameOf = (bytes) => bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)

test('everything goes over it', async () => {
  const c = new Ringdown(server.url, {WebSocket, codec: protobuf, transports: ['websocket'], grace: 0, token: tokenOf('ann', 60)})
  try {
    const room = c.channel('chat:protobuf', {last: 5})
    const got = []
    room.on('message', (data, m) => got.push([data, m.offset, m.from]))
    await until((fn) => room.when('subscribed', fn))
    const text = 'é\u2028 "quoted" ' + 'x'.repeat(5000)
    assert.equal((await room.publish('message', {text, n: 1e300, list: [null, true]})).offset, 1)
    await room.publish('message', new Uint8Array([0, 255, 10]))
    await room.publish('message', null)
    for (const end = Date.now() + 5000; got.length < 3 && Date.now() < end;) await new Promise((done) => setTimeout(done, 10))
    assert.deepEqual(got, [[{text, n: 1e300, list: [null, true]}, 1, 'ann'], [new Uint8Array([0, 255, 10]), 2, 'ann'], [null, 3, 'ann']])
    await room.presence.enter({mood: 'fine'})
    assert.equal((await room.page({limit: 2})).messages.length, 2)
    const trucks = c.channel('trucks:pb').state
    trucks.on(() => {})
    await trucks.whenReady()
    await c.channel('trucks:pb').publish('moved', {x: 1}, {key: 'k'})
    for (const end = Date.now() + 5000; trucks.size < 1 && Date.now() < end;) await new Promise((done) => setTimeout(done, 10))
    assert.deepEqual(trucks.get('k'), {x: 1})
    await assert.rejects(c.channel('nowhere:x').publish('e', 1), {code: 'not_found'})
  } finally {
    c.close()
  }
})

test('what is written is read again', () => {
  for (const m of [
    {type: 'e', channel: 'c', id: 7, data: {a: 1}}, {type: 'e', id: 'x"y', data: ''}, {type: 'e', data: null}, {type: 'e', data: new Uint8Array()},
    {type: 'e', data: new Uint8Array(1000)}, {type: 'ö', channel: 'ü', key: 'k', dedupe: 'd', traceparent: 't', data: 0}, {type: 'e', token: 'a.b.c'},
  ]) assert.deepEqual(protobuf.decode(frameOf(protobuf.encode(m))), m)
  // As the server writes it: offset, prev and time are numbers of up to 53 bits, and 0 may be there.
  const varint = (n) => n < 128 ? [n] : [n % 128 + 128, ...varint(Math.floor(n / 128))]
  const most = 2 ** 53 - 1
  const bytes = [10, 1, 101, 8 * 8, ...varint(most), 9 * 8, 0, 80, ...varint(1_790_000_000_123), ...varint(8 * 50), ...varint(most)]
  assert.deepEqual(protobuf.decode(frameOf(new Uint8Array(bytes))), {type: 'e', offset: most, prev: 0, time: 1_790_000_000_123})
})

test('whatever comes, it is read or passed over', () => {
  let seed = 1
  const chance = (n) => (seed = (seed * 48271) % 0x7fffffff) % n
  const frames = [{type: 'e', channel: 'c', id: 7, data: {a: 1}}, {type: 'e', data: new Uint8Array(20), since: {epoch: 'e', offset: 3}}].map((m) => protobuf.encode(m))
  let read = 0
  for (let i = 0; i < 20_000; i++) {
    const bytes = chance(3) ? frames[chance(2)].slice() : new Uint8Array(chance(40))
    for (let n = chance(4); n >= 0; n--) bytes[chance(bytes.length || 1)] = chance(256)
    const m = protobuf.decode(frameOf(bytes.subarray(0, chance(4) ? bytes.length : chance(bytes.length + 1))))
    if (m) read++
    assert.ok(m === undefined || typeof m.type === 'string')
  }
  assert.ok(read > 500 && read < 19_500, `${read} of 20,000 were read`)
  assert.equal(protobuf.decode('{"type":"e"}'), undefined)
})
