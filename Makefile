# `make demo` and `make test` are each the only command on a fresh clone: they install first, into .venv.
# An existing .venv is used as it is; `make install PYTHON=...` chooses the interpreter for a new one.

PYTHON ?= python3.11 python3.12 python3
BIN := .venv/bin
STAMP := .venv/.mmdiffperc-installed

.PHONY: install demo test test-mmcv sweep lint docs linkcheck

install: $(STAMP)

demo: $(STAMP)
	$(BIN)/python tools/demo.py

# Two workers, because each holds its own copy of torch; a file stays on one worker, so its fixtures are built once.
test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile tests

# All stock configs of configs/README.md, a few minutes; the page must say what is found.
sweep: $(STAMP)
	$(BIN)/python tools/sweep_stock_configs.py --check

# The same with full mmcv, in an environment that has it: `make test-mmcv BIN=/path/to/env/bin`.
test-mmcv:
	$(BIN)/python tools/sweep_stock_configs.py --check --full-mmcv

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/interrogate mmdiffperc

# The source folder is the whole repository, so that its README files are pages, too; any warning is an error.
SPHINX := $(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --conf-dir docs

docs: $(STAMP)
	$(SPHINX) --builder html . docs/_build/html

# Asks the internet whether the external links lead somewhere.
linkcheck: $(STAMP)
	$(SPHINX) --builder linkcheck . docs/_build/linkcheck

.venv/bin/python:
	@for python in $(PYTHON); do \
	  if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null; then \
	    $$python -m venv .venv && exit 0; rm -rf .venv; exit 1; \
	  fi; \
	done; \
	echo 'Python 3.11 or 3.12 is needed: diffusers and transformers want 3.11 or newer, and the pinned numpy has no' \
	     'wheel for 3.13. None of these is one: $(PYTHON). Run: make install PYTHON=/path/to/python3.11' >&2; exit 1

$(STAMP): setup.py constraints.txt $(wildcard requirements/*.txt) | .venv/bin/python
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[all]'
	$(BIN)/python -m pip install --no-deps --requirement requirements/no-deps.txt
	@touch $@
