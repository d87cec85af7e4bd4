import {Socket} from 'phoenix'

export const name = 'phoenix'
export const entry = `export {Socket} from 'phoenix'`

const joined = new Map() // channel: join_ref

export const server = {
  opened: () => [],
  sent: (text) => {
    const [join, ref, topic, event] = JSON.parse(text)
    if (event === 'phx_join') joined.set(topic, join)
    return [JSON.stringify([join, ref, topic, 'phx_reply', {status: 'ok', response: {}}])]
  },
  // It has no positions either.
  message: (c, n, data) => `["${joined.get(c)}",null,"${c}","created",${data}]`,
}

export async function connect() {
  const socket = new Socket('ws://127.0.0.1:8000/socket', {heartbeatIntervalMs: 3600_000})
  const open = new Promise((done) => socket.onOpen(done))
  socket.connect()
  await open
  return {
    subscribe: (c, fn) => {
      const channel = socket.channel(c)
      channel.on('created', fn)
      channel.join()
    },
    close: () => socket.disconnect(),
  }
}
