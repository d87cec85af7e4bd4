// What a client library costs a page, beside others, in one run:
//   node bench.mjs [--rounds 5] [--only ringdown,centrifuge] [--json FILE]
// A scripted WebSocket in the same program hands each library the same orders in the words
// of its own protocol, and the handler adds up one field. See README.md.

import {execFileSync} from 'node:child_process'
import {existsSync, readFileSync, writeFileSync} from 'node:fs'
import {parseArgs} from 'node:util'
import {gzipSync} from 'node:zlib'
import {build} from 'esbuild'

const {values: flags} = parseArgs({options: {rounds: {type: 'string', default: '5'}, only: {type: 'string'}, json: {type: 'string'}, help: {type: 'boolean'}}})
if (flags.help) {
  console.log('node bench.mjs [--rounds 5] [--only ringdown,centrifuge] [--json FILE]')
  process.exit(0)
}
if (!existsSync('../../sdk/typescript/dist/index.js')) {
  console.error('build the client first: cd ../../sdk/typescript && npm ci && npm run build')
  process.exit(1)
}
const all = ['ringdown', 'socketio', 'pusher', 'centrifuge', 'phoenix', 'ably']
const chosen = flags.only ? flags.only.split(',') : all

const common = {bundle: true, platform: 'browser', format: 'esm', write: false, logLevel: 'error', define: {'process.env.NODE_ENV': '"production"'}}
const results = {}
for (const name of chosen) {
  await build({...common, entryPoints: [`clients/${name}.mjs`], outfile: `.build/${name}.mjs`, write: true})
  const {name: title, entry} = described(name)
  const {outputFiles} = await build({...common, minify: true, stdin: {contents: entry, resolveDir: '.'}})
  results[name] = {title, bytes: gzipSync(outputFiles[0].contents, {level: 9}).length, runs: []}
}

/** Reads a client's name and entry without loading the library, which wants a browser. */
function described(name) {
  const text = readFileSync(`clients/${name}.mjs`, 'utf8')
  return {name: /name = '(.*)'/.exec(text)[1], entry: /entry = `(.*)`/.exec(text)[1]}
}

const rounds = Number(flags.rounds)
for (let round = 1; round <= rounds; round++) {
  for (const name of chosen) {
    process.stderr.write(`\rround ${round} of ${rounds}: ${results[name].title.padEnd(20)}`)
    const out = execFileSync(process.execPath, ['--expose-gc', '--max-semi-space-size=512', 'one.mjs', name], {encoding: 'utf8'})
    results[name].runs.push(JSON.parse(out.trim().split('\n').at(-1)))
  }
}
process.stderr.write('\r' + ' '.repeat(40) + '\r')

const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)]
const of = (name, field) => results[name].runs.map((run) => run[field])
console.log('| | minified and gzipped | a message | allocated for it | 1,000 subscriptions |\n|---|---|---|---|---|')
for (const name of chosen) {
  const micros = of(name, 'micros')
  console.log(`| ${results[name].title} | ${results[name].bytes.toLocaleString('en')} bytes | ${median(micros).toFixed(2)} µs (${Math.min(...micros).toFixed(2)} to ${Math.max(...micros).toFixed(2)}) | ${Math.round(median(of(name, 'allocated')))} bytes | ${Math.round(median(of(name, 'subscriptions')) / 1024)} KiB |`)
}
if (flags.json) writeFileSync(flags.json, JSON.stringify(results, null, 2))
