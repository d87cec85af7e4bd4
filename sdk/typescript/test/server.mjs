// The real server, for tests: built once from this repository, on a port of loopback.
import {execFileSync, spawn} from 'node:child_process'
import {createHmac} from 'node:crypto'
import {mkdtempSync, writeFileSync} from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {createInterface} from 'node:readline'

const repository = new URL('../../..', import.meta.url).pathname
const folder = mkdtempSync(join(tmpdir(), 'ringdown-'))
const program = process.env.RINGDOWN ?? join(folder, 'ringdown')
if (!process.env.RINGDOWN) execFileSync('go', ['build', '-o', program, './cmd/ringdown'], {cwd: repository, stdio: 'inherit'})

export const secret = 'a-secret-of-at-least-thirty-two-bytes!'

/** A token of user for so many seconds. */
export function tokenOf(user, seconds, claims = {}) {
  const part = (v) => Buffer.from(JSON.stringify(v)).toString('base64url')
  const now = Math.floor(Date.now() / 1000)
  const text = part({alg: 'HS256', typ: 'JWT'}) + '.' + part({sub: user, iat: now, exp: now + seconds, ...claims})
  return text + '.' + createHmac('sha256', secret).update(text).digest('base64url')
}

export const declared = `
auth:
  jwt: {secret: ${secret}, algorithm: HS256, leeway: 1s}
  anonymous: true
channels:
  - name: chat:{room}
    history: {messages: 100000, for: 1h}
    presence: true
    show_from: true
    events: {message: {}, typing: {ephemeral: true}}
    allow: {subscribe: anyone, publish: anyone, presence: anyone}
  - name: trucks:{region}
    state: {for: 1h}
    allow: {subscribe: anyone, publish: anyone}
  - name: live:{name}
    allow: {subscribe: anyone, publish: anyone}
  - name: mine
    history: {messages: 100}
    allow: {subscribe: signed_in, publish: signed_in}
limits:
  connection: {messages_per_second: 100000, messages_burst: 100000, subscriptions: 2000}
`

/** Starts a server; port 0 is any. It ends with stop(), or kill() as by a crash. */
export async function serve({config = declared, port = 0, dir} = {}) {
  const name = join(dir ?? mkdtempSync(join(folder, 'server-')), 'ringdown.yaml')
  writeFileSync(name, config + (dir ? `\nstore: {dir: ${dir}/data}\n` : '\nstore: {memory: true}\n'))
  return run(['--config', name, '--listen', `127.0.0.1:${port}`])
}

/** Starts a server that allows everything to everybody. */
export const serveDev = () => run(['--dev', '--listen', '127.0.0.1:0'])

async function run(flags) {
  const child = spawn(program, ['serve', ...flags, '--log-format', 'json'], {stdio: ['ignore', 'ignore', 'pipe']})
  const ended = new Promise((done) => child.on('exit', done))
  const log = []
  const url = await new Promise((resolve, reject) => {
    createInterface({input: child.stderr}).on('line', (line) => {
      log.push(line)
      const found = /"url":"ws:\/\/([^/"]+)/.exec(line)
      if (found) resolve('http://' + found[1])
    })
    child.on('exit', (code) => reject(new Error(`the server ended with ${code}:\n${log.join('\n')}`)))
  })
  const end = (signal) => {
    child.kill(signal)
    return ended
  }
  return {url, port: Number(new URL(url).port), log, stop: () => end('SIGTERM'), kill: () => end('SIGKILL')}
}

/**
 * A proxy in front of a server. blockUpgrade: it lets no WebSocket through. buffer: it holds streams back.
 * cut() breaks every line that goes through it.
 */
export async function proxy(to, {blockUpgrade = false, buffer = false} = {}) {
  const target = new URL(to)
  const sockets = new Set()
  const state = {blockUpgrade, buffer}
  const server = http.createServer((request, response) => {
    const onward = http.request({host: target.hostname, port: target.port, path: request.url, method: request.method, headers: request.headers}, (answer) => {
      if (state.buffer && answer.headers['content-type'] === 'text/event-stream') return void answer.resume()
      response.writeHead(answer.statusCode, answer.headers)
      answer.pipe(response)
    })
    onward.on('error', () => response.destroy())
    response.on('close', () => onward.destroy())
    request.pipe(onward)
  })
  server.on('upgrade', (request, socket, head) => {
    if (state.blockUpgrade) return void socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n')
    const onward = net.connect(target.port, target.hostname, () => {
      onward.write(`${request.method} ${request.url} HTTP/1.1\r\n` + Object.entries(request.headers).map(([k, v]) => `${k}: ${v}\r\n`).join('') + '\r\n')
      onward.write(head)
      onward.pipe(socket)
      socket.pipe(onward)
    })
    sockets.add(onward)
    for (const s of [socket, onward]) s.on('error', () => {}).on('close', () => (socket.destroy(), onward.destroy()))
  })
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => {})
  })
  await new Promise((done) => server.listen(0, '127.0.0.1', done))
  const cut = () => sockets.forEach((s) => s.destroy())
  return {
    url: `http://127.0.0.1:${server.address().port}`, state, cut,
    close: () => new Promise((done) => {
      cut()
      server.close(done)
    }),
  }
}

/** Answers with the first detail of an event for which want holds. */
export function until(on, want = () => true, ms = 15_000) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('it did not come in time')), ms)
    const off = on((detail) => {
      if (!want(detail)) return
      clearTimeout(timer)
      queueMicrotask(() => off())
      resolve(detail)
    })
  })
}
