# `make demo` and `make test` set up what they need: a virtual environment in .venv, and for the tests Debian's servers,
# unpacked into .servers. Nothing else on the machine changes, but that missing tools are installed where that is allowed.

PYTHON ?= python3
ARGS ?=

export PYTHON
RUN := .venv/bin/python
COMPILE = .venv/locking/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
    --custom-compile-command 'make lock' $(ARGS)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-system test-slow test-soak lint format bench proto docs deb image lock audit tools clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile
	@echo '  PYTHON=python3.12 chooses an interpreter; ARGS="-k wire" reaches pytest, ss-pusher demo or the benchmark.'

demo: .venv/.runtime ## push this host's TCP flows to a receiver on loopback, and show what arrived
	@.venv/bin/ss-pusher demo $(ARGS)

test: .venv/.development tools ## all tests but the slow ones
	@$(RUN) -m pytest -m 'not slow and not soak and not system' $(ARGS)

test-system: .venv/.development tools deb ## the tests that boot a Debian with the package in it, as root
	@.ci/prepare system
	@$(RUN) -m pytest -m system $(ARGS)

test-slow: .venv/.development tools ## the tests that take minutes
	@$(RUN) -m pytest -m slow $(ARGS)

test-soak: .venv/.development ## an hour of faults of every kind, or SOAK_SECONDS
	@$(RUN) -m pytest -m soak -s $(ARGS)

lint: .venv/.development ## ruff and mypy
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

format: .venv/.development ## let ruff format the code
	@$(RUN) -m ruff format .

bench: .venv/.development ## measure, and write the figures into docs/
	@$(RUN) -m bench.collector $(ARGS)
	@$(RUN) -m bench.at_rest
	@$(RUN) -m bench.flood
	@$(RUN) -m bench.naming $(ARGS)
	@$(RUN) -m bench.ledger
	@$(RUN) -m bench.closed_flows
	@$(RUN) -m bench.encoders
	@$(RUN) -m bench.selection
	@$(RUN) -m bench.batch

proto: .venv/.development ## compile proto/ into ss_pusher/proto/
	@$(RUN) proto/generate.py

docs: .venv/.runtime ## write config.sample.yml and docs/configuration.md from the schema
	@$(RUN) -m ss_pusher.config

deb: ## build the Debian package dist/ss-pusher_VERSION_ARCH.deb
	@.ci/prepare build
	@dpkg-buildpackage --target=clean,binary --no-check-builddeps --unsigned-source --unsigned-changes

image: ## build the image ss-pusher with buildah, podman or docker; ARGS reaches that
	@for builder in buildah podman docker; do \
	    ! command -v $$builder >/dev/null || exec $$builder build --tag ss-pusher $(ARGS) .; \
	done; echo 'There is neither buildah nor podman nor docker here.' >&2; exit 1

lock: .venv/.locking ## write the lock files anew where pyproject.toml asks for it; ARGS=--upgrade takes the newest
	@$(COMPILE) --extra expose --output-file requirements.lock pyproject.toml
	@.venv/locking/bin/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' | \
	    $(COMPILE) --output-file requirements-build.lock -

audit: .venv/.locking ## look the locked dependencies up in a database of vulnerabilities
	@.venv/locking/bin/python .ci/audit.py

clean: ## remove all that the other targets made
	rm -rf --one-file-system .venv .servers .system build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf debian/build debian/.debhelper debian/ss-pusher debian/files debian/*.substvars debian/*.debhelper debian/*-stamp

tools:
	@.ci/prepare tools
	@.ci/prepare servers

.venv/.runtime: pyproject.toml
	@.ci/prepare python
	@echo 'Setting up .venv'
	@"$$PYTHON" -m venv .venv
	@$(RUN) -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/.development: .venv/.runtime
	@echo 'Installing the development packages into .venv'
	@$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

# In an environment of their own: what they depend on is no business of ours.
.venv/.locking:
	@.ci/prepare python
	@"$$PYTHON" -m venv .venv/locking
	@.venv/locking/bin/python -m pip install --quiet --disable-pip-version-check uv pip-audit
	@touch $@
