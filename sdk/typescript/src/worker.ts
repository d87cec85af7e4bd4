// A SharedWorker that leads for the tabs of one user: its name says which. It is loaded by `tabs({worker})`.
import {randomId} from './clock.js'
import {environment} from './options.js'
import {lead, type Lead} from './tabs.js'

const {navigator, name, BroadcastChannel: Channel} = globalThis as any
const channel = new Channel(name)
let leading: Lead | undefined
channel.onmessage = ({data}: {data: any}) => {
  if (data.said.type === 'signed out') leading?.hub.signOut()
  else leading?.take(data)
}
const campaign = (): void => {
  navigator.locks.request(name, () => new Promise(() => {
    leading = lead(environment({}), randomId(), randomId(), channel, navigator.locks)
  })).catch(() => {
    // A tab found this one frozen and leads now. When that tab is gone it is our turn again.
    leading?.stop()
    leading = undefined
    setTimeout(campaign, 1_000)
  })
}
campaign()
