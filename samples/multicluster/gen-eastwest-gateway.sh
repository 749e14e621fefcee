#!/bin/sh
#
# Writes the IstioOperator of an east-west gateway to standard output, for `isthmus install -f -`.
#
#   gen-eastwest-gateway.sh --network network1 | isthmus install -y -f -
#   gen-eastwest-gateway.sh --single-cluster   | isthmus install -y -f -
#
# Flags of every generation of Istio's script are taken. The environment may set NETWORK, CLUSTER and MESH instead.
# On failure nothing is written to standard output, so that a pipe does not install half a file.

set -eu

fail() {
  echo "Error: $1" >&2
  exit 1
}

NETWORK=${NETWORK:-}
CLUSTER=${CLUSTER:-}
MESH=${MESH:-}
REVISION=
SINGLE_CLUSTER=

value_of() { # FLAG ARGUMENTS_LEFT VALUE
  [ "$2" -gt 1 ] || fail "$1 needs a value"
  case $3 in
    '' | -* | *[!A-Za-z0-9._-]*) fail "$1: \"$3\" is not a name" ;;
  esac
}

while [ $# -gt 0 ]; do
  case $1 in
    --single-cluster)
      SINGLE_CLUSTER=1
      shift
      ;;
    --mesh | --cluster | --network | --revision)
      value_of "$1" $# "${2:-}"
      case $1 in
        --mesh) MESH=$2 ;;
        --cluster) CLUSTER=$2 ;;
        --network) NETWORK=$2 ;;
        --revision) REVISION=$2 ;;
      esac
      shift 2
      ;;
    --mesh=* | --cluster=* | --network=* | --revision=*)
      flag=${1%%=*}
      value=${1#*=}
      shift
      set -- "$flag" "$value" "$@"
      ;;
    --ambient)
      fail "--ambient is not supported: this mesh has sidecars and gateways, and no ambient data plane to make a gateway for"
      ;;
    -*)
      fail "Unsupported flag $1"
      ;;
    *)
      fail "Unsupported argument $1"
      ;;
  esac
done

if [ -z "$SINGLE_CLUSTER" ] && [ -z "$NETWORK" ]; then
  fail "Must specify either --single-cluster or --network."
fi
for name in "$MESH" "$CLUSTER" "$NETWORK"; do # those of the environment have not been looked at yet
  [ -z "$name" ] || value_of "MESH, CLUSTER, NETWORK" 2 "$name"
done

cat <<YAML
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata:
  name: eastwest
spec:
  revision: "${REVISION}"
  profile: empty
  components:
    ingressGateways:
      - name: istio-eastwestgateway
        label:
          istio: eastwestgateway
          app: istio-eastwestgateway
YAML
if [ -z "$SINGLE_CLUSTER" ]; then
  cat <<YAML
          topology.istio.io/network: "${NETWORK}"
YAML
fi
cat <<YAML
        enabled: true
        k8s:
YAML
if [ -z "$SINGLE_CLUSTER" ]; then
  cat <<YAML
          env:
            # The network whose endpoints this gateway sends traffic to.
            - name: ISTIO_META_REQUESTED_NETWORK_VIEW
              value: "${NETWORK}"
YAML
fi
cat <<YAML
          service:
            ports:
              - name: status-port
                port: 15021
                targetPort: 15021
              - name: tls
                port: 15443
                targetPort: 15443
              - name: tls-istiod
                port: 15012
                targetPort: 15012
              - name: tls-webhook
                port: 15017
                targetPort: 15017
  values:
    gateways:
      istio-ingressgateway:
        injectionTemplate: gateway
YAML
if [ -n "$SINGLE_CLUSTER" ] && [ -z "$MESH$CLUSTER" ]; then
  exit 0
fi
echo "    global:"
[ -z "$MESH" ] || echo "      meshID: \"${MESH}\""
[ -n "$SINGLE_CLUSTER" ] || echo "      network: \"${NETWORK}\""
if [ -n "$CLUSTER" ]; then
  cat <<YAML
      multiCluster:
        clusterName: "${CLUSTER}"
YAML
fi
