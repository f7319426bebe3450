# Everything that a clone needs, from Python 3.11+ and make alone, without root.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(VENV)/bootstrap/bin/uv

.PHONY: help drill test lint check pictures bench clean
help:
	@echo "make drill   rehearse: a broken service, a stand-in Slack, the terminal screens"
	@echo "make test    the test suite"
	@echo "make lint    formatting, lint, types, import contracts"
	@echo "make check   lint and test, as CI runs them"
	@echo "make bench   benchmarks: ratios against a peer or a physical limit"
	@echo "make pictures  the pictures in the docs, from a real drill"

# uv is taken from the environment when it is there, and else into a folder of its own.
$(BIN)/.ready: pyproject.toml uv.lock
	@set -e; uv=$$(command -v uv || true); \
	if [ -z "$$uv" ]; then \
	  test -x $(VENV)/bootstrap/bin/python || $(PYTHON) -m venv $(VENV)/bootstrap; \
	  $(VENV)/bootstrap/bin/python -m pip install --quiet --disable-pip-version-check uv; \
	  uv=$(UV); \
	fi; \
	test -x $(BIN)/python || $$uv venv --quiet --allow-existing --python $(PYTHON) $(VENV); \
	UV_PROJECT_ENVIRONMENT=$(VENV) $$uv sync --quiet --frozen --python $(BIN)/python
	@touch $@

drill: $(BIN)/.ready
	@$(BIN)/runbookd drill

test: $(BIN)/.ready
	@$(BIN)/pytest

lint: $(BIN)/.ready
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

check: lint test

pictures: $(BIN)/.ready
	@$(BIN)/python -m tests.e2e.pictures

bench: $(BIN)/.ready
	@$(BIN)/python -m tests.benchmarks

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
