// Builds dist/: modules for bundlers, CommonJS, types, one minified file for pages without a build, and the worker for tabs.
import {execFileSync} from 'node:child_process'
import {copyFileSync, readFileSync, rmSync, writeFileSync} from 'node:fs'
import {gzipSync} from 'node:zlib'
import {build} from 'esbuild'

const {version} = JSON.parse(readFileSync('package.json', 'utf8'))
const banner = {js: `/* @ringdown/client ${version}, Apache-2.0 */`}
const common = {entryPoints: ['src/index.ts'], bundle: true, target: 'es2022', platform: 'neutral', logLevel: 'warning', banner}

rmSync('dist', {recursive: true, force: true})
execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '--emitDeclarationOnly'], {stdio: 'inherit'})
// The same types once more for CommonJS, where a folder says which kind its files are.
execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '--emitDeclarationOnly', '--outDir', 'dist/cjs'], {stdio: 'inherit'})
writeFileSync('dist/cjs/package.json', '{"type":"commonjs"}\n')
// Module by module, so that the entries have everything in common that they share.
const modules = {...common, bundle: false, entryPoints: ['src/*.ts'], sourcemap: true}
await build({...modules, format: 'esm', outdir: 'dist'})
await build({...modules, format: 'cjs', outdir: 'dist/cjs'})
await build({...common, entryPoints: ['src/all.ts'], format: 'esm', outfile: 'dist/ringdown.all.min.js', minify: true, sourcemap: 'external'})
await build({...common, entryPoints: ['src/worker.ts'], format: 'esm', outfile: 'dist/worker.min.js', minify: true, sourcemap: 'external'})
// The server serves this one and says itself where the map is. `node build.mjs --embed` puts both where it takes them from.
await build({...common, format: 'esm', outfile: 'dist/ringdown.min.js', minify: true, sourcemap: 'external'})
if (process.argv.includes('--embed')) {
  for (const [built, served] of [['ringdown.min', 'client'], ['ringdown.all.min', 'all'], ['worker.min', 'worker']]) {
    for (const ext of ['.js', '.js.map']) copyFileSync(`dist/${built}${ext}`, `../../internal/api/client/${served}${ext}`)
  }
}
writeFileSync('dist/size.json', JSON.stringify({gzipped: gzipSync(readFileSync('dist/ringdown.min.js'), {level: 9}).length}) + '\n')
