import {Centrifuge} from 'centrifuge'

export const name = 'centrifuge'
export const entry = `export {Centrifuge} from 'centrifuge'`

const reply = ({id, connect, subscribe}) =>
  connect ? {id, connect: {client: 'c', version: '6', ping: 25, pong: true}} :
    subscribe ? {id, subscribe: {recoverable: true, positioned: true, epoch: 'e', offset: 0}} : {id}

export const server = {
  opened: () => [],
  sent: (text) => [text.split('\n').filter((line) => line && line !== '{}').map((line) => JSON.stringify(reply(JSON.parse(line)))).join('\n')].filter(Boolean),
  message: (c, n, data) => `{"push":{"channel":"${c}","pub":{"data":${data},"offset":${n}}}}`,
}

export async function connect() {
  const centrifuge = new Centrifuge('ws://127.0.0.1:8000/connection/websocket')
  const connected = new Promise((done) => centrifuge.on('connected', done))
  centrifuge.connect()
  await connected
  return {
    subscribe: (c, fn) => {
      const s = centrifuge.newSubscription(c)
      s.on('publication', (p) => fn(p.data))
      s.subscribe()
    },
    close: () => centrifuge.disconnect(),
  }
}
