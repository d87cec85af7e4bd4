# `make` or `make help` lists what there is.
SHELL := /bin/bash
TOOLS := $(CURDIR)/.tools
FUZZTIME ?= 3s
GOLANGCI := $(TOOLS)/bin/golangci-lint
GOLANGCI_VERSION := v2.15.0
GOVULNCHECK := $(TOOLS)/bin/govulncheck
GOVULNCHECK_VERSION := v1.9.0
PACKAGES := ./...
# What a release is called. Its default is what the program says of itself.
VERSION ?= $(shell sed -nE 's/^var Version = "(.*)"/\1/p' ringdown.go)

.DEFAULT_GOAL := help
.PHONY: help build install release module demo test check-fast vet lint vuln unit fuzz fuzz-long conformance conformance-quick browser test-long churn bench bench-quick bench-sdk bench-store mutate sdk sdk-embed cross deps tools clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20

build: ## build bin/ringdown
	@test -e bin/ringdown || echo "building bin/ringdown; the first time takes some two minutes, and names the packages as they are done"
	@go build -v -o bin/ringdown ./cmd/ringdown
	@echo "built: bin/ringdown"

install: ## put ringdown where go install puts programs
	go install -v ./cmd/ringdown

release: ## archives for every system in dist/, with checksums: make release VERSION=0.1.0
	scripts/release.sh $(VERSION)

module: ## give the module a path that go get finds: make module MODULE=example.com/somebody/ringdown
	go run ./scripts/module $(MODULE)

demo: build ## serve the pet shop, the chat and the trucks on http://127.0.0.1:8000
	bin/ringdown demo

test: tools vet lint unit sdk fuzz conformance-quick bench-quick vuln ## everything, installing what it needs: this is what CI runs
	@echo "all of make test passed"

check-fast: vet ## vet and the tests that take seconds, without the race detector
	go test -short $(PACKAGES)

tools: ## install what the tests need (as root by apt; otherwise it says what is missing)
	@scripts/install.sh

vet: ## go vet, for every system that is built for
	go vet $(PACKAGES)
	GOOS=darwin go vet ./internal/reactor ./cmd/ringdown
	GOOS=windows go build -o /dev/null ./cmd/ringdown
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "run gofmt -w on these"; exit 1; }

lint: $(GOLANGCI) ## golangci-lint
	$(GOLANGCI) run

$(GOLANGCI):
	@echo "building golangci-lint $(GOLANGCI_VERSION), once; this takes some minutes"
	GOBIN=$(TOOLS)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

vuln: ## govulncheck, where its database can be had; otherwise it says so
	@test -x $(GOVULNCHECK) || GOBIN=$(TOOLS)/bin go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION) || \
		{ echo "NOT CHECKED for vulnerabilities: govulncheck cannot be installed here"; exit 0; }; \
	test ! -x $(GOVULNCHECK) || scripts/vuln.sh $(GOVULNCHECK)

unit: ## all Go tests with the race detector, in random order; what fails is tried once more and listed
	@go test -race -shuffle=on -timeout 15m -json $(PACKAGES) | go run ./scripts/testsummary -again 'go test -race -count=1 -timeout 15m -json'

fuzz: ## every fuzz target for FUZZTIME (3s)
	scripts/fuzz.sh $(FUZZTIME)

fuzz-long: ## every fuzz target for a million executions
	scripts/fuzz.sh 1000000x

sdk: ## the clients in TypeScript and Python and the hooks for React: types, packages, and against the real server
	cd sdk/typescript && npm ci --no-audit --no-fund && npm test
	cd sdk/react && npm ci --no-audit --no-fund && npm test
	sdk/python/check.sh

sdk-embed: ## build the client that the server serves at /v1/client.js
	cd sdk/typescript && npm ci --no-audit --no-fund && node build.mjs --embed

bench-sdk: ## what the client costs a page, beside others: size, a message, a thousand subscriptions
	cd sdk/typescript && npm ci --no-audit --no-fund && node build.mjs
	cd bench/sdk && npm ci --no-audit --no-fund && node bench.mjs

conformance-quick: ## Autobahn's cases 1-7, 9, 10 and a sample of 12 and 13, on both engines
	go run ./test/conformance -cases quick -engines epoll,std

conformance: ## all 517 of Autobahn's cases, on both engines
	go run ./test/conformance -cases all -engines epoll,std

browser: ## the pages in a real Chromium
	go test -v -count=1 ./test/browser

test-long: ## the attacks and the faults in their minute-long forms
	RINGDOWN_LONG=1 go test -v -count=1 -timeout 90m ./test/attack ./internal/broker/redis ./test/faults ./test/history/... ./test/sim ./internal/store ./internal/broker/embedded

churn: ## clients come and go on a few channels, ten minutes on each store: is anybody deaf?
	RINGDOWN_CHURN=10m go test -v -count=1 -timeout 60m -run TestChurn ./test/faults

MUTATE ?= $(wildcard ./internal/delivery) ./internal/node ./internal/session ./internal/channel ./internal/broker/memory ./internal/broker/embedded ./internal/broker/redis
mutate: ## 300 small changes in each of the rooms that deliver, one at a time: do the tests notice? (an hour)
	nice go run ./scripts/mutate $(MUTATE)

bench: ## compare with rival servers (about 40 minutes)
	cd bench && go run ./cmd/compare -rounds 5

bench-quick: ## the same comparison, small: that it works, not what it says
	cd bench && go run ./cmd/compare -quick -servers floor,ringdown,gws,centrifuge

bench-store: ## acknowledged publications a second with fsync, beside what the disk can do, and over WebSocket
	go test ./internal/store -run '^$$' -bench Publish -benchtime 5s
	go test . -run '^$$' -bench DurablePublish -benchtime 5s

cross: ## build for other systems
	GOOS=darwin go build -o /dev/null ./cmd/ringdown
	GOOS=windows go build -o /dev/null ./cmd/ringdown

deps: ## write down what the binary depends on
	go run ./internal/arch/deps > docs/dependencies.txt

clean: ## remove what was built
	rm -rf bin reports $(TOOLS)
