# womm: what can be done with this checkout. `make help` lists it; CONTRIBUTING.md tells the story.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed
VENDORED := womm/vendor/parallel

# PARALLEL and LICENCE are for `make vendor` only. In any other program's environment PARALLEL holds
# default options of GNU parallel, and a path in it would become a word of every job.
unexport PARALLEL LICENCE
# KUBERNETES and NODES reach the sandbox from every target, and WOMM_KUBE_CONTEXT what runs in its place.
ifneq ($(KUBERNETES),)
export KUBERNETES
endif
ifneq ($(NODES),)
export NODES
endif
# The sandbox may call make in trees of others; what was given to this one is not meant for them.
unexport MAKEFLAGS MAKEOVERRIDES

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: missing
missing: ## install the tools that are missing on this machine (Debian, root), or name them
	@tools/install-missing

.PHONY: vendor
vendor: missing ## put GNU parallel into womm/vendor: the pinned release, or PARALLEL=FILE
	@PARALLEL='$(PARALLEL)' LICENCE='$(LICENCE)' tools/vendor

# Only when needed: the file is older than what made it, or isn't there, or another one is asked for.
$(VENDORED): tools/vendor tools/parallel-options womm/vendor/manifest.json | missing
	@PARALLEL='$(PARALLEL)' LICENCE='$(LICENCE)' tools/vendor

.PHONY: FORCE
ifeq ($(origin PARALLEL),command line)
$(VENDORED): FORCE
endif

.PHONY: venv
venv: $(INSTALLED) ## make .venv with womm (editable) and the pinned development tools

$(INSTALLED): pyproject.toml setup.py | missing $(VENDORED)
	@$(PYTHON) -m venv --clear $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

.PHONY: lint
lint: $(INSTALLED) ## ruff, mypy --strict, shellcheck, shfmt, dash -n, perl -c
	@tools/lint

.PHONY: format
format: $(INSTALLED) ## let ruff and shfmt lay out every file (ARGS='FILE…': only these)
	@tools/lint --format $(ARGS)

.PHONY: test
test: $(INSTALLED) $(VENDORED) ## unit tests, bats, cluster and NFS tests, with all their set-up (KUBERNETES=VERSION)
	@$(VENV)/bin/python tools/test unit bats cluster $(if $(WOMM_KUBE_CONTEXT),,nfs)

.PHONY: test-unit test-bats test-cluster test-nfs
test-unit: $(INSTALLED) $(VENDORED) ## the tests that need no cluster (ARGS='-k word' is passed to pytest)
test-bats: $(INSTALLED) $(VENDORED) ## the tests of the scripts (ARGS is passed to bats)
test-cluster: $(INSTALLED) $(VENDORED) ## the tests on the sandbox's Kubernetes (ARGS is passed to pytest)
test-nfs: $(INSTALLED) $(VENDORED) ## the tests on its second node, which has an NFS client (ARGS as above)
test-unit test-bats test-cluster test-nfs:
	@$(VENV)/bin/python tools/test $(patsubst test-%,%,$@) -- $(ARGS)

.PHONY: bench
bench: $(INSTALLED) $(VENDORED) ## measure womm against its rivals, into bench/RESULTS.md (ARGS=NAME: only print one)
	@sandbox/up
	@exports=$$(sandbox/env) && eval "$$exports" && \
		env -u WOMM_KUBE_NODE_SELECTOR -u WOMM_KUBE_TOLERATION bench/run --write $(ARGS)

.PHONY: demo
demo: $(INSTALLED) $(VENDORED) ## see womm at work on a Kubernetes of its own (or WOMM_KUBE_CONTEXT=NAME)
	@tools/on-cluster tools/demo

.PHONY: build
build: $(INSTALLED) $(VENDORED) ## wheel and sdist, into dist/
	@$(VENV)/bin/python -m build --outdir dist .

.PHONY: sandbox-up sandbox-down sandbox-status sandbox-env
sandbox-up: ## start a Kubernetes on this machine (KUBERNETES=VERSION, NODES=2)
sandbox-down: ## stop it and remove what sandbox-up made
sandbox-status: ## tell what of it runs
sandbox-env: ## print its environment: eval "$(make -s sandbox-env)"
sandbox-up sandbox-down sandbox-status sandbox-env:
	@sandbox/$(patsubst sandbox-%,%,$@)

.PHONY: clean
clean: ## remove what make made in the checkout, but for the sandbox
	@rm -rf $(VENV) build dist ./*.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find womm tests -type d -name __pycache__ -prune -exec rm -rf {} +
	@find womm/vendor -mindepth 1 -maxdepth 1 ! -name README.md ! -name manifest.json -exec rm -rf {} +
