#!/usr/bin/env bash
# Installs what the tests need beside Go and the Go modules: as root on a Debian-like machine by
# apt, otherwise it names what is missing. What is there already stays as it is.
set -euo pipefail
declare -A package=(
	[chromium]=chromium [python3]=python3 [cc]=gcc [git]=git [redis-server]=redis-server [redis-sentinel]=redis-sentinel
	[nginx]=nginx [haproxy]=haproxy [curl]=curl
	[node]=nodejs [npm]=npm [javac]=default-jdk-headless [mvn]=maven # of the client libraries that are tried
)
# The versions of Node.js that the documents name, for test/examples; what is not there is not run.
if command -v npm >/dev/null 2>&1; then
	[ -d "$(dirname "$0")/../.tools/examples/node_modules" ] ||
		npm install --silent --no-audit --no-fund --prefix "$(dirname "$0")/../.tools/examples" partysocket@1.3.0 || true
	for version in 22 24; do
		to="$(dirname "$0")/../.tools/node-$version"
		case "$(node --version 2>/dev/null)" in v$version.*) continue ;; esac
		[ -x "$to/node_modules/.bin/node" ] || npm install --silent --no-audit --no-fund --prefix "$to" "node@$version" ||
			echo "Node.js $version could not be had; its examples are not run" >&2
	done
fi
missing=()
PATH=$PATH:/usr/sbin # where Debian has the proxies
for program in "${!package[@]}"; do
	command -v "$program" >/dev/null 2>&1 || missing+=("${package[$program]}")
done
# A virtual environment needs ensurepip, which Debian packs apart.
if command -v python3 >/dev/null 2>&1 && ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
	missing+=(python3-venv)
elif ! command -v python3 >/dev/null 2>&1; then
	missing+=(python3-venv)
fi
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "installing ${missing[*]}"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
	exit 0
fi
echo "The tests need these packages, in Debian's names: ${missing[*]}" >&2
echo "Install them, or run this as root on a Debian-like machine." >&2
exit 1
