#!/bin/sh
# Installs what the images are built with, besides Go, from this machine's distribution: pip, by which the stock Envoy comes,
# and curl, which the client samples hold. Elsewhere than on Debian and its relatives it says what is missing.
set -eu
missing=
command -v curl >/dev/null || missing="$missing curl"
python3 -m pip --version >/dev/null 2>&1 || missing="$missing python3-pip"
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
  echo "missing on this machine:$missing; install with your distribution's package manager, then run this again" >&2
  exit 1
fi
echo "installing$missing"
apt-get update -qq
# shellcheck disable=SC2086 # one word a package
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing
