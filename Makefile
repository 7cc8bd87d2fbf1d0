# threenines: every task of a developer. `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

.PHONY: help setup demo test check bench soak lint types fmt lock clean servers

help: ## list the tasks
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(STAMP) ## make the virtual environment from the lock

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: apt-get install python3 python3-venv" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		[ "$$(id -u)" = 0 ] && apt-get update -q && apt-get install -qy --no-install-recommends python3-venv; } || { \
		echo "Python's venv module is missing; type: apt-get install python3-venv" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
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

lint: $(STAMP) ## style and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy

fmt: $(STAMP) ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## renew requirements.lock: hashes, and neither index nor host
	$(BIN)/python -m pip install -q uv
	env -u PIP_FIND_LINKS -u UV_FIND_LINKS $(BIN)/uv pip compile -q pyproject.toml --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-config -o requirements.lock

clean: ## remove what was built
	rm -rf $(VENV) tests/fakedriver/build .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
