# `make demo` and `make test` set up what they need: a virtual environment in .venv, and for the tests Debian's servers,
# unpacked into .servers. Nothing else on the machine changes, but that missing tools are installed where that is allowed.

PYTHON ?= python3
ARGS ?=

export PYTHON
RUN := .venv/bin/python

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-slow lint format bench proto docs tools clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile
	@echo '  PYTHON=python3.12 chooses an interpreter; ARGS="-k wire" reaches pytest, ss-pusher demo or the benchmark.'

demo: .venv/.runtime ## push this host's TCP flows to a receiver on loopback, and show what arrived
	@.venv/bin/ss-pusher demo $(ARGS)

test: .venv/.development tools ## all tests but the slow ones
	@$(RUN) -m pytest -m 'not slow' $(ARGS)

test-slow: .venv/.development tools ## the tests that take minutes
	@$(RUN) -m pytest -m slow $(ARGS)

lint: .venv/.development ## ruff and mypy
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

format: .venv/.development ## let ruff format the code
	@$(RUN) -m ruff format .

bench: .venv/.development ## measure, and write docs/performance.md and docs/cardinality.md
	@$(RUN) -m bench.collector $(ARGS)
	@$(RUN) -m bench.naming $(ARGS)
	@$(RUN) -m bench.ledger
	@$(RUN) -m bench.closed_flows
	@$(RUN) -m bench.encoders
	@$(RUN) -m bench.selection

proto: .venv/.development ## compile proto/ into ss_pusher/proto/
	@$(RUN) proto/generate.py

docs: .venv/.runtime ## write config.sample.yml and docs/configuration.md from the schema
	@$(RUN) -m ss_pusher.config

clean: ## remove all that the other targets made
	rm -rf .venv .servers build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

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
