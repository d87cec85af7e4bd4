import Pusher from 'pusher-js'

export const name = 'pusher-js'
export const entry = `export {default} from 'pusher-js'`

export const server = {
  opened: () => ['{"event":"pusher:connection_established","data":"{\\"socket_id\\":\\"1.1\\",\\"activity_timeout\\":120}"}'],
  sent: (text) => {
    const m = JSON.parse(text)
    if (m.event !== 'pusher:subscribe') return []
    return [JSON.stringify({event: 'pusher_internal:subscription_succeeded', data: '{}', channel: m.data.channel})]
  },
  // It has no positions: what is missed is missed.
  message: (c, n, data) => JSON.stringify({event: 'created', data, channel: c}),
}

export async function connect() {
  const pusher = new Pusher('key', {wsHost: '127.0.0.1', wsPort: 8000, forceTLS: false, enabledTransports: ['ws'], disableStats: true, cluster: 'x'})
  await new Promise((done) => pusher.connection.bind('connected', done))
  return {subscribe: (c, fn) => pusher.subscribe(c).bind('created', fn), close: () => pusher.disconnect()}
}
