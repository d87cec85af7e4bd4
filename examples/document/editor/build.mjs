// Builds ../web/editor.js and the licences of what is in it. `node build.mjs FOLDER` puts
// both elsewhere, for the test that compares them.
import {readFileSync, readdirSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {build} from 'esbuild'

const into = process.argv[2] ?? '../web'
const {metafile} = await build({
  entryPoints: ['src/index.js'], outfile: join(into, 'editor.js'),
  bundle: true, minify: true, format: 'esm', target: 'es2022', legalComments: 'none', logLevel: 'warning', metafile: true,
  define: {'process.env.NODE_ENV': '"production"'},
  banner: {js: '/* Yjs, CodeMirror and what they need, made by ../editor: see editor.licences.txt */'},
})

const names = new Set()
const [{inputs}] = Object.values(metafile.outputs)
for (const [file, {bytesInOutput}] of Object.entries(inputs)) {
  const name = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1]
  if (name && bytesInOutput > 0) names.add(name)
}
const rule = '-'.repeat(72)
const texts = [...names].sort().map((name) => {
  const folder = join('node_modules', name)
  const {version, license} = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  const file = readdirSync(folder).find((f) => /^licen[cs]e/i.test(f))
  if (!file) throw new Error(`${name} has no licence`)
  return `${name} ${version} (${license})\n\n${readFileSync(join(folder, file), 'utf8').trim()}\n`
})
writeFileSync(join(into, 'editor.licences.txt'), `What is in editor.js, and under which licences.\n\n${rule}\n${texts.join(`\n${rule}\n`)}`)
