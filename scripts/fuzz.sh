#!/usr/bin/env bash
# Runs every fuzz target of the module for a while each: fuzz.sh 5s, or
# fuzz.sh 1000000x for a number of executions. It finds the targets by itself.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-10s}
count=0
while IFS=: read -r file target; do
	dir=./$(dirname "$file")
	echo "fuzz  $dir $target for $time"
	if ! out=$(go test "$dir" -run '^$' -fuzz "^$target\$" -fuzztime "$time" -parallel 2 2>&1); then
		echo "$out"
		exit 1
	fi
	echo "$out" | grep -E 'execs: [0-9]+' | tail -1 | sed 's/^/      /' || true
	count=$((count + 1))
done < <(git grep -oE 'func Fuzz[A-Za-z0-9_]+' -- '*_test.go' | grep -v '^bench/' | sed -E 's/:func /:/')
echo "$count fuzz targets ran without a failure"
