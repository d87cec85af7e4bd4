#!/usr/bin/env bash
# Makes the archives of a release in dist/: release.sh VERSION. Each has the
# program, the licence, and the documentation; SHA256SUMS is over all of them.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:?which version?}
module=$(go list -m)
targets=${TARGETS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64}
rm -rf dist
mkdir -p dist
# The archives are the same whoever makes them: no paths, one date for all files.
when=$(git log -1 --format=%ct 2>/dev/null || echo 0)
for target in $targets; do
	system=${target%/*} machine=${target#*/}
	name=ringdown_${version}_${system}_${machine}
	program=ringdown
	[ "$system" = windows ] && program=ringdown.exe
	echo "building $name"
	mkdir "dist/$name"
	CGO_ENABLED=0 GOOS=$system GOARCH=$machine go build -trimpath -ldflags "-s -w -X $module.Version=$version" -o "dist/$name/$program" ./cmd/ringdown
	cp -r LICENSE README.md CHANGELOG.md docs "dist/$name/"
	find "dist/$name" -exec touch -d "@$when" {} +
	tar -C dist --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$when" -cf - "$name" | gzip -n >"dist/$name.tar.gz"
	rm -r "dist/$name"
done
(cd dist && sha256sum -- *.tar.gz >SHA256SUMS)
# What is for this machine is tried, as whoever downloads it would: the version that it
# says is the one that is released.
own=ringdown_${version}_$(go env GOOS)_$(go env GOARCH)
if [ -f "dist/$own.tar.gz" ] && [ "$(go env GOOS)" != windows ]; then
	tried=$(mktemp -d)
	trap 'rm -rf "$tried"' EXIT
	(cd dist && sha256sum --quiet -c SHA256SUMS) && tar -C "$tried" -xzf "dist/$own.tar.gz"
	says=$("$tried/$own/ringdown" version)
	case $says in
	"ringdown $version "*) ;;
	*) echo "the program in $own.tar.gz says: $says" >&2 && exit 1 ;;
	esac
fi
echo "in dist/:"
ls -l dist
