# `make demo` and `make test` are all a newcomer needs: each sets up .venv first if it is missing or out of date.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
PYTEST_ARGS ?=
QUALITY_ARGS ?=
LOCK_ARGS ?=
FUZZ_COUNT ?= 400
FUZZ_SEED ?= 0

.PHONY: help install demo test fuzz coverage lint format docs bench bench-quality lock clean
.DEFAULT_GOAL := help

help: ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

install: $(INSTALLED) ## Set up .venv with the pinned packages and this project

# setuptools is pinned in the lock as well, so the project is built with it and nothing unpinned is fetched.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: Python 3.11 or newer is needed; say which: make PYTHON=python3.12 ..." >&2; exit 2; }
	@echo "Setting up .venv (a few minutes and about 6 GB the first time)"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(INSTALLED) ## Learn, extract and score on generated pictures, from scratch, in about 8 minutes
	$(BIN)/python examples/demo.py

# Two processes, a thread each: tiny networks gain nothing from more threads.
test: $(INSTALLED) ## Run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --color=no -n 2 --dist loadfile $(PYTEST_ARGS)

fuzz: $(INSTALLED) ## Try thousands of malformed files on every command (FUZZ_COUNT of each kind, from FUZZ_SEED on)
	FUZZ_COUNT=$(FUZZ_COUNT) FUZZ_SEED=$(FUZZ_SEED) $(BIN)/python -m pytest --color=no --timeout=7200 tests/fuzz $(PYTEST_ARGS)

# Before Python 3.12 this takes about 1.4 times as long as `make test`; from then on the interpreter helps to count lines.
coverage: $(INSTALLED) ## Run the tests and show which fraction of the lines they reach
	COVERAGE_CORE=$$($(BIN)/python -c 'import sys; print("sysmon" if sys.version_info >= (3, 12) else "ctrace")') \
		$(BIN)/python -m pytest --color=no --cov $(PYTEST_ARGS)

lint: $(INSTALLED) ## Check style, formatting, types and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED) ## Put the code into the form that lint asks for
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

docs: $(INSTALLED) ## Build the documentation into build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

bench: $(INSTALLED) ## Time what must be fast
	$(BIN)/python -m pytest --color=no --benchmark-enable --benchmark-only $(PYTEST_ARGS)

bench-quality: $(INSTALLED) ## Measure quality row by row into docs/results.md: hours; goes on where it stopped
	$(BIN)/python -m pipelines.quality $(QUALITY_ARGS)

lock: ## Resolve requirements.lock again, keeping its pins where they still fit (LOCK_ARGS=--upgrade renews them)
	$(PYTHON) -m venv build/uv
	build/uv/bin/python -m pip install --quiet uv
	build/uv/bin/uv pip compile --quiet pyproject.toml --extra dev --universal --python-version 3.11 --no-annotate \
		--custom-compile-command "make lock" $(LOCK_ARGS) --output-file requirements.lock

clean: ## Remove what was built, except .venv
	rm -rf build demo *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .benchmarks .coverage
