# redisbak: how it is built, shown and tested. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

# The version is the nearest tag, or the commit, or nothing outside a checkout.
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)

# Where `make build` puts the binary. GOOS and GOARCH say for which machine.
OUT ?= bin/redisbak

# Tools of `make lint`, at versions that everybody shares.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.8.0

# Programs that `./...` does not see.
PROGRAMS := ./testdata/bench ./internal/docker/testdata/nc

FUZZTIME ?= 30s

# The time that one package's tests may take. The whole of `make test`, with the
# images, must be done in 25 minutes on two cores.
TEST_TIMEOUT := 40m
FULL_TIMEOUT := 4h

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/redisbak, one static binary
	@mkdir -p $(dir $(OUT))
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)" -o $(OUT) ./cmd/redisbak

.PHONY: image
image: ## build the image redisbak:local, of this machine's architecture, without a registry
	@$(MAKE) --no-print-directory build GOOS=linux OUT=bin/image/redisbak
	docker build --file Dockerfile --build-arg TARGETPLATFORM=. --tag redisbak:local bin/image

.PHONY: man
man: ## write the manual pages in docs/man anew
	REDISBAK_TEST_UPDATE=1 go test -count 1 -run 'TestManPages$$' ./cmd/redisbak

.PHONY: completions
completions: build ## write completions for the shells into bin/completions
	@mkdir -p bin/completions
	bin/redisbak completion bash >bin/completions/redisbak.bash
	bin/redisbak completion zsh >bin/completions/_redisbak
	bin/redisbak completion fish >bin/completions/redisbak.fish

.PHONY: demo
demo: build ## lose a Redis and get it back, before your eyes
	@testdata/demo/demo.sh bin/redisbak

.PHONY: engine
engine:
	@testdata/engine/ensure.sh

.PHONY: images
images: engine ## make the images of the servers that tests run on
	@testdata/images/build.sh

.PHONY: test-unit
test-unit: ## the tests that need no Docker
	go test ./...

# What takes processors and what takes the network and the disk go together;
# then the tests behind the tag, with all the others, two packages at a time:
# most of their time they wait for an engine or a server.
BEFORE_TEST = $(MAKE) --no-print-directory --jobs 2 images race && $(MAKE) --no-print-directory vet
ENGINE_TEST = go test -tags engine -p 2

.PHONY: test
test: ## all tests, on real servers, sweeps at a tenth of their size
	@$(BEFORE_TEST)
	$(ENGINE_TEST) -timeout $(TEST_TIMEOUT) ./...

.PHONY: test-full
test-full: ## all tests at full size: hours
	@$(BEFORE_TEST)
	REDISBAK_TEST_FULL=1 $(ENGINE_TEST) -count 1 -timeout $(FULL_TIMEOUT) ./...

# The race detector needs a C compiler. Where there is none, the tests run
# without it, and this says so.
.PHONY: race
race:
	@if command -v "$$(go env CC)" >/dev/null; then \
		echo "go test -race ./..."; CGO_ENABLED=1 go test -race -timeout $(TEST_TIMEOUT) ./...; \
	else \
		echo "no C compiler here: the race detector is left out"; \
	fi

.PHONY: vet
vet:
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then printf 'not formatted by gofmt:\n%s\n' "$$unformatted"; exit 1; fi
	go vet -tags engine ./... $(PROGRAMS)

.PHONY: lint
lint: vet ## gofmt, go vet, staticcheck, shellcheck, known vulnerabilities
	go vet ./...
	go run $(STATICCHECK) -tags engine ./... $(PROGRAMS)
	@.ci/shellcheck
	@.ci/vulncheck $(GOVULNCHECK)

.PHONY: bench
bench: build images ## measure against the ways of doing it by hand
	go run ./testdata/bench

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (30s)
	@grep -rl --include='*_test.go' '^func Fuzz' . | sort | while read -r file; do \
		sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$$file" | while read -r target; do \
			echo "go test -run '^$$' -fuzz '^$$target\$$' -fuzztime $(FUZZTIME) $$(dirname "$$file")"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")" </dev/null; \
		done; \
	done

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist
