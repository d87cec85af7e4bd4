import {io} from 'socket.io-client'

export const name = 'socket.io-client'
export const entry = `export {io} from 'socket.io-client'`

/** The server's side: texts that answer what the library sends, and a message in channel c. */
export const server = {
  opened: () => ['0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'],
  sent: (text) => (text.startsWith('40') ? ['40{"sid":"b","pid":"c"}'] : []),
  // The last argument is the offset, by which its state is recovered after a break.
  message: (c, n, data) => `42["${c}",${data},"${n}"]`,
}

export async function connect() {
  const socket = io('http://127.0.0.1:8000', {transports: ['websocket'], reconnection: false})
  await new Promise((done) => socket.on('connect', done))
  return {subscribe: (c, fn) => socket.on(c, fn), close: () => socket.close()}
}
