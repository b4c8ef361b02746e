# Two commands are all there is to know: `make demo` and `make test`. Each sets up its own environment.
PYTHON ?= python3
VENV ?= .venv
LOWEST ?= .venv-lowest
HANDOFFS ?= .venv-handoffs
TOOLS ?= ppxf lime-stable
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo test test-lowest test-handoffs lint types docs bench clean

help:
	@echo "make demo         simulate an archive, serve it, and do the main job with the real client"
	@echo "make test         check style, types and behaviour"
	@echo "make test-lowest  check behaviour with the lowest versions that pyproject.toml allows"
	@echo "make test-handoffs   check hand-offs with fitting tools themselves ($(TOOLS))"
	@echo "make docs         build the documentation's site into docs/_build/html"
	@echo "make bench        measure speed against peers, and write docs/benchmarks.md"
	@echo "make clean        remove the environment, caches and the demo's output"

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(STAMP)
	MPLBACKEND=agg $(BIN)/campfire demo --root demo

test: lint types
	MPLBACKEND=agg $(BIN)/python -m pytest -q -n 2 --doctest-modules campfire
	MPLBACKEND=agg $(BIN)/python -m pytest -q -n 2 --dist loadfile

# The environment is made anew: what is lowest changes with pyproject.toml.
test-lowest:
	rm -rf $(LOWEST)
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV=$(LOWEST) $(LOWEST)/bin/uv pip install --quiet --resolution lowest-direct --editable '.[dev]'
	MPLBACKEND=agg $(LOWEST)/bin/python -m pytest -q -n 2 --dist loadfile

# Tools that take long to install, or bring other versions along, are not part of `make test`.
test-handoffs:
	test -x $(HANDOFFS)/bin/python || $(PYTHON) -m venv $(HANDOFFS)
	$(HANDOFFS)/bin/python -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV=$(HANDOFFS) $(HANDOFFS)/bin/uv pip install --quiet --editable '.[dev]' $(TOOLS)
	MPLBACKEND=agg $(HANDOFFS)/bin/python -m pytest -q -n 2 --dist loadfile tests/handoffs

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

docs: $(STAMP)
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

bench: $(STAMP)
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) $(LOWEST) $(HANDOFFS) demo build dist docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis
