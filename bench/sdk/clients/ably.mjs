import {Realtime} from 'ably'

export const name = 'ably'
export const entry = `export {Realtime} from 'ably'`

export const server = {
  opened: () => [JSON.stringify({action: 4, connectionId: 'c', connectionDetails: {clientId: '*', connectionKey: 'k', maxMessageSize: 65536, maxInboundRate: 1000, maxOutboundRate: 1000, maxFrameSize: 524288, connectionStateTtl: 120000, maxIdleInterval: 0}})],
  sent: (text) => {
    const m = JSON.parse(text)
    return m.action === 10 ? [JSON.stringify({action: 11, channel: m.channel, channelSerial: 's0', flags: 0})] : []
  },
  message: (c, n, data) => JSON.stringify({action: 15, id: 'c:' + n, connectionId: 'c', channel: c, channelSerial: 's' + n, timestamp: 1790000000000, messages: [{name: 'created', data, encoding: 'json'}]}),
}

export async function connect() {
  const ably = new Realtime({key: 'a.b:c', useBinaryProtocol: false, transports: ['web_socket'], fallbackHosts: [], disableConnectivityCheck: true, logLevel: 0})
  await ably.connection.once('connected')
  return {subscribe: (c, fn) => void ably.channels.get(c).subscribe('created', (m) => fn(m.data)), close: () => ably.close()}
}
