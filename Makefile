# Everything a newcomer, a contributor and CI do. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# The newest PyTorch that every part was tested with.
TORCH := 2.13.0

.DEFAULT_GOAL := help
.PHONY: help demo test test-gpu test-slow check format bench lock clean

help:  ## what there is to do
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 14

# The stamp says that the environment matches the lock and the declared dependencies.
$(VENV)/.installed: constraints.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "llmrec needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/.installed  ## recommendations on MovieLens-100K, from nothing (ARGS=--no-serve: stop before the page)
	$(BIN)/llmrec demo $(ARGS)

test: $(VENV)/.installed  ## the tests that need no GPU and no data beyond the package index
	$(BIN)/python -m pytest -m "not slow and not gpu" $(ARGS)

test-slow: $(VENV)/.installed  ## all tests
	$(BIN)/python -m pytest $(ARGS)

test-gpu: $(VENV)/.installed  ## the tests that need a CUDA device; without one they are skipped
	$(BIN)/python -m pytest -m gpu $(ARGS)

check: $(VENV)/.installed  ## format, lint and types, as CI checks them
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.installed  ## put the source in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed  ## time a recommendation, and packed against separate scoring, on the demo's workspace
	$(BIN)/python scripts/bench_demo.py $(ARGS)

lock:  ## renew constraints.txt: the versions a fresh installation takes today, with torch where it is
	rm -rf $(VENV)-lock && $(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet --disable-pip-version-check torch==$(TORCH) '.[dev]'
	{ head -1 constraints.txt; $(VENV)-lock/bin/python -m pip freeze --exclude llmrec | sed -E 's/\+[a-z0-9.]+$$//'; } > constraints.new
	mv constraints.new constraints.txt && rm -rf $(VENV)-lock

clean:  ## remove the environment and every cache of the tools
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
