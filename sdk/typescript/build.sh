#!/usr/bin/env bash
# Builds the client, with what it needs: for tests that use it. One at a time.
set -euo pipefail
cd "$(dirname "$0")"
exec 9>.build.lock
flock 9
[ -d node_modules/esbuild ] || npm ci --silent --no-audit --no-fund >&2
# What is built already need not be built again under those who use it.
if [ ! -e dist/size.json ] || [ -n "$(find src build.mjs package.json -newer dist/size.json -print -quit)" ]; then node build.mjs >&2; fi
