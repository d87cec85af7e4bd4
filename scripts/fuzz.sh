#!/usr/bin/env bash
# Runs every fuzz target of the module for a while each: fuzz.sh 5s, or
# fuzz.sh 1000000x for a number of executions. It finds the targets by itself.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-10s}

# Before Go 1.27 a busy machine can make the end of -fuzztime itself look like a
# failure (golang/go#75804): nothing but "context deadline exceeded", and no input
# that failed. That is told and run again; whatever names an input is a failure.
only_out_of_time() {
	grep -qE '^ +context deadline exceeded$' <<<"$1" && ! grep -qiE 'failing input|panic|DATA RACE' <<<"$1"
}

count=0
while IFS=: read -r file target; do
	dir=./$(dirname "$file")
	echo "fuzz  $dir $target for $time"
	tries=1
	until out=$(go test "$dir" -run '^$' -fuzz "^$target\$" -fuzztime "$time" -parallel 2 2>&1); do
		if ! only_out_of_time "$out" || [ $tries = 3 ]; then
			echo "$out"
			exit 1
		fi
		echo "      out of time before its workers stopped (golang/go#75804): once more"
		tries=$((tries + 1))
	done
	echo "$out" | grep -E 'execs: [0-9]+' | tail -1 | sed 's/^/      /' || true
	count=$((count + 1))
done < <(git grep -oE 'func Fuzz[A-Za-z0-9_]+' -- '*_test.go' | grep -v '^bench/' | sed -E 's/:func /:/')
echo "$count fuzz targets ran without a failure"
