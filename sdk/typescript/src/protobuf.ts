import {unpack, type Codec, type Item, type Message, type Position} from './protocol.js'

/*
 * Messages as the server's ringdown.proto has them. What JSON has as data is JSON here too, but
 * bytes are bytes, and numbers and names take less room.
 *
 *   new Ringdown(url, {codec: protobuf})
 */
export const protobuf: Codec = {
  protocol: 'ringdown.v1.protobuf',
  encode: (m) => new Writer().message(m).bytes(),
  decode(frame) {
    if (typeof frame === 'string') return undefined
    try {
      return readMessage(new Uint8Array(frame))
    } catch {
      return undefined
    }
  },
}

const utf8 = new TextEncoder()
const text = new TextDecoder()

class Writer {
  private buffer = new Uint8Array(256)
  private length = 0

  bytes(): Uint8Array { return this.buffer.slice(0, this.length) }

  message(m: Message): this {
    const binary = m.data instanceof Uint8Array
    this.text(1, m.type)
    this.text(2, m.channel)
    if (m.id !== undefined) this.text(3, JSON.stringify(m.id))
    if (m.data !== undefined) this.field(4, binary ? m.data : utf8.encode(JSON.stringify(m.data)))
    if (binary) this.number(5, 1)
    this.text(6, m.key)
    this.text(7, m.dedupe)
    this.text(13, m.token)
    if (m.since) this.field(14, position(m.since))
    for (const item of m.channels ?? []) this.field(15, subscription(item))
    this.text(17, m.traceparent)
    return this
  }

  text(field: number, value: string | undefined): void {
    if (value) this.field(field, utf8.encode(value))
  }

  field(field: number, value: Uint8Array): void {
    this.varint(field * 8 + 2)
    this.varint(value.length)
    this.room(value.length)
    this.buffer.set(value, this.length)
    this.length += value.length
  }

  number(field: number, value: number): void {
    this.varint(field * 8)
    this.varint(value)
  }

  private varint(n: number): void {
    this.room(10)
    for (; n >= 128; n = Math.floor(n / 128)) this.buffer[this.length++] = (n % 128) | 128
    this.buffer[this.length++] = n
  }

  private room(n: number): void {
    if (this.length + n <= this.buffer.length) return
    const larger = new Uint8Array(Math.max(2 * this.buffer.length, this.length + n))
    larger.set(this.buffer)
    this.buffer = larger
  }
}

function position({epoch, offset}: Position): Uint8Array {
  const w = new Writer()
  w.text(1, epoch)
  if (offset > 0) w.number(2, offset)
  return w.bytes()
}

function subscription({channel, since, data}: Item): Uint8Array {
  const w = new Writer()
  w.text(1, channel)
  if (since) w.field(2, position(since))
  if (data) w.field(3, utf8.encode(JSON.stringify(data)))
  return w.bytes()
}

/** Gives each field of a message to take: numbers as such, all else as bytes. */
function read(bytes: Uint8Array, take: (field: number, value: any) => void): void {
  let at = 0
  const varint = () => {
    let n = 0
    for (let unit = 1; ; unit *= 128) {
      const b = bytes[at++]
      if (b === undefined || unit > 2 ** 63) throw new RangeError('cut off')
      n += (b & 127) * unit
      if (b < 128) return n
    }
  }
  while (at < bytes.length) {
    const tag = varint()
    const kind = tag % 8
    let value: number | Uint8Array | undefined
    if (kind === 0) {
      value = varint()
    } else {
      const size = kind === 2 ? varint() : kind === 1 ? 8 : kind === 5 ? 4 : NaN
      if (!(at + size <= bytes.length)) throw new RangeError('cut off')
      value = bytes.subarray(at, (at += size))
    }
    take(Math.floor(tag / 8), value)
  }
}

const names: Record<number, keyof Message> = {1: 'type', 2: 'channel', 6: 'key', 7: 'dedupe', 8: 'offset', 9: 'prev', 10: 'time', 11: 'from', 12: 'epoch', 13: 'token', 17: 'traceparent'}

function readMessage(bytes: Uint8Array): Message | undefined {
  const m: any = {}
  let payload: Uint8Array | undefined
  let binary = false
  read(bytes, (field, value) => {
    const name = names[field]
    if (name) m[name] = typeof value === 'number' ? value : text.decode(value)
    else if (field === 3) m.id = JSON.parse(text.decode(value))
    else if (field === 4) payload = value
    else if (field === 5) binary = value !== 0
  })
  if (binary) m.data = payload?.slice() ?? new Uint8Array()
  else if (payload) m.data = JSON.parse(text.decode(payload))
  return unpack(m)
}
