// Builds dist/: modules for bundlers, CommonJS, types, and one minified file for pages without a build.
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
for (const name of ['index', 'sync', 'testing']) {
  const entryPoints = [`src/${name}.ts`]
  await build({...common, entryPoints, format: 'esm', outfile: `dist/${name}.js`, sourcemap: true})
  await build({...common, entryPoints, format: 'cjs', outfile: `dist/cjs/${name}.js`, sourcemap: true})
}
// The server serves this one and says itself where the map is. `node build.mjs --embed` puts both where it takes them from.
await build({...common, format: 'esm', outfile: 'dist/ringdown.min.js', minify: true, sourcemap: 'external'})
if (process.argv.includes('--embed')) {
  copyFileSync('dist/ringdown.min.js', '../../internal/api/client/client.js')
  copyFileSync('dist/ringdown.min.js.map', '../../internal/api/client/client.js.map')
}
writeFileSync('dist/size.json', JSON.stringify({gzipped: gzipSync(readFileSync('dist/ringdown.min.js'), {level: 9}).length}) + '\n')
