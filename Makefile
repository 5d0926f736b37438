# `make demo` and `make test` are each the only command on a fresh clone: they install first, into .venv.
# An existing .venv is used as it is; `make install PYTHON=...` chooses the interpreter for a new one.

PYTHON ?= python3.11 python3.12 python3.13 python3
VENV ?= .venv
# `constraints-lowest.txt` for the oldest supported versions, `/dev/null` for the newest.
CONSTRAINTS ?= constraints.txt
BIN := $(VENV)/bin
STAMP := $(VENV)/.mmdiffperc-installed

.PHONY: install demo test smoke test-mmcv check-gpu sweep lint lint-repository docs linkcheck

install: $(STAMP)

demo: $(STAMP)
	$(BIN)/python tools/demo.py

# Two workers, because each holds its own copy of torch; a file stays on one worker, so its fixtures are built once.
test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile tests

# A minute that shows whether an environment works: `make smoke VENV=/tmp/other PYTHON=python3.13`.
smoke: $(STAMP)
	$(BIN)/python tests/smoke.py

# Eight minutes on a GPU: `make check-gpu PYTHON=python3` uses an environment that exists, and installs nothing.
check-gpu:
	PYTHONPATH=. $(firstword $(PYTHON)) tools/check_gpu.py

# All stock configs of configs/README.md, a few minutes; the page must say what is found.
sweep: $(STAMP)
	$(BIN)/python tools/sweep_stock_configs.py --check

# The same with full mmcv, in an environment that has it: `make test-mmcv BIN=/path/to/env/bin`.
test-mmcv:
	$(BIN)/python tools/sweep_stock_configs.py --check --full-mmcv

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/interrogate mmdiffperc mmdiffperc_cli
	$(MAKE) --no-print-directory lint-repository

# The files that GitHub, Read the Docs and citation tools read.
SCHEMA := $(BIN)/check-jsonschema --quiet --builtin-schema
lint-repository: $(STAMP)
	$(BIN)/zizmor --offline --quiet --min-severity medium --config .github/zizmor.yml .github/workflows
	$(SCHEMA) vendor.github-workflows .github/workflows/*.yml
	$(SCHEMA) vendor.dependabot .github/dependabot.yml
	$(SCHEMA) vendor.github-issue-forms .github/ISSUE_TEMPLATE/*_*.yml
	$(SCHEMA) vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(SCHEMA) vendor.readthedocs .readthedocs.yaml
	$(SCHEMA) vendor.citation-file-format --default-filetype yaml CITATION.cff

# The source folder is the whole repository, so that its README files are pages, too; any warning is an error.
SPHINX := $(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --conf-dir docs

docs: $(STAMP)
	$(SPHINX) --builder html . docs/_build/html

# Asks the internet whether the external links lead somewhere.
linkcheck: $(STAMP)
	$(SPHINX) --builder linkcheck . docs/_build/linkcheck

$(BIN)/python:
	@for python in $(PYTHON); do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    $$python -m venv $(VENV) && exit 0; rm -f $@; exit 1; \
	  fi; \
	done; \
	echo 'diffusers and transformers need Python 3.11 or newer; 3.11, 3.12 and 3.13 are tested.' \
	     'Found none among: $(PYTHON). Run: make install PYTHON=/path/to/python3.12' >&2; exit 1

$(STAMP): setup.py $(CONSTRAINTS) $(wildcard requirements/*.txt) | $(BIN)/python
	$(BIN)/python -m pip install --constraint $(CONSTRAINTS) --editable '.[all]'
	$(BIN)/python -m pip install --no-deps --requirement requirements/no-deps.txt
	@touch $@
