// The dev page: one socket, spoken to as docs/protocol.md says, without any
// library. Everything that comes from it is put into the page as text.
const $ = id => document.getElementById(id)
const most = 500 // frames that are shown
const base = location.origin

let socket, wanted = false, retry = 0, timer
const subs = new Map() // channel: where it is, {epoch, offset}

function note(kind, text) {
  const ping = kind !== 'note' && /^\{"type":"p[io]ng"/.test(text)
  if (ping && !$('pings').checked) return
  const frames = $('frames')
  const follow = frames.scrollTop + frames.clientHeight > frames.scrollHeight - 40
  const item = document.createElement('li')
  if (kind === 'in' && /^\{"type":"error"/.test(text)) item.classList.add('error')
  item.classList.add(kind)
  const time = document.createElement('time')
  const now = new Date()
  time.dateTime = now.toISOString()
  time.textContent = now.toTimeString().slice(0, 8)
  const way = document.createElement('span')
  way.textContent = {in: '←', out: '→', note: '·'}[kind]
  way.setAttribute('aria-label', {in: 'received', out: 'sent', note: 'note'}[kind])
  const body = document.createElement('span')
  body.textContent = text
  item.append(time, way, body)
  frames.append(item)
  while (frames.children.length > most) frames.firstChild.remove()
  if (follow) frames.scrollTop = frames.scrollHeight
}

function state(text, kind) {
  $('line').textContent = text
  $('line').className = kind
  $('connect').textContent = wanted ? 'Disconnect' : 'Connect'
}

function connect() {
  clearTimeout(timer)
  wanted = true
  const address = new URL(base.replace(/^http/, 'ws') + '/v1/ws')
  if ($('token').value) address.searchParams.set('token', $('token').value)
  state('connecting …', '')
  const s = socket = new WebSocket(address)
  s.onmessage = event => {
    if (s === socket) receive(event.data)
  }
  s.onclose = event => {
    if (s !== socket) return
    const reason = event.reason ? ': ' + event.reason : ''
    note('note', `the line was closed with ${event.code}${reason}`)
    // 40xx: do not come back without changing something.
    if (event.code >= 4000 && event.code < 4100) wanted = false
    if (!wanted) return state('not connected', 'off')
    const wait = Math.min(10_000, 500 * 2 ** retry++) * (0.5 + Math.random())
    state('the line is lost, coming back', 'off')
    timer = setTimeout(connect, wait)
  }
}

function disconnect() {
  wanted = false
  clearTimeout(timer)
  socket?.close(1000)
}

function send(message) {
  if (socket?.readyState !== WebSocket.OPEN) {
    note('note', 'not connected: nothing was sent')
    return
  }
  const text = JSON.stringify(message)
  note('out', text)
  socket.send(text)
}

async function receive(data) {
  const text = typeof data === 'string' ? data : await data.text()
  note('in', text)
  let message
  try {
    message = JSON.parse(text.split('\n', 1)[0])
  } catch {
    return
  }
  const at = subs.get(message.channel)
  switch (message.type) {
    case 'welcome':
      retry = 0
      state('connected as ' + (message.data.user || 'nobody'), 'on')
      for (const [channel, position] of subs) subscribe(channel, position)
      return
    case 'subscribed':
      subs.set(message.channel, {epoch: message.epoch, offset: message.offset})
      break
    case 'unsubscribed':
      subs.delete(message.channel)
      break
    case 'error':
      if (at && !at.epoch) subs.delete(message.channel)
      break
    default:
      if (at && message.offset) at.offset = message.offset
      return
  }
  showSubs()
}

let request = 0

function subscribe(channel, position) {
  const message = {type: 'subscribe', channel, id: ++request}
  const last = Number($('sub-last').value)
  if (position?.epoch) message.since = {epoch: position.epoch, offset: position.offset}
  else if (last > 0 && !channel.startsWith('state:')) message.data = {last}
  if (!subs.has(channel)) subs.set(channel, {})
  send(message)
}

function showSubs() {
  $('subs').replaceChildren(...[...subs.keys()].map(channel => {
    const item = document.createElement('li')
    item.append(channel)
    const leave = document.createElement('button')
    leave.type = 'button'
    leave.textContent = '×'
    leave.setAttribute('aria-label', 'Unsubscribe from ' + channel)
    leave.onclick = () => send({type: 'unsubscribe', channel, id: ++request})
    item.append(leave)
    return item
  }))
}

// parsed returns the data to publish, undefined if there is none; it throws.
function parsed() {
  const text = $('pub-data').value.trim()
  return text === '' ? undefined : JSON.parse(text)
}

const quote = s => "'" + s.replaceAll("'", `'\\''`) + "'"

function showLines() {
  const channel = $('pub-channel').value, type = $('pub-event').value, key = $('pub-key').value
  let data
  try {
    data = parsed()
    $('pub-wrong').textContent = ''
  } catch (error) {
    $('pub-wrong').textContent = 'This is not JSON: ' + error.message
    return
  }
  const body = JSON.stringify({type, ...(key && {key}), data})
  $('curl').textContent = `curl -H 'Content-Type: application/json' -d ${quote(body)} \\\n     ${base}/v1/channels/${encodeURIComponent(channel)}/messages`
  const keyed = key ? ` --key ${quote(key)}` : ''
  const given = data === undefined ? '' : ' ' + quote(JSON.stringify(data))
  $('cli').textContent = `ringdown sub ${channel} --url ${base}\nringdown pub ${channel} ${type}${given}${keyed} --url ${base}`
  $('js').textContent = `const socket = new WebSocket('${base.replace(/^http/, 'ws')}/v1/ws')
socket.onopen = () => socket.send(JSON.stringify({type: 'subscribe', channel: ${JSON.stringify(channel)}}))
socket.onmessage = event => {
  const message = JSON.parse(event.data)
  if (message.type === ${JSON.stringify(type)}) console.log(message.data)
}`
}

$('who').onsubmit = event => {
  event.preventDefault()
  if (wanted) disconnect()
  else connect()
}
$('subscribe').onsubmit = event => {
  event.preventDefault()
  subscribe($('sub-channel').value)
}
$('publish').onsubmit = event => {
  event.preventDefault()
  showLines()
  if ($('pub-wrong').textContent) return
  const key = $('pub-key').value
  send({type: $('pub-event').value, channel: $('pub-channel').value, id: ++request, ...(key && {key}), data: parsed()})
}
$('sub-channel').oninput = () => { $('pub-channel').value = $('sub-channel').value; showLines() }
for (const id of ['pub-channel', 'pub-event', 'pub-key', 'pub-data']) $(id).oninput = showLines
$('clear').onclick = () => $('frames').replaceChildren()
for (const button of document.querySelectorAll('[data-copy]')) {
  button.onclick = async () => {
    await navigator.clipboard.writeText($(button.dataset.copy).textContent)
    button.textContent = 'Copied'
    setTimeout(() => { button.textContent = 'Copy' }, 1500)
  }
}
window.addEventListener('online', () => { if (wanted && socket?.readyState !== WebSocket.OPEN) connect() })
showLines()
connect()
