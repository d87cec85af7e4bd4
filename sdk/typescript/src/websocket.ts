import type {End, Line, LineEvents, Opening, Transport} from './line.js'
import type {Codec, Message} from './protocol.js'
import {readProblem} from './http.js'

/** What we need of a WebSocket class: the browser's, Node's, or that of the package ws. */
export interface WebSocketLike {
  readyState: number
  binaryType: string
  onopen: any
  onmessage: any
  onclose: any
  onerror: any
  send(data: any): void
  close(code?: number): void
}
export type WebSocketClass = new (url: string, protocols?: string[]) => WebSocketLike

const canBeProtocol = /^[\w!#$%&'*+.^`|~-]+$/

export function webSocketTransport(codec: Codec, find: () => WebSocketClass | undefined): Transport {
  return {
    name: 'websocket',
    open: (o, events) => open(find(), codec, o, events),
    async explain(o) {
      const answer = await fetch(address(o), {cache: 'no-store'})
      const end = readProblem({answer, text: await answer.text()})
      // 400 and 426 say no more than that this was no WebSocket.
      return end.error && (end.status === 403 || end.status! > 426) ? end : undefined
    },
  }
}

function address(o: Opening): string {
  return `${o.url}/v1/ws?${new URLSearchParams({...o.query, heartbeat: 'message'})}`
}

function open(Socket: WebSocketClass | undefined, codec: Codec, o: Opening, events: LineEvents): Line {
  const protocols = [codec.protocol]
  const asProtocol = o.token !== undefined && canBeProtocol.test(o.token)
  if (asProtocol) protocols.push('bearer.' + o.token)
  let socket: WebSocketLike | undefined
  // Node.js tells of a failed connection by an error, and at times by no close.
  let over = false
  const end = (e: End) => {
    if (over) return
    over = true
    events.ended(e)
  }
  try {
    if (!Socket) throw new Error('there is no WebSocket here')
    socket = new Socket(address(o).replace(/^http/, 'ws'), protocols)
  } catch {
    queueMicrotask(() => end({}))
    return {send() {}, close: () => void (over = true)}
  }
  socket.binaryType = 'arraybuffer'
  socket.onopen = () => {
    if (over) return
    if (o.token !== undefined && !asProtocol) socket.send(codec.encode({type: 'auth', token: o.token}))
    events.opened()
  }
  socket.onmessage = (event: {data: string | ArrayBuffer}) => {
    if (over) return
    const m = codec.decode(event.data)
    if (m) events.message(m)
    else events.heard()
  }
  socket.onclose = (event: {code: number}) => end(event.code === 1006 ? {} : {code: event.code})
  socket.onerror = () => {
    if (socket.readyState !== 1) end({})
  }
  return {
    send(m: Message) {
      if (!over && socket.readyState === 1) socket.send(codec.encode(m))
    },
    close(code = 1000) {
      over = true
      socket.onerror = () => {} // package ws throws what nobody listens to
      if (socket.readyState < 2) socket.close(code)
    },
  }
}
