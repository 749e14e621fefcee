# `make help` lists what there is to make. Nothing here needs Docker.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
.SUFFIXES:

GO      ?= go
VERSION ?= $(shell sed -n 's/^var Version = "\(.*\)"/\1/p' internal/version/version.go)
LDFLAGS := -s -w -X github.com/isthmus-mesh/isthmus/internal/version.Version=$(VERSION)

# Programs, images and linters compile with the same settings, so that the compiler's cache serves them all. Tests with the
# race detector are the one other setting: they need cgo, and paths in the file system.
export CGO_ENABLED := 0
export GOFLAGS     := -trimpath -buildvcs=false
RACE := env CGO_ENABLED=1 GOFLAGS=-buildvcs=false $(GO) test -race

# The folder of guides that the tests run word for word. Empty: they are left out, which is said. Set but missing: red.
# Tests run in folders of their own, so its path is made absolute.
GUIDES ?=
override GUIDES := $(if $(GUIDES),$(abspath $(GUIDES)))
export GUIDES

# Packages of the rings. Tests that need a real API server build with the tag apiserver, those on real clusters with lab.
# This also works on sources without their history.
tagged = $(sort $(dir $(shell grep -rl --include='*_test.go' --exclude-dir=.git --exclude-dir=lab --exclude-dir=dist '^//go:build $(1)$$' .)))
RING1  = $(shell $(GO) list -e ./... | grep -v -E '/internal/(golden|meshtest)(/|$$)')
RING2  = ./internal/golden/...
RING3  = ./internal/meshtest/... $(call tagged,apiserver)
RING4  = $(call tagged,lab)

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

## ---- build

.PHONY: build
build: generate lab-binaries ## bin/: isthmus, istioctl (the same), istiod, agent, isthmus-lab, kubectl
	$(GO) build -ldflags "$(LDFLAGS)" -o bin/ ./cmd/isthmus ./cmd/istiod ./cmd/agent
	ln -f bin/isthmus bin/istioctl

.PHONY: generate
generate: ## the files that come out of other modules: the CRDs of the base chart
	$(GO) generate ./charts

.PHONY: lab-command
lab-command:
	cd lab && $(GO) build -ldflags "-s -w" -o ../bin/isthmus-lab ./cmd/isthmus-lab

# Kubernetes and its companions, once, into the cache; kubectl is one of them.
.PHONY: lab-binaries
lab-binaries: lab-command
	@kubectl=$$(bin/isthmus-lab build --print-path kubectl) && ln -sfn "$$kubectl" bin/kubectl

# Labs and packages take root. sudo has a PATH of its own, often without Go, so it is handed this one.
.PHONY: check-root
check-root:
	@[ "$$(id -u)" = 0 ] || { echo 'this takes root; run:  sudo env "PATH=$$PATH" make $(MAKEOVERRIDES) $(MAKECMDGOALS)' >&2; exit 1; }

.PHONY: check-machine
check-machine:
	@tools/packages.sh --check

.PHONY: packages
packages: check-root check-machine lab-command ## install what is needed from this machine's distribution (root, Debian and relatives)
	@tools/packages.sh

.PHONY: images
images: check-machine generate ## dist/images/NAME.tar: proxy, istiod and the samples
	$(GO) run ./tools/images build --tag $(VERSION)

.PHONY: push
push: generate ## build the images and push them: make push HUB=registry.example/team
	@[ -n "$(HUB)" ] || { echo "name the registry: make push HUB=registry.example/team" >&2; exit 1; }
	$(GO) run ./tools/images push --tag $(VERSION) --hub $(HUB)

## ---- look at the code

# The linters are a module of their own, built once for each version of it.
LINTERS := dist/tools/$(shell cat tools/lint/go.mod tools/lint/go.sum | sha256sum | cut -c1-12)

$(LINTERS)/golangci-lint:
	cd tools/lint && $(GO) build -o ../../$(LINTERS)/ mvdan.cc/gofumpt github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: lint
lint: generate $(LINTERS)/golangci-lint ## gofumpt, go vet, golangci-lint
	@files=$$($(LINTERS)/gofumpt -l $$(git ls-files '*.go')) || exit 1; \
	  [ -z "$$files" ] || { echo "not formatted; run make format:" >&2; echo "$$files" >&2; exit 1; }
	$(GO) vet -tags apiserver,lab ./...
	cd lab && $(GO) vet -tags lab ./...
	$(LINTERS)/golangci-lint run --allow-serial-runners ./...

.PHONY: platforms
platforms: generate ## the command line compiles for people's own machines
	GOOS=darwin $(GO) vet ./cmd/isthmus
	GOOS=windows $(GO) vet ./cmd/isthmus

.PHONY: format
format: $(LINTERS)/golangci-lint ## gofumpt on all files
	$(LINTERS)/gofumpt -w $$(git ls-files '*.go')

.PHONY: vuln
vuln: generate ## known vulnerabilities in what is linked in (asks vuln.go.dev)
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.1.4 ./...

## ---- test: rings, from cheap to dear

# -short leaves out what a run on each change does not need; it is not taken from the environment.
SHORT =

.PHONY: test
test: SHORT := -short
test: all-rings ## what continuous integration runs: lint and rings 1 to 4

.PHONY: test-all
test-all: platforms all-rings ## the same with those tests on real clusters that short runs leave out

.PHONY: all-rings
all-rings: rings-start packages build images
	@tools/ring.sh "lint" $(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory SHORT=$(SHORT) test-unit test-golden test-mesh test-lab-alone test-lab
	@echo "== all rings" && cat dist/rings.txt

.PHONY: rings-start
rings-start: check-guides
	@rm -f dist/rings.txt

.PHONY: test-unit
test-unit: generate ## ring 1: unit tests, with the race detector
	@tools/ring.sh "ring 1, unit" $(RACE) -timeout 15m $(RING1)
	@cd lab && ../tools/ring.sh "ring 1, unit tests of the lab" $(GO) test -timeout 10m ./...

.PHONY: test-golden
test-golden: generate ## ring 2: translation, each result judged by the real Envoy
	@tools/ring.sh "ring 2, golden" $(RACE) -timeout 15m $(RING2)

.PHONY: test-mesh
test-mesh: generate lab-binaries ## ring 3: control planes in one process, then with a real API server and Envoy
	@programs=$$(bin/isthmus-lab build) && \
	  LAB_BIN="$$programs" KUBERNETES_BIN="$$programs" ETCD="$$programs/etcd" KUBE_APISERVER="$$programs/kube-apiserver" \
	  tools/ring.sh "ring 3, in process" $(RACE) -tags apiserver -timeout 20m $(RING3)

# Labs stand side by side: most of what their tests do is wait.
.PHONY: test-lab
test-lab: check-root check-guides build images ## ring 4: guides and pages on real clusters (root)
	@[ -n "$(RING4)" ] || { echo "ring 4 has no tests" >&2; exit 1; }
	@tools/ring.sh "ring 4, lab" env PATH="$(CURDIR)/bin:$$PATH" ISTIO="$(CURDIR)" \
	  $(RACE) -tags lab $(SHORT) -count 1 -p 1 -parallel 3 -timeout 60m -v $(RING4)

.PHONY: test-lab-alone
test-lab-alone: check-root lab-binaries ## the lab's own tests on real clusters (root)
	@cd lab && ../tools/ring.sh "ring 4, the lab itself" $(GO) test -tags lab $(SHORT) -count 1 -timeout 30m .

.PHONY: check-guides
check-guides:
	@if [ -z "$(GUIDES)" ]; then echo "GUIDES is not set: the guides are not run word for word"; \
	  elif [ ! -d "$(GUIDES)" ]; then echo "GUIDES=$(GUIDES) is no folder" >&2; exit 1; fi

## ---- run

.PHONY: demo
demo: packages build images ## two clusters as one mesh on this machine (root), from nothing
	PATH="$(CURDIR)/bin:$$PATH" tools/demo.sh

# Sizes and more: make bench BENCH_FLAGS="-proxies 300 -keep"; `go run ./bench -h` lists them.
BENCH_FLAGS ?=
BENCH = programs=$$(bin/isthmus-lab build) && LAB_BIN="$$programs" $(GO) run ./bench

.PHONY: bench
bench: generate lab-command ## the control plane under load: latency, CPU, memory, bytes; BENCH_FLAGS="-clusters 2 -keep"
	$(BENCH) $(BENCH_FLAGS)

.PHONY: bench-large
bench-large: generate lab-command ## the same with 5,000 services
	$(BENCH) -services 5000 -endpoints 2 -proxies 50 $(BENCH_FLAGS)

.PHONY: clean
clean: ## remove bin/ and dist/; the cache of built programs stays, `isthmus lab down` takes labs down
	rm -rf bin dist
