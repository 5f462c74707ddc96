# The modules that need no live cluster come first. `integration` is among them:
# without a server it runs on the embedded one.
MODULES := . rqlitetest gormrqlite examples benchmarks integration integration/capture
GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
PLATFORMS := windows/amd64 darwin/arm64 freebsd/amd64 linux/386 linux/arm js/wasm wasip1/wasm
FUZZTIME ?= 10s
SLOWFUZZTIME ?= 100x
BENCH ?= .
BENCHTIME ?= 1s

.PHONY: help
help: ## Show what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

.PHONY: quickstart
quickstart: ## Run the quickstart on the embedded server
	go -C examples run ./quickstart

.PHONY: test
test: ## Test every module, without a live cluster
	@echo "This tests $(words $(MODULES)) modules. It takes about 3 minutes, or 7 with nothing built yet,"
	@echo "most of them in integration, which prints nothing until its end. make lint vets the code."
	@set -e; n=0; for module in $(MODULES); do \
		n=$$((n+1)); start=$$(date +%s); \
		echo "== $$module ($$n of $(words $(MODULES)))"; \
		RQLITE_LIVE=0 go -C $$module test -vet=off -shuffle=on ./...; \
		echo "   $$(($$(date +%s)-start)) s"; \
	done

.PHONY: race
race: ## Test the driver and the embedded server under the race detector
	go test -race -shuffle=on ./...
	RQLITE_LIVE=0 go -C rqlitetest test -race -shuffle=on ./...
	go -C gormrqlite test -race -shuffle=on ./...
	go -C integration test -race -shuffle=on ./dialect

.PHONY: lowest
lowest: ## Vet and test the driver and the GORM dialect with the lowest Go that they name
	@set -e; for module in . gormrqlite; do \
		export GOTOOLCHAIN=go$$(sed -n 's/^go //p' $$module/go.mod); \
		echo "== $$module, $$GOTOOLCHAIN"; \
		go -C $$module vet ./...; \
		go -C $$module test ./...; \
	done

.PHONY: platforms
platforms: ## Vet the driver and the GORM dialect for other platforms, and test the driver on 386
	@set -e; for platform in $(PLATFORMS); do \
		echo "== $$platform"; \
		for module in . gormrqlite; do \
			GOOS=$${platform%/*} GOARCH=$${platform#*/} CGO_ENABLED=0 go -C $$module vet ./...; \
		done; \
	done
	GOARCH=386 CGO_ENABLED=0 go test ./...

.PHONY: integration
integration: ## Test on the live servers that can be had; RQLITE_LIVE=1 demands one
	@# without a package, go test shows the summary of what ran where
	RQLITED_BINS= go -C integration test -count=1 -shuffle=on -timeout=30m
	go -C rqlitetest test -count=1 ./...

.PHONY: releases
releases: ## Test on each rqlited that RQLITED_BINS lists; ARGS go to go test
	RQLITED_BINS='$(RQLITED_BINS)' go -C integration run ./releases $(ARGS)

.PHONY: release-dry-run
release-dry-run: ## Get, build and run the published modules as of the last commit, as programs would
	go -C integration run ./publish

.PHONY: release
release: ## Prepare the release VERSION up to the push; see RELEASING.md
	.ci/release '$(VERSION)'

.PHONY: layers
layers: ## Measure packages, imports and the arrows between files
	go -C integration run ./layers

.PHONY: lint
lint: ## Vet and lint every module
	@bin=$$(mktemp -d) && trap 'rm -rf "$$bin"' EXIT && GOBIN=$$bin go install $(GOLANGCI_LINT) && \
	set -e; for module in $(MODULES); do \
		echo "== $$module"; \
		(cd $$module && go vet ./... && $$bin/golangci-lint run ./...); \
	done

.PHONY: fuzz
fuzz: ## Run every fuzz test for FUZZTIME, those on a server for SLOWFUZZTIME
	@set -e; for module in $(MODULES); do \
		for package in $$(cd $$module && go list ./...); do \
			for target in $$(cd $$module && go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
				echo "== $$package $$target"; \
				time=$(FUZZTIME); case $$target in FuzzTxModes) time=$(SLOWFUZZTIME);; esac; \
				go -C $$module test -run '^$$' -fuzz "^$$target\$$" -fuzztime $$time -fuzzminimizetime 1x $$package; \
			done; \
		done; \
	done

.PHONY: bench
bench: ## Run the benchmarks side by side with other clients
	go test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) ./...
	go -C benchmarks test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) ./...
