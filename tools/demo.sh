#!/bin/sh
# Two real clusters on this machine become one mesh, by the commands of docs/install/multi-primary.md. What it makes is left
# running. `make demo` builds what is needed first and puts bin/ on the PATH.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
name=${DEMO_LAB:-demo}
scratch=$root/dist/$name
start=$(date +%s)

say() { printf '\n== %s (after %s s)\n' "$1" $(($(date +%s) - start)); }

# Half a mesh is of no use to who has had enough of it; one that failed may be worth a look.
interrupted() {
  trap '' INT TERM
  trap - EXIT
  say "interrupted: taking the clusters down"
  isthmus lab down --name "$name"
  exit 130
}
ended() {
  [ $? -eq 0 ] || printf '\nThe demo failed. What there is of it goes on running; take it down:\n\n  %s/bin/isthmus lab down --name %s\n' "$root" "$name" >&2
}
trap interrupted INT TERM
trap ended EXIT

say "two clusters"
# The page's commands are for clusters that nothing has touched: an earlier demo would be in their way.
isthmus lab down --name "$name"
isthmus lab up --name "$name" --clusters 2
isthmus lab load-image --name "$name" "$root"/dist/images/*.tar

# The page writes files where it runs, so it runs in a folder of its own, with the release's folders beside them.
rm -rf "$scratch"
mkdir -p "$scratch"
ln -s "$root/samples" "$root/tools" "$scratch/"
isthmus lab kubeconfig --name "$name" >"$scratch/kubeconfig"
chmod 600 "$scratch/kubeconfig"
export KUBECONFIG="$scratch/kubeconfig" CTX_CLUSTER1=cluster1 CTX_CLUSTER2=cluster2

say "the commands of docs/install/multi-primary.md"
(cd "$root" && go run ./tools/guide -dir "$scratch" -answer y docs/install/multi-primary.md)

say "the mesh is up"
cat <<TEXT

It is left running. Look at it:

  export KUBECONFIG=$scratch/kubeconfig PATH=$root/bin:\$PATH
  kubectl --context cluster1 get pods -A          # and cluster2
  kubectl --context cluster1 exec -n sample deploy/sleep -c sleep -- curl -sS helloworld.sample:5000/hello
  isthmus verify                                  # every direction, proven by requests
  isthmus remote-clusters --context cluster1      # which clusters its control plane watches
  isthmus proxy-status --context cluster1         # which proxies are up to date
  isthmus lab status --name $name

Take it down:

  isthmus lab down --name $name
TEXT
