#!/bin/sh
# Runs one ring of tests and says how long it took: tools/ring.sh NAME COMMAND [ARGUMENT...]
set -u
name=$1
shift
start=$(date +%s)
echo "== $name"
"$@"
code=$?
seconds=$(($(date +%s) - start))
if [ $code -eq 0 ]; then
  echo "== $name: passed in $seconds s"
else
  echo "== $name: FAILED after $seconds s" >&2
fi
dist=$(dirname "$0")/../dist
mkdir -p "$dist"
echo "$seconds s  $name  exit $code" >>"$dist/rings.txt"
exit $code
