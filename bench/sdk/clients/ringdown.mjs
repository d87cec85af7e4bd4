import {Ringdown} from '../../../sdk/typescript/dist/index.js'

export const name = '@ringdown/client'
export const entry = `export {Ringdown} from '../../sdk/typescript/dist/index.js'`

const subscribed = (m) => (m.channels ?? [m]).map((c) => JSON.stringify({type: 'subscribed', channel: c.channel ?? c, id: m.id, epoch: 'e', offset: 0}))

export const server = {
  opened: () => ['{"type":"welcome","data":{"connection":"c","protocol":1,"ping":25000,"max_message":65536,"dedupe_window":120000}}'],
  sent: (text) => {
    const m = JSON.parse(text)
    return m.type === 'subscribe' ? subscribed(m) : []
  },
  message: (c, n, data) => `{"type":"created","channel":"${c}","offset":${n},"time":1790000000000,"data":${data}}`,
}

export async function connect() {
  const ringdown = new Ringdown('ws://127.0.0.1:8000')
  await ringdown.connect()
  return {subscribe: (c, fn) => ringdown.channel(c).on('created', (data) => fn(data)), close: () => ringdown.close()}
}
