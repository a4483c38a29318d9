# What Cairn can be asked to do. `make` alone explains the targets.

SHELL := /bin/bash
.DEFAULT_GOAL := help

STATE  ?= .state
TARGET := $(or $(CARGO_TARGET_DIR),target)
TRIPLE := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
STATIC := $(TARGET)/static/$(TRIPLE)
AGENT  := $(STATIC)/small/cairn-agent
BUILT  := $(TARGET)/release
CAIRN  := $(BUILT)/cairn

.PHONY: help setup programs image arm64 build lab test lint unit scenarios bench soak fuzz deny clean

help: ## Say what the targets are
	@echo "Cairn. On a fresh Debian 12 machine, as root:"
	@echo
	@grep -hE '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9]+):.*## /  make \1|/' | column -t -s '|'
	@echo
	@echo "Everything that is made lies in $(STATE)/, .cache/ and $(TARGET)/."

setup: ## Install what is needed (Debian packages, QEMU 10 in a folder of its own)
	@scripts/setup

# Static binaries: the agent's goes into initrd and root, the manager's into a container with nothing else in it. The
# target is named on purpose, so that build scripts and macros stay dynamic.
programs: export RUSTFLAGS := -C target-feature=+crt-static
programs:
	@cargo build --release --locked -p cairn-cli -p cairn-scenarios --target $(TRIPLE) --target-dir $(TARGET)/static
	@cargo build --profile small --locked -p cairn-agent --target $(TRIPLE) --target-dir $(TARGET)/static
	@mkdir -p $(BUILT) && ln -f $(STATIC)/release/cairn $(STATIC)/release/cairn-scenarios $(BUILT)/

image: setup programs ## Build the node image and the manager's container
	@os/build --agent $(AGENT) --out $(STATE)/image
	@os/container --cairn $(CAIRN) --image $(STATE)/image --out $(STATE)/container

# After the other image, whose base tree it takes what is the same from.
arm64: image ## Build the node image for arm64 machines as well, and the container with both
	@scripts/cross build --profile small --locked -p cairn-agent
	@os/build --arch arm64 --agent $(TARGET)/cross/aarch64-unknown-linux-gnu/small/cairn-agent --out $(STATE)/image/arm64
	@os/container --cairn $(CAIRN) --image $(STATE)/image --out $(STATE)/container

build: image ## Compile everything and build both images, without starting anything

lab: build ## Bring a cluster of virtual machines up from empty disks (Ctrl-C ends it)
	@$(CAIRN) lab up

test: setup lint unit image scenarios ## Set up, build and test everything: what CI runs

lint:
	@cargo fmt --all --check
	@cargo clippy --locked --workspace --all-targets -- -D warnings

unit:
	@cargo test --locked --workspace

# Of the whole workspace, as `unit` has compiled it: with the features of one package alone it would be compiled anew.
scenarios: programs
	@cargo test --locked --workspace --test matrix -- --ignored --nocapture
	@$(BUILT)/cairn-scenarios test

bench: image ## Measure times, memory and sizes, and print them as docs/benchmarks.md has them
	@$(BUILT)/cairn-scenarios bench
	@cargo build --release --locked -p cairn-netboot --examples
	@cargo test --release --locked -p cairn-netboot --test speed --test power_on -- --ignored --nocapture

soak: image arm64 ## Run the long campaigns
	@CAIRN_PACKETS=10000000 cargo test --release --locked -p cairn-netboot --test mutated -- --nocapture
	@cargo build --locked -p cairn-netboot --examples
	@CAIRN_CELLS=aavmf cargo test --locked -p cairn-netboot --test matrix -- --ignored --nocapture
	@$(BUILT)/cairn-scenarios arm64
	@$(BUILT)/cairn-scenarios raspberry-pi
	@$(BUILT)/cairn-scenarios wi-fi
	@$(BUILT)/cairn-scenarios test "lost its working directory"
	@$(BUILT)/cairn-scenarios soak

fuzz: ## Run every fuzz target for 20 seconds (SECONDS=600 for longer, needs a C++ compiler)
	@scripts/fuzz $(or $(SECONDS),20)

deny: ## Check licences and bans of all dependencies (needs cargo-deny; advisories need the network)
	@cargo deny --offline check licenses bans sources

clean: ## Remove everything that was built or downloaded
	@if [ -x $(CAIRN) ]; then $(CAIRN) lab down; fi
	@rm -rf $(STATE) .cache target
