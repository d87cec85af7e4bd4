// The hooks in strict mode, in a page of jsdom, against the real server.
import assert from 'node:assert/strict'
import {after, before, beforeEach, afterEach, test} from 'node:test'
import {JSDOM} from 'jsdom'
import WebSocket from 'ws'

const {window} = new JSDOM('<!doctype html><div id="root"></div>', {pretendToBeVisual: true})
for (const [name, value] of Object.entries({window, document: window.document, navigator: window.navigator, IS_REACT_ACT_ENVIRONMENT: true})) {
  Object.defineProperty(globalThis, name, {value, configurable: true, writable: true})
}
const {act, createElement: h, StrictMode, useState} = await import('react')
const {createRoot} = await import('react-dom/client')
const {Ringdown} = await import('@ringdown/client')
const {RingdownProvider, useCall, useChannel, useConnection, useEvent, usePresence, useSharedState, useTyping} = await import('../dist/index.js')
const {declared, serve, tokenOf} = await import('../../typescript/test/server.mjs')

let server, client, other, root, element
before(async () => { server = await serve({config: declared}) })
after(() => server.stop())
beforeEach(() => {
  client = new Ringdown(server.url, {WebSocket, token: tokenOf('ann', 600), grace: 50})
  other = new Ringdown(server.url, {WebSocket, token: tokenOf('bob', 600), grace: 0})
  element = document.body.appendChild(document.createElement('div'))
  root = createRoot(element)
})
afterEach(async () => {
  await act(() => root.unmount())
  element.remove()
  client.close()
  other.close()
})

const show = (component) => act(() => root.render(h(StrictMode, null, h(RingdownProvider, {client}, h(component)))))

/** Waits until the page says so. */
async function says(want) {
  for (let n = 0; n < 500; n++) {
    if (element.textContent === want) return
    await act(() => new Promise((done) => setTimeout(done, 20)))
  }
  assert.equal(element.textContent, want)
}

test('a channel: what comes is shown, each message once, and publishing is awaited', async () => {
  let publish
  await show(() => {
    const chat = useChannel('chat:react', {last: 10, keep: 3})
    publish = chat.publish
    return `${chat.subscribed} ${chat.messages.map((m) => m.data).join()}`
  })
  await says('true ')
  for (const n of [1, 2, 3, 4]) await other.channel('chat:react').publish('message', n)
  await says('true 2,3,4')
  await act(() => publish('message', 5))
  await says('true 3,4,5')
})

test('a refusal is told', async () => {
  await show(() => useChannel('nowhere').error?.code ?? 'none')
  await says('not_found')
})

test('a connection is live, and then waits', async () => {
  await show(() => {
    useChannel('chat:state')
    return useConnection().state
  })
  await says('live')
  await act(() => client.close())
  await says('closed')
})

test('an event calls the function of the last rendering', async () => {
  const seen = []
  let next
  await show(() => {
    const [n, set] = useState(0)
    next = () => set((was) => was + 1)
    useEvent('chat:event', 'message', (data) => seen.push(`${n}:${data}`))
    return useChannel('chat:event').subscribed ? `on ${n}` : 'off'
  })
  await says('on 0')
  await act(() => next())
  await says('on 1')
  await other.channel('chat:event').publish('message', 'x')
  for (let n = 0; n < 200 && seen.length === 0; n++) await act(() => new Promise((done) => setTimeout(done, 10)))
  assert.deepEqual(seen, ['1:x'])
})

test('members, this one among them; and not any more when the component is gone', async () => {
  const Members = () => usePresence('chat:members', {enter: {mood: 'fine'}}).map((m) => m.user + (m.data?.mood ?? '')).sort().join()
  let hide
  await show(() => {
    const [there, set] = useState(true)
    hide = () => set(false)
    return there ? h(Members) : 'gone'
  })
  await says('annfine')
  await act(() => other.channel('chat:members').presence.enter({}))
  await says('annfine,bob')
  await act(() => hide())
  await says('gone')
  let members = ['ann']
  const off = other.channel('chat:members').presence.on((table) => { members = [...table.values()].map((m) => m.user) })
  for (let n = 0; n < 300 && members.join() !== 'bob'; n++) await new Promise((done) => setTimeout(done, 20))
  assert.deepEqual(members, ['bob'])
  off()
})

test('a shared state is another map after each change', async () => {
  await other.channel('trucks:react').publish('position', 1, {key: 't1'})
  const maps = new Set()
  await show(() => {
    const state = useSharedState('trucks:react')
    if (state) maps.add(state)
    return state ? [...state].join(' ') : 'not yet'
  })
  await says('t1,1')
  await other.channel('trucks:react').publish('position', 2, {key: 't2'})
  await says('t1,1 t2,2')
  assert.ok(maps.size >= 2)
})

test('who types', async () => {
  await show(() => `${useChannel('chat:typing').subscribed} ${useTyping('chat:typing').users.join()}`)
  await says('true ')
  await other.connect()
  other.channel('chat:typing').typing.active()
  await says('true bob')
  other.channel('chat:typing').typing.stop()
  await says('true ')
})

test('a call is pending, and then has failed', async () => {
  let call
  await show(() => {
    const price = useCall('price')
    call = price.call
    return price.pending ? 'pending' : (price.error?.code ?? 'nothing')
  })
  await says('nothing')
  let failed
  await act(async () => { failed = call({sku: 'x'}).catch((e) => e.code) })
  assert.equal(await failed, 'no_backend')
  await says('no_backend')
})

test('a component without a provider says so', async () => {
  const errors = []
  const was = console.error
  console.error = () => {}
  try {
    await act(() => root.render(h(StrictMode, null, h(() => useConnection().state))))
  } catch (error) {
    errors.push(error.message)
  } finally {
    console.error = was
  }
  assert.match(errors.join(), /no RingdownProvider/)
})

test('rendered on a server, it says what there is without a line', async () => {
  const {renderToString} = await import('react-dom/server')
  const Page = () => `${useConnection().state} ${useChannel('chat:ssr').messages.length}`
  const html = renderToString(h(RingdownProvider, {client}, h(Page)))
  assert.equal(html, 'idle 0')
  assert.equal(client.state, 'idle')
})
