# make demo     see a backup and a restore
# make test     everything that must pass: checks, the model, then all tests with coverage
# make check    format, lint, types, imports, spelling, architecture: seconds
# make model    let Spin try every order of steps of backing up and deleting, in small worlds
# make nightly  the same tests with far more generated cases, and those that take minutes
# make fuzz     throw bytes at every decoder for ten minutes, guided by coverage
# make soak     sixteen hosts, keepers and restorers at once for ten minutes, killed at random
# make perf     the measurements of perf/README.md
# make clean    forget what was made here, .venv included

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DELETE_ON_ERROR:
.PHONY: demo test check model nightly fuzz soak perf clean

demo: $(VENV)/.runtime
	$(BIN)/python docs/demo.py

test: check model
	$(BIN)/python -m pytest --cov --cov-report=term

check: $(VENV)/.everything
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell
	$(BIN)/python -m pytest --quiet tests/architecture

# Needs gcc, and Debian's mirror once: Spin is unpacked into .tools/, nothing is installed.
model: $(VENV)/.everything
	$(BIN)/python -m tests.model.run

nightly: check
	$(BIN)/python -m tests.model.run --deep
	$(BIN)/python -m pytest --hypothesis-profile=deep -m "" -o timeout=7200

fuzz: $(VENV)/.everything
	$(PIP) 'atheris>=3.0,<3.1'
	$(BIN)/python -m tests.fuzz.fuzz_format -max_total_time=600

soak: $(VENV)/.everything
	$(BIN)/python -m tests.soak.soak --minutes 10

perf: $(VENV)/.everything
	$(BIN)/python -m perf.run

clean:
	rm -rf $(VENV) .tools .coverage .demo .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What the programs and the demo need; what the tests and checks need comes on top of it.
$(VENV)/.runtime: pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[demo]'
	touch $@

$(VENV)/.everything: pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[dev]'
	touch $(VENV)/.runtime $@

# The first interpreter that is new enough and complete enough.
$(BIN)/python:
	@for python in python3.11 python3 python3.13 python3.12; do \
	    $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	    $$python -m venv $(VENV) && exit 0; \
	    rm -rf $(VENV); \
	done; \
	echo "no Python 3.11 or newer can make a venv here; on Debian: apt-get install python3-venv" >&2; \
	exit 1
