#!/usr/bin/env bash
# Builds the hooks, with what they need, the client too: for tests that use them. One at a time.
set -euo pipefail
cd "$(dirname "$0")"
../typescript/build.sh
exec 9>.build.lock
flock 9
[ -d node_modules/esbuild ] || npm ci --silent --no-audit --no-fund >&2
if [ ! -e dist/index.js ] || [ -n "$(find src build.mjs package.json -newer dist/index.js -print -quit)" ]; then node build.mjs >&2; fi
