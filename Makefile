# From a checkout. Each target sets up what it needs in .venv; what is already there is not set up again.
#   make demo                      the whole job, seen (make demo DEMO_ARGS=--exit ends by itself)
#   make test                      the tests that need nothing beyond Python and the package index
#   make clean test PYTHON=python3.12   the same with a Python of your choice

SHELL := /bin/sh
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help python setup demo test check test-real test-browser test-all bench bench-poll messages pictures lock clean

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# A Python will do if it is new enough and can make an environment (Debian keeps ensurepip in python3-venv).
USABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	if $$p -c "$(USABLE)" >/dev/null 2>&1; then command -v $$p; break; fi; done)

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

python: ## which Python the set-up would use
	@"$(PYTHON)" -c "$(USABLE)" 2>/dev/null || { \
	echo "make: no usable Python$(if $(PYTHON), at $(PYTHON),): the adapter needs Python 3.11 or later with its venv module." >&2; \
	echo "Install one (on Debian and Ubuntu: apt-get install python3 python3-venv), or name it: make PYTHON=/path/to/python3.11 TARGET" >&2; \
	exit 1; }
	@echo "$(PYTHON)"

# Hash-pinned packages first, the build backend among them: pip takes no hashes for an editable project.
$(VENV)/.runtime: requirements.txt pyproject.toml
	@$(MAKE) --no-print-directory --silent python >/dev/null
	@echo "Setting up $(VENV) ..."
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@$(PIP) install --require-hashes -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.runtime
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@touch $@

$(VENV)/.real: requirements-real.txt $(VENV)/.dev
	@$(PIP) install --require-hashes -r requirements-real.txt
	@touch $@

setup: $(VENV)/.runtime ## only the set-up: .venv/bin/lab-adapter is there afterwards

demo: $(VENV)/.runtime ## a whole trial's feed through the real daemon; DEMO_ARGS=--exit ends by itself
	@$(BIN)/python -m adapter.demo $(DEMO_ARGS)

test: $(VENV)/.dev ## the tests that need nothing beyond Python and the package index
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not real and not shared and not browser"

# Node.js comes with the environment; a JDK 17 or later and Maven are the machine's.
REAL := PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -q
test-real: $(VENV)/.real ## the tests on real servers alone: HAPI FHIR (needs a JDK and Maven), OAuth 2
	$(REAL) -m real

test-browser: $(VENV)/.dev ## the page in a real browser on the real daemon (needs Chromium; on Debian the package chromium)
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m browser

test-all: $(VENV)/.real ## every test
	$(REAL)

# The last three: what no linter knows. The patterns do not match themselves.
check: $(VENV)/.dev ## formatter, linter, type checker, import rules, traces of a machine, clocks in pure rooms
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	@git grep -nIE '/(work|root|farm)/|/home/[a-z]+/' -- .; test $$? -eq 1 || \
	{ echo "make check: the lines above hold paths of one machine; write them relative to the checkout." >&2; exit 1; }
	@git grep -nE '://|index-url|find-links' -- 'requirements*.txt'; test $$? -eq 1 || \
	{ echo "make check: requirements name packages and hashes, never where they come from." >&2; exit 1; }
	@git grep -nE '\bfloat\(|datetime\.(now|today|utcnow)|date\.today' -- adapter/rules adapter/codecs; test $$? -eq 1 || \
	{ echo "make check: rules/ and codecs/ use Decimal and take the time as an argument; see the lines above." >&2; exit 1; }

bench: $(VENV)/.dev ## the benchmarks, side by side with their peers
	$(BIN)/python bench/run.py

bench-poll: $(VENV)/.dev ## what a poll costs, on a HAPI FHIR server (needs a JDK and Maven)
	$(BIN)/python bench/poll.py

messages: $(VENV)/.dev ## the page's catalogue: new texts taken up, those that are gone dropped, compiled
	PYTHONPATH=. $(BIN)/python tools/messages.py

pictures: $(VENV)/.dev ## the documents' pictures of the page anew (needs Chromium; on Debian the package chromium)
	$(BIN)/python tools/pictures.py

bench-page: $(VENV)/.dev ## how long each page takes, for 32 participants and for 2,000 (ten minutes to make them)
	$(BIN)/python bench/page.py

# Resolves alike under Python 3.11, 3.12 and 3.13, so one pair of files serves them all.
LOCK := .venv-lock/bin/python -m piptools compile --quiet --strip-extras --generate-hashes \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options $(LOCK_ARGS)
lock: python ## resolve pyproject.toml into requirements*.txt again (LOCK_ARGS=--upgrade for newer releases)
	test -x .venv-lock/bin/python || "$(PYTHON)" -m venv .venv-lock
	.venv-lock/bin/python -m pip --disable-pip-version-check --quiet install pip-tools==7.6.2
	CUSTOM_COMPILE_COMMAND="make lock" $(LOCK) --build-deps-for editable --output-file requirements.txt pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" $(LOCK) --build-deps-for editable --output-file requirements-dev.txt --extra dev \
		--constraint requirements.txt pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" $(LOCK) --output-file requirements-real.txt requirements-real.in

clean: ## remove the environment and what tools left behind; no store and no configuration
	rm -rf $(VENV) .venv-lock build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
