import {decodeBase64, encodeBase64} from './clock.js'

/** Where a channel's log was read to. */
export interface Position {
  epoch: string
  offset: number
}

/** One message of the protocol, either way: see docs/protocol.md. */
export interface Message {
  type: string
  channel?: string
  id?: string | number
  /** A payload of bytes is a Uint8Array. */
  data?: any
  key?: string
  dedupe?: string
  offset?: number
  prev?: number
  time?: number
  from?: string
  epoch?: string
  token?: string
  since?: Position
  channels?: Item[]
  traceparent?: string
}

/** A channel in a subscribe, or in the body of a stream. */
export interface Item {
  channel: string
  since?: Position
  data?: {last?: number; rate?: number}
}

/** How messages are written on a WebSocket. */
export interface Codec {
  /** The subprotocol that names it. */
  protocol: string
  encode(m: Message): string | Uint8Array
  /** undefined: it cannot be read, and is passed over. */
  decode(frame: string | ArrayBuffer): Message | undefined
}

/** Writes a message: as text, or as a binary frame if its data is bytes. */
function encode(m: Message): string | Uint8Array {
  if (!(m.data instanceof Uint8Array)) return JSON.stringify(m)
  const {data, ...head} = m
  const text = new TextEncoder().encode(JSON.stringify(head) + '\n')
  const frame = new Uint8Array(text.length + data.length)
  frame.set(text)
  frame.set(data, text.length)
  return frame
}

/** Writes a message for transports that carry text alone. */
export function encodeText(m: Message): string {
  if (!(m.data instanceof Uint8Array)) return JSON.stringify(m)
  const {data, ...head} = m
  return JSON.stringify({...head, data64: encodeBase64(data)})
}

/** Reads a frame; undefined if it cannot be read, for a client passes that over. */
export function decode(frame: string | ArrayBuffer): Message | undefined {
  try {
    if (typeof frame === 'string') return unpack(JSON.parse(frame))
    const bytes = new Uint8Array(frame)
    const end = bytes.indexOf(10)
    const m = JSON.parse(new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end)))
    if (end >= 0) m.data = bytes.slice(end + 1)
    return unpack(m)
  } catch {
    return undefined
  }
}

export const json: Codec = {protocol: 'ringdown.v1.json', encode, decode}

/** Puts what came as base64 into data, of a message and of those in it: a page of a history, a part of a state. */
export function unpack(m: any): Message | undefined {
  if (typeof m?.type !== 'string') return undefined
  if (typeof m.data64 === 'string') {
    m.data = decodeBase64(m.data64)
    delete m.data64
  }
  if (m.type === 'history' || m.type === 'state') (m.data?.messages ?? m.data?.items)?.forEach(unpack)
  return m
}
