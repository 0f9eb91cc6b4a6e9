# The one command surface. It needs make, Python 3.11+ and a package index; everything it installs goes into .venv.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTHON ?= $(shell for p in python3 python3.12 python3.11 python3.13 python3.14; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && { echo $$p; break; }; done)
UV := $(shell command -v uv 2>/dev/null || echo $(BIN)/uv)
N ?= 50
ARGS ?=

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(READY) ## Install everything into .venv (nothing to do when it is up to date)

# The environment, and in it uv where the machine has none.
$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Rapport needs Python 3.11 or newer: none found on the PATH."; exit 1; }
	@if [ "$(UV)" != "$(BIN)/uv" ]; then $(UV) venv --quiet --python $(PYTHON) $(VENV); else $(PYTHON) -m venv $(VENV); fi
	@test "$(UV)" != "$(BIN)/uv" || $(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.5"

# Exactly what the lock names, each file checked against its hash; then this project, editable, without looking at dependencies again.
$(READY): requirements.lock pyproject.toml | $(BIN)/python
	@test -x "$(UV)" || $(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.5"
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $(READY)

.PHONY: run
run: $(READY) ## Start everything with a simulated shop; Ctrl-C stops it (make run ARGS="--only kafka,postgres")
	@$(BIN)/rapport up --demo $(ARGS)

.PHONY: unit
unit: $(READY) ## Unit tests: no services, seconds
	$(BIN)/python -m pytest tests/unit -m "not full" -q --hypothesis-profile=quick -n logical $(ARGS)

.PHONY: test
test: $(READY) ## What CI runs: everything but the long runs (make test ARGS="-k refund")
ifeq ($(ARGS),)
	$(BIN)/python -m pytest tests/unit -m "not full" -n logical
	$(BIN)/python -m pytest --ignore=tests/unit -m "not full"
else
	$(BIN)/python -m pytest -m "not full" $(ARGS)
endif

.PHONY: test-full
test-full: $(READY) ## Everything, the long crash, property and data runs too
	$(BIN)/python -m pytest --hypothesis-profile=full $(ARGS)

.PHONY: crash
crash: $(READY) ## Kill parts at random under load, N times (make crash N=50), and compare with the reference
	RAPPORT_CRASH_KILLS=$(N) $(BIN)/python -m pytest tests/integration/crash --timeout=0 $(ARGS)

.PHONY: property
property: N = 10000
property: $(READY) ## Random histories of profiles, N of them (make property N=10000), against the plain reference
	RAPPORT_PROPERTY_HISTORIES=$(N) $(BIN)/python -m pytest tests/unit/profile/test_exactness.py tests/integration/profile/test_exactness.py -n logical --timeout=0 $(ARGS)

.PHONY: lint
lint: $(READY) ## Format check, lint, types, import contracts, house rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m scripts.linters

.PHONY: format
format: $(READY) ## Format and fix what can be fixed by itself
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: bench-ingest
bench-ingest: $(READY) ## Measure the gateway and the broker alone, with wrk
	$(BIN)/python -m bench.ingest $(ARGS)

.PHONY: bench-profile
bench-profile: $(READY) ## Measure the profile service alone: touchpoints to views, and reading them
	$(BIN)/python -m bench.profile $(ARGS)

.PHONY: bench
bench: $(READY) ## Measure speed; writes bench/reports/latest.json
	$(BIN)/python -m bench $(ARGS)

.PHONY: docs
docs: $(READY) ## Generate schemas, examples, AsyncAPI and the generated pages of docs/ from the code
	$(BIN)/python -m libs.events.documents $(ARGS)
	$(BIN)/python -m scripts.documents $(ARGS)

.PHONY: lock
lock: $(READY) ## Resolve the dependencies anew: for development, and for the image
	$(UV) pip compile --universal --generate-hashes --all-extras --quiet pyproject.toml -o requirements.lock
	$(UV) pip compile --universal --generate-hashes --quiet pyproject.toml -o deploy/docker/requirements.lock

.PHONY: doctor
doctor: $(READY) ## What is missing on this machine and how to get it
	@$(BIN)/rapport doctor

.PHONY: clean
clean: ## Remove caches and reports; keeps .venv and the local data in .rapport
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info bench/reports
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

.PHONY: distclean
distclean: clean ## Remove .venv too
	rm -rf $(VENV)
