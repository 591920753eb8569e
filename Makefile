# One command from a fresh clone: `make plan` plans an example, `make test` runs every test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXAMPLE ?= examples/social-media/pipeline.yaml

.PHONY: plan test setup lint format benchmark clean

plan: $(VENV)/ready-run
	$(BIN)/inferline plan $(EXAMPLE)

test: $(VENV)/ready-dev lint
	$(BIN)/pytest -n 2 --dist worksteal

setup: $(VENV)/ready-dev

lint: $(VENV)/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/ready-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark: $(VENV)/ready-dev
	$(BIN)/python -m benchmarks.simulator
	$(BIN)/python -m benchmarks.planner

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# The marks are newer than pyproject.toml when the environment is up to date.
$(VENV)/ready-run: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/ready-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@ $(VENV)/ready-run

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
