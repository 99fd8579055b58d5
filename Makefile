# make demo: the main job on real input. make test: everything a change must pass.
# Both build .venv by themselves; PYTHON=... picks another interpreter (3.12 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test slow lint docs bench clean

demo: $(VENV)/.netcdf
	$(BIN)/python -m examples.segmentation

# A file goes to one worker, which compiles what it needs once; threads of BLAS would only wait for
# each other where two workers share the cores.
test: export OMP_NUM_THREADS = 1
test: export OPENBLAS_NUM_THREADS = 1
test: $(VENV)/.test
	MPLBACKEND=agg $(BIN)/python -m pytest -n 2 --dist loadfile

slow: $(VENV)/.test
	MPLBACKEND=agg $(BIN)/python -m pytest -m slow

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

bench: $(VENV)/.bench
	$(BIN)/python -m tests.benchmarks

clean:
	rm -rf $(VENV) docs/_build docs/api/generated demo_output

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 12))' || { \
	  echo "pm_energy needs Python 3.12 or newer, but $(PYTHON) is $$($(PYTHON) --version 2>&1)."; \
	  echo "Install one and say: make PYTHON=python3.13 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

# one stamp for each optional extra
$(VENV)/.%: pyproject.toml $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	touch $@
