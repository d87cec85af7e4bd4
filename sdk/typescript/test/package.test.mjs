// The package as others get it: packed, installed into fresh projects, and its README line by line.
import assert from 'node:assert/strict'
import {execFileSync} from 'node:child_process'
import {mkdtempSync, readdirSync, readFileSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {test} from 'node:test'
import {gzipSync} from 'node:zlib'
import {serveDev} from './server.mjs'

const here = new URL('..', import.meta.url).pathname
const folder = mkdtempSync(join(tmpdir(), 'ringdown-package-'))
execFileSync('npm', ['pack', '--silent', '--pack-destination', folder], {cwd: here})
const tarball = join(folder, readdirSync(folder).find((name) => name.endsWith('.tgz')))

/** A fresh project with the package, and what else is needed. */
function project(name, type, ...more) {
  const dir = mkdtempSync(join(folder, name))
  writeFileSync(join(dir, 'package.json'), JSON.stringify({name, type, private: true}))
  execFileSync('npm', ['install', '--silent', '--no-audit', '--no-fund', '--prefer-offline', tarball, ...more], {cwd: dir})
  return dir
}

test('the core is no larger than 12,288 bytes minified and gzipped, and with tabs, outbox, sync and Protobuf 18,432', () => {
  for (const [file, most] of [['ringdown.min.js', 12_288], ['ringdown.all.min.js', 18_432]]) {
    const size = gzipSync(readFileSync(join(here, 'dist', file)), {level: 9}).length
    assert.ok(size <= most, `${file} has ${size} bytes`)
  }
})

test('what the server serves is what the sources build: node build.mjs --embed', () => {
  for (const [built, served] of [['ringdown.min', 'client'], ['ringdown.all.min', 'all'], ['worker.min', 'worker']]) {
    for (const ext of ['.js', '.js.map']) {
      const same = readFileSync(join(here, 'dist', built + ext), 'utf8') === readFileSync(join(here, '../../internal/api/client', served + ext), 'utf8')
      assert.ok(same, `internal/api/client/${served}${ext} is not what the sources build`)
    }
  }
})

test('it needs nothing else, and touches nothing when it is imported', () => {
  assert.equal(JSON.parse(readFileSync(join(here, 'package.json'))).dependencies, undefined)
  const dir = project('bare', 'module')
  assert.deepEqual(readdirSync(join(dir, 'node_modules')).filter((n) => !n.startsWith('.')), ['@ringdown'])
  // As a renderer on a server has it: without a window, and without any of these.
  writeFileSync(join(dir, 'bare.mjs'), `
for (const name of ['fetch', 'WebSocket', 'crypto', 'navigator', 'document', 'window', 'addEventListener']) {
  Object.defineProperty(globalThis, name, {configurable: true, get() { throw new Error('it touched ' + name) }})
}
const {Ringdown} = await import('@ringdown/client')
console.log(typeof Ringdown)`)
  assert.equal(execFileSync(process.execPath, ['bare.mjs'], {cwd: dir, encoding: 'utf8'}), 'function\n')
})

test('modules, CommonJS and their types', () => {
  const typescript = `typescript@${JSON.parse(readFileSync(join(here, 'package.json'))).devDependencies.typescript}`
  for (const [type, head] of [['module', `import {Ringdown} from '@ringdown/client'`], ['commonjs', `const {Ringdown} = require('@ringdown/client')`]]) {
    const dir = project(type, type, typescript)
    writeFileSync(join(dir, 'try.js'), `${head}\nconsole.log(new Ringdown('http://127.0.0.1:1').state)`)
    assert.equal(execFileSync(process.execPath, ['try.js'], {cwd: dir, encoding: 'utf8'}), 'idle\n')
    writeFileSync(join(dir, 'try.ts'), `import {Ringdown} from '@ringdown/client'\nexport const state: 'idle' | string = new Ringdown('http://127.0.0.1:1').state\n`)
    execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022', '--lib', 'es2023,dom', 'try.ts'], {cwd: dir})
  }
})

test('the README, line by line', async () => {
  const server = await serveDev()
  try {
    const dir = project('readme', 'module', `ws@${JSON.parse(readFileSync(join(here, 'package.json'))).devDependencies.ws}`)
    const blocks = [...readFileSync(join(here, 'README.md'), 'utf8').matchAll(/```js\n([^]*?)```/g)].map((m) => m[1])
    assert.ok(blocks.length >= 7)
    const program = blocks.join('\n').replaceAll('http://127.0.0.1:8000', server.url)
    writeFileSync(join(dir, 'readme.mjs'), program + `\nconsole.log('all of it')\n`)
    // It ends by itself: a client that is closed keeps no program alive.
    const out = execFileSync(process.execPath, ['readme.mjs'], {cwd: dir, encoding: 'utf8', timeout: 30_000})
    for (const want of ['hello', 'bob live', "no_backend false /v1/errors/no_backend", 'all of it']) assert.ok(out.includes(want), `no ${want} in\n${out}`)
  } finally {
    await server.stop()
  }
})

for (const [runtime, version, run] of [['bun', '1.4.5', ['run']], ['deno', '2.9.6', ['run', '--allow-net', '--allow-env', '--allow-read']]]) {
  test(`${runtime} runs it`, async (t) => {
    let dir
    try {
      dir = project(runtime, 'module', `${runtime}@${version}`)
    } catch (cause) {
      return t.skip(`${runtime} cannot be installed here: ${cause.message.split('\n')[0]}`)
    }
    const server = await serveDev()
    try {
      writeFileSync(join(dir, 'try.mjs'), `
import {Ringdown} from '@ringdown/client'
for (const transports of [['websocket'], ['sse'], ['poll']]) {
  const ringdown = new Ringdown('${server.url}', {token: () => 'ann', transports})
  const channel = ringdown.channel('chat:' + transports)
  const came = new Promise((done) => channel.on('message', (data, m) => done(data.text + ' ' + m.offset)))
  await new Promise((done) => channel.when('subscribed', done))
  await channel.publish('message', {text: 'hello by ' + transports})
  console.log(await came, ringdown.user)
  ringdown.close()
}
`)
      const out = execFileSync(join(dir, 'node_modules/.bin', runtime), [...run, 'try.mjs'], {cwd: dir, encoding: 'utf8', timeout: 60_000})
      assert.equal(out, ['websocket', 'sse', 'poll'].map((by) => `hello by ${by} 1 ann\n`).join(''))
    } finally {
      await server.stop()
    }
  })
}
