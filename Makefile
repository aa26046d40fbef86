# `make demo` and `make test` set everything up in .venv and need nothing but Python 3.11 and make.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: demo test check benchmarks docs clean

.venv/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: .venv/installed
	$(BIN)/marsfolio demo

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config setup.cfg

test: check
	$(BIN)/pytest -n 2

benchmarks: .venv/installed
	$(BIN)/python benchmarks/write.py

docs: .venv/installed
	$(BIN)/python tools/reference.py
	$(BIN)/zensical build --clean

clean:
	rm -rf .venv build site *.egg-info .mypy_cache .ruff_cache .pytest_cache
