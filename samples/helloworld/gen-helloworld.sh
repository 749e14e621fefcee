#!/bin/sh
#
# Prints helloworld for any version name, to standard output.
#
#   gen-helloworld.sh --version canary --includeService false | kubectl apply -f -

set -eu

fail() {
  echo "Error: $1" >&2
  exit 1
}

VERSION=v1
SERVICE=true
DEPLOYMENT=true
while [ $# -gt 0 ]; do
  [ $# -gt 1 ] || fail "$1 needs a value"
  case $1 in
    --version) VERSION=$2 ;;
    --includeService) SERVICE=$2 ;;
    --includeDeployment) DEPLOYMENT=$2 ;;
    *) fail "Unsupported flag $1" ;;
  esac
  shift 2
done
case $VERSION in
  '' | *[!a-z0-9.-]*) fail "--version: \"$VERSION\" is not a name" ;;
esac

if [ "$SERVICE" = true ]; then
  cat <<YAML
apiVersion: v1
kind: Service
metadata:
  name: helloworld
  labels:
    app: helloworld
    service: helloworld
spec:
  ports:
    - port: 5000
      name: http
  selector:
    app: helloworld
---
YAML
fi
if [ "$DEPLOYMENT" = true ]; then
  cat <<YAML
apiVersion: apps/v1
kind: Deployment
metadata:
  name: helloworld-${VERSION}
  labels:
    version: ${VERSION}
spec:
  replicas: 1
  selector:
    matchLabels:
      app: helloworld
      version: ${VERSION}
  template:
    metadata:
      labels:
        app: helloworld
        version: ${VERSION}
    spec:
      containers:
        - name: helloworld
          image: ghcr.io/isthmus-mesh/examples-helloworld-v1:0.1.0
          imagePullPolicy: IfNotPresent
          env:
            - name: SERVICE_VERSION
              value: ${VERSION}
          resources:
            requests:
              cpu: 100m
          ports:
            - containerPort: 5000
          readinessProbe:
            httpGet: {path: /hello, port: 5000}
            periodSeconds: 1
            timeoutSeconds: 5
YAML
fi
