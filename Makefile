# On a machine with only make and Python 3.11: `make demo`, `make test`. Everything goes into .venv; deploy/bootstrap says how.

SETUP := sh deploy/bootstrap/with-python.sh deploy/bootstrap/setup.py
BIN := .venv/bin
# As many processes as there are cores; TEST_JOBS=0 runs the tests in one.
TEST_JOBS ?= auto
JOBS := -n $(TEST_JOBS) --dist loadfile --no-loadscope-reorder
# What a contributor's shell holds must not be found before what is locked.
unexport PYTHONPATH PYTHONHOME

.DEFAULT_GOAL := help
EXTRA := import sys, tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies'][sys.argv[1]], sep='\n')

.PHONY: help demo extra test lint types check bench bench-match bench-lake bench-query test-crash lock licences clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## a made-up firm, end to end, in its own home; DEMO_ARGS="--messages 1000"
	@$(SETUP)
	@$(BIN)/liuhen demo $(DEMO_ARGS)

extra: ## adds what an option needs, by its name in pyproject.toml; NAME=pdf
	@$(SETUP)
	@$(BIN)/python -c "$(EXTRA)" "$(NAME)" > .venv/extra.txt
	@$(BIN)/python $(wildcard deploy/bootstrap/pip-*.whl)/pip install --disable-pip-version-check -r .venv/extra.txt

test: ## the test suite; TEST_ARGS="tests/unit -k consent"
	@$(SETUP) dev
	@$(BIN)/python -m pytest $(JOBS) $(TEST_ARGS)

lint: ## ruff, and the licences of what is installed
	@$(SETUP) dev
	@$(BIN)/ruff check .
	@$(BIN)/python deploy/licences/check.py

types: ## mypy, strict
	@$(SETUP) dev
	@$(BIN)/mypy

check: lint types test ## lint, types and test

bench: ## every measurement; takes minutes
	@$(SETUP) dev
	@$(BIN)/python -m pytest -m bench -s $(TEST_ARGS)

bench-match: ## how fast keywords are found
	@$(SETUP) dev
	@$(BIN)/python -m pytest -m bench -s -k match $(TEST_ARGS)

bench-lake: ## how fast the archive is written, read and searched
	@$(SETUP) dev
	@$(BIN)/python -m pytest -m bench -s -k lake $(TEST_ARGS)

bench-query: ## how fast it is searched and asked; LIUHEN_BENCH_ROWS, LIUHEN_BENCH_QUERY
	@$(SETUP) dev
	@$(BIN)/python -m pytest -m bench -s -k query $(TEST_ARGS)

test-crash: ## kills the program at every durable step; takes minutes
	@$(SETUP) dev
	@$(BIN)/python -m pytest -m crash $(JOBS) $(TEST_ARGS)

lock: ## renews deploy/requirements from pyproject.toml; UPGRADE=1 takes the newest that fit
	@$(SETUP) lock
	@UPGRADE=$(UPGRADE) sh deploy/requirements/lock.sh

licences: ## the licence of every package the product needs, against the allow-list
	@$(SETUP)
	@$(BIN)/python deploy/licences/check.py --list

clean: ## removes what make built: .venv, caches, build folders
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
