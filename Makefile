# The commands people use. `make` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# the first that is new enough; set PYTHON=… for another
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
SET_UP := $(VENV)/.set-up
BENCHMARKS := $(sort $(wildcard benchmarks/*.py))

.PHONY: help setup demo test test-image lint bench

help:  ## list the commands
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(SET_UP)  ## make .venv with everything in it; does nothing when that is done

demo: $(SET_UP)  ## broker, Redis, worker and sample posts on this machine  (DEMO_ARGS='--once')
	@$(BIN)/python -m worker demo $(DEMO_ARGS)

test: $(SET_UP)  ## run the tests, several at a time  (TEST_ARGS='-k crf'; TEST_ARGS='-n0 --pdb' in one process)
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n auto $(TEST_ARGS)

test-image: $(SET_UP)  ## build the image with podman and run it, as root  (IMAGE_TORCH_INDEX_URL=…)
	@$(BIN)/python -m pytest -v tests/image/check_image.py tests/image/check_compose.py $(TEST_ARGS)

lint: $(SET_UP)  ## ruff, its formatter, mypy
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m mypy
	@MYPYPATH=tests/integration $(BIN)/python -m mypy scripts benchmarks

bench: $(SET_UP)  ## ours beside its peers, every benchmark
	@for script in $(BENCHMARKS); do echo "== $$script"; $(BIN)/python $$script; done

# Everything it says goes to standard error: `make demo | …` is for records only.
$(SET_UP): pyproject.toml
	@{ \
	if [ -z "$(PYTHON)" ] || ! "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
		echo "needs Python 3.11 or newer; found: $$(python3 --version 2>/dev/null || echo none). Set PYTHON=… to one."; \
		exit 1; \
	fi; \
	if ! "$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv"; \
		exit 1; \
	fi; \
	echo "Setting up $(VENV) with $$("$(PYTHON)" --version). The first time takes some minutes (PyTorch is large)."; \
	$(BIN)/python -c pass 2>/dev/null || "$(PYTHON)" -m venv --clear $(VENV); \
	$(BIN)/python -m pip install --disable-pip-version-check -e '.[dev,embedded]'; \
	touch $@; \
	echo "Set up in $$SECONDS s."; \
	} >&2
