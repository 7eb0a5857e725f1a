# Clawback's commands. `make` alone lists them; each works on a fresh clone with Python 3.11 or
# later and make, and sets up `.venv` first if that is needed. Only relative paths are used, so
# that a folder with spaces in its name works too.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
SHELL := /bin/sh
# Containers often set it; each process would then compile all it loads, and a tree has many.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input
RUNTIME := .venv/.runtime
DEV := .venv/.dev
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-emit-find-links
# Passed on to the command behind a target: make test ARGS="-k refund"
ARGS ?=
# Give the path of an interpreter to choose it: make demo PYTHON=/opt/python/bin/python3
PYTHON ?=

.PHONY: help
help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: $(RUNTIME) ## Start everything, play a refund for real, go on serving (ONCE=1: stop after it)
	@$(BIN)/clawback dev $(if $(filter-out 0,$(ONCE)),--once) $(ARGS)

.PHONY: serve
serve: $(RUNTIME) ## Serve the API on the PostgreSQL of DATABASE_URL
	@$(BIN)/clawback serve $(ARGS)

.PHONY: test
test: $(DEV) ## Run the tests, with a hundredth of the counts; the tidy tests are of `make check`
	@$(BIN)/python -m pytest -n 3 --dist loadscope --ignore tests/tidy $(ARGS)

.PHONY: test-long
test-long: $(DEV) ## Run all tests with their full counts (an hour or more)
	@LONG=1 $(BIN)/python -m pytest -n 3 --dist loadscope -m '' --timeout 3600 $(ARGS)

.PHONY: check
check: $(DEV) ## Lint, formatting, types and the tidy tests
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/tidy

.PHONY: format
format: $(DEV) ## Format the code and repair what the linter can
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

.PHONY: bench
bench: $(RUNTIME) ## Measure beside the control, renew docs/bench (ARGS="--quick": 50 s, no page)
	@$(BIN)/clawback bench $(or $(ARGS),--report --into docs/bench)

.PHONY: schema
schema: $(RUNTIME) ## Write the committed schema dump anew from the migrations
	@$(BIN)/clawback db schema > .venv/schema.sql
	@mv .venv/schema.sql clawback/db/schema.sql

.PHONY: lock
lock: $(DEV) ## Resolve requirements/*.in into the hash-locked requirements/*.txt
	@$(COMPILE) requirements/runtime.in requirements/build.in -o requirements/runtime.txt
	@$(COMPILE) requirements/dev.in requirements/build.in -c requirements/runtime.txt \
		-o requirements/dev.txt

.PHONY: clean
clean: ## Remove the environment and the tools' caches; never data
	@rm -rf .venv build dist clawback.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find clawback tests -type d -name __pycache__ -prune -exec rm -rf {} +

# The environment, in three steps, each with a stamp: a repeated call does nothing.

.venv/.made:
	@found=; lacking=; \
	for name in $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3); do \
		"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		if "$$name" -c 'import ensurepip, venv' 2>/dev/null; then found="$$name"; break; fi; \
		lacking="$${lacking:-$$name}"; \
	done; \
	if [ -z "$$found" ] && [ -n "$$lacking" ]; then \
		package=$$("$$lacking" -c \
			'import sys; print("python%d.%d-venv" % sys.version_info[:2])'); \
		echo "$$lacking cannot make virtual environments: ensurepip is missing." >&2; \
		echo "On Debian and Ubuntu: apt-get install $$package" >&2; exit 1; \
	elif [ -z "$$found" ]; then \
		echo "Python 3.11 or later was not found (looked for $(if $(PYTHON),$(PYTHON),python3.13, \
	python3.12, python3.11 and python3))." >&2; \
		echo "On Debian and Ubuntu: apt-get install python3 python3-venv" >&2; exit 1; \
	fi; \
	echo "Making .venv with $$found"; \
	rm -rf .venv && "$$found" -m venv .venv
	@touch $@

$(RUNTIME): .venv/.made requirements/runtime.txt requirements/runtime.in pyproject.toml
	@echo "Installing what Clawback needs to run (once)"
	@$(PIP) install --require-hashes -r requirements/runtime.txt
	@$(PIP) install --no-deps --no-build-isolation --config-settings editable_mode=compat -e .
	@$(BIN)/python -m compileall -q clawback
	@touch $@

$(DEV): $(RUNTIME) requirements/dev.txt
	@echo "Installing the test tools (once)"
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@
