# threenines: every task of a developer. `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

.PHONY: help python setup demo test check bench soak golden lint types fmt lock clean servers

help: ## list the tasks
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

# Debian splits venv off, one package a version: python3-venv, python3.12-venv, ...
python:
	@test -n "$(PYTHON)" || { \
		echo "Python 3.11 or newer is needed; python3 here is: $$(python3 --version 2>&1)" >&2; \
		echo "on Debian 12 or newer type: sudo apt-get install python3 python3-venv" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		[ "$$(id -u)" = 0 ] && apt-get update -q && apt-get install -qy --no-install-recommends $(PYTHON)-venv; } || { \
		echo "Python's venv module is missing; type: sudo apt-get install $(PYTHON)-venv" >&2; exit 2; }

setup: $(STAMP) ## make the virtual environment from the lock

# `python` is checked first but never makes the stamp old.
$(STAMP): requirements.lock pyproject.toml | python
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

servers: ## install the real servers and the compiler that tests need
	@deploy/ci/install-servers

demo: $(STAMP) ## watch simulated GB300 racks fail and recover (no GPU needed)
	@$(BIN)/threenines demo

test: $(STAMP) servers ## run every test, lint and type check included
	$(BIN)/python -m pytest tests --ignore=tests/bench --ignore=tests/soak -q

check: lint types test ## everything that CI asks

bench: $(STAMP) servers ## measure against the budgets, beside the peer
	$(BIN)/python -m tests.bench

soak: $(STAMP) servers ## long fault runs
	$(BIN)/python -m pytest tests/soak -q -s --timeout=0

golden: $(STAMP) servers ## rewrite golden files from what the code says now; read the difference
	$(BIN)/python -m pytest tests/golden -q --refresh

lint: $(STAMP) ## style and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy

fmt: $(STAMP) ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# uv lives in a folder of its own, so that the lock can be mended when it no longer installs, and so that what a
# machine adds by configuration (find-links, mirrors) cannot leave a trace. Pins stay unless UPGRADE=1.
lock: python ## renew requirements.lock: hashes, no index, no host (UPGRADE=1 for newer pins)
	@tools=$$(mktemp -d) && trap 'rm -rf "$$tools"' EXIT && $(PYTHON) -m venv "$$tools" && \
	"$$tools/bin/python" -m pip install -q --disable-pip-version-check uv && \
	env -u PIP_FIND_LINKS -u UV_FIND_LINKS -u UV_INDEX -u UV_DEFAULT_INDEX -u UV_INDEX_URL -u UV_EXTRA_INDEX_URL \
		"$$tools/bin/uv" pip compile -q pyproject.toml --extra dev --extra pdf --universal --python-version 3.11 --generate-hashes \
		$(if $(UPGRADE),--upgrade) --no-emit-index-url --no-emit-find-links --no-header --no-config -o requirements.lock

clean: ## remove what was built
	rm -rf $(VENV) tests/fakedriver/build .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
