# One command for each routine; CI runs the same ones. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PORT   ?= 8000

.PHONY: help setup setup-dev browser run demo serve test e2e e2e-clients lint format types bench bench-ledger bench-pages bench-recorder soak profile lock clean

help:            ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# Stamps carry a hash of the lock file: a changed lock installs again, an unchanged one costs nothing.
RUN_STAMP := $(VENV)/.run-$(shell sha256sum requirements.txt | cut -c1-16)
E2E_STAMP := tests/e2e/node_modules/.installed-$(shell sha256sum tests/e2e/package-lock.json | cut -c1-16)
DEV_STAMP := $(VENV)/.dev-$(shell cat requirements-dev.txt requirements-sdk0.txt | sha256sum | cut -c1-16)

setup: $(RUN_STAMP)            ## virtual environment in .venv with the locked packages
setup-dev: $(DEV_STAMP)        ## the same, with test and lint tools

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(DEV_STAMP): $(RUN_STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	rm -rf $(VENV)/sdk0
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --target $(VENV)/sdk0 -r requirements-sdk0.txt
	@touch $@

browser:                       # Debian's Chromium, for the browser tests
	@command -v chromium >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y chromium fonts-dejavu-core >/dev/null; }

run: setup                     ## install, migrate, load the quick start if empty, serve on port 8000
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py runserver --quickstart 127.0.0.1:$(PORT)

demo: export GATEWAY_DATA_DIR := $(CURDIR)/var/demo
demo: setup                    ## the same with a made-up organization and a quarter of requests, in var/demo
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py load_demo --again --address http://127.0.0.1:$(PORT)
	@$(BIN)/python manage.py runserver --quickstart 127.0.0.1:$(PORT)

serve: setup                   ## the production server
	$(BIN)/python manage.py serve --migrate --port $(PORT)

test: setup-dev browser        ## every test; PostgreSQL and Redis too where they are reachable
	$(BIN)/python -m pytest

$(E2E_STAMP):
	npm ci --prefix tests/e2e --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

e2e-clients: $(E2E_STAMP)

e2e: setup-dev e2e-clients    ## the vendor's Node clients against the gateway; needs Node 20
	$(BIN)/python -m pytest -n 0 tests/pairs/test_node_sdks.py

bench: setup                   ## the gateway beside nginx, on one core; needs nginx and wrk. BENCH=--quick: two minutes
	@$(BIN)/python -m bench.run $(BENCH)

bench-ledger: setup            ## a year of 50 million ledger lines in PostgreSQL: what pages ask, and storing
	@$(BIN)/python -m bench.ledger $(BENCH)

bench-pages: setup             ## the dashboard's pages with ten million ledger lines: milliseconds and queries
	@$(BIN)/python -m bench.pages $(BENCH)

bench-recorder: setup          ## rows per second into PostgreSQL, and what requests notice of a backlog
	@$(BIN)/python -m bench.recorder $(BENCH)

soak: setup                    ## 1,000 streams and 100 stalled readers for ten minutes: errors, and memory
	@$(BIN)/python -m bench.soak $(BENCH)

profile: setup-dev             ## flame graphs of the gateway under load, in var/profiles
	@$(BIN)/python -m bench.profile $(BENCH)

lint: setup-dev                ## style, layers, templates
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	find templates -name '*.html' -print0 | xargs -0 -r $(BIN)/djade --check --target-version 5.2
	$(BIN)/python manage.py makemigrations --check --dry-run

format: setup-dev              ## let the tools rewrite what they can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	find templates -name '*.html' -print0 | xargs -0 -r $(BIN)/djade --target-version 5.2

types: setup-dev               ## mypy, strict
	$(BIN)/mypy

lock: setup-dev                ## write the hashed lock files from the .in files
	$(BIN)/uv pip compile --quiet --generate-hashes --python-version 3.11 $(UPGRADE) requirements.in -o requirements.txt
	$(BIN)/uv pip compile --quiet --generate-hashes --python-version 3.11 $(UPGRADE) requirements-dev.in -o requirements-dev.txt
	$(BIN)/uv pip compile --quiet --generate-hashes --python-version 3.11 $(UPGRADE) requirements-sdk0.in -o requirements-sdk0.txt

clean:                         ## remove what tools wrote (keeps var/, your data)
	rm -rf $(VENV) tests/e2e/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
