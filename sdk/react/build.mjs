// Builds dist/: modules, CommonJS and types. The client beside it has to be built first.
import {execFileSync} from 'node:child_process'
import {rmSync, writeFileSync} from 'node:fs'
import {build} from 'esbuild'

const tsc = (...flags) => execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '--emitDeclarationOnly', ...flags], {stdio: 'inherit'})
const common = {entryPoints: ['src/index.ts'], bundle: true, packages: 'external', target: 'es2022', platform: 'neutral', sourcemap: true, logLevel: 'warning'}

rmSync('dist', {recursive: true, force: true})
tsc()
tsc('--outDir', 'dist/cjs')
writeFileSync('dist/cjs/package.json', '{"type":"commonjs"}\n')
await build({...common, format: 'esm', outfile: 'dist/index.js'})
await build({...common, format: 'cjs', outfile: 'dist/cjs/index.js'})
