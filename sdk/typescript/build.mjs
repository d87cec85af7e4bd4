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
copyFileSync('dist/index.d.ts', 'dist/index.d.cts')
await build({...common, format: 'esm', outfile: 'dist/index.js', sourcemap: true})
await build({...common, format: 'cjs', outfile: 'dist/index.cjs', sourcemap: true})
await build({...common, format: 'esm', outfile: 'dist/ringdown.min.js', minify: true, sourcemap: true})
writeFileSync('dist/size.json', JSON.stringify({gzipped: gzipSync(readFileSync('dist/ringdown.min.js'), {level: 9}).length}) + '\n')
