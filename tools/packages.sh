#!/bin/sh
# Installs what is missing from this machine's distribution: what the lab needs, and what the images are built with besides Go,
# which is pip (the stock Envoy comes by it), and curl and BusyBox (the client samples hold them). Elsewhere than on Debian and
# its relatives it prints the one command that does. It asks bin/isthmus-lab, which `make packages` builds before.
#
#   tools/packages.sh --check    only looks whether it is a machine for which there is an Envoy
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
machine=$(uname -m)
if [ "$machine" != x86_64 ]; then
  echo "this machine is $machine, and the pinned Envoy (tools/envoy) is built for x86_64 only: use such a machine" >&2
  exit 1
fi
[ "${1:-}" != --check ] || exit 0

manager=
for program in pacman zypper dnf apt-get; do
  ! command -v "$program" >/dev/null || manager=$program
done

static_busybox() {
  for path in /bin/busybox /usr/bin/busybox; do
    ! ldd "$path" 2>&1 | grep -q -e 'not a dynamic executable' -e 'statically linked' || return 0
  done
  return 1
}

missing=$("$root/bin/isthmus-lab" install-packages --missing)
command -v curl >/dev/null || missing="$missing curl"
if ! python3 -m pip --version >/dev/null 2>&1; then
  case $manager in
    pacman) missing="$missing python-pip" ;;
    *) missing="$missing python3-pip" ;;
  esac
fi
# On Debian the images' build unpacks the package of its own accord: installed, it would take the place of the system's own.
if [ "$manager" != apt-get ] && ! static_busybox; then
  case $manager in
    dnf | pacman) missing="$missing busybox" ;;
    *) missing="$missing busybox-static" ;;
  esac
fi
# shellcheck disable=SC2086 # one word a package
set -- $missing
[ $# -gt 0 ] || exit 0
case $manager in
  apt-get)
    echo "installing $*"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive exec apt-get install -y -qq --no-install-recommends "$@"
    ;;
  dnf | zypper) command="$manager install -y" ;;
  pacman) command="pacman -S --needed" ;;
  *) command="install with this system's package manager:" ;;
esac
echo "packages are missing on this machine; run this, and then the same again:" >&2
echo "  $command $*" >&2
exit 1
