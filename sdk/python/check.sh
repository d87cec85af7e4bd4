#!/usr/bin/env bash
# Types, lint and tests of the Python client, in an environment of its own: it is made once for what
# pyproject.toml asks for. With --environment it only makes it, and prints its python.
set -euo pipefail
cd "$(dirname "$0")"
sum=$(sha256sum pyproject.toml | cut -c1-16)
environment=$PWD/.venv/$sum
if [ ! -e "$environment/ready" ]; then
	rm -rf .venv
	python3 -m venv "$environment"
	"$environment/bin/pip" install -q --disable-pip-version-check -e '.[test]' >&2
	touch "$environment/ready"
fi
if [ "${1:-}" = --environment ]; then
	echo "$environment/bin/python"
	exit
fi
export PATH=$environment/bin:$PATH
ruff check .
ruff format --check .
mypy
pytest -q "$@"
