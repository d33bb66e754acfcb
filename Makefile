# `make demo` and `make test` are all the set-up there is: each builds its own environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# slow proofs are sized by this: 1 is the fixed, seeded part that CI runs, larger is more rounds
export SOC_TEST_SIZE ?= 1
WORKERS ?= 2

.PHONY: demo test check lint format docs clean

demo: $(READY) ## a day with an attack, from logs to playbook, on this machine
	@$(BIN)/soc demo

test: $(READY) lint ## everything, with a real Elasticsearch that the tests fetch and start
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

check: $(READY) lint ## the quick gate while working: a few minutes
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -q -m "not slow and not elastic"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

docs: $(READY) ## write docs/reference/ from the code
	$(BIN)/python -m soc.cli.reference docs/reference

clean:
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache dist

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "soc needs Python 3.11 or newer; set PYTHON=python3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@
