# Each target does its own set-up: a virtual environment with exactly what requirements.lock says, made again only when that changes.
MEMGAN_VENV ?= .venv
PYTHON ?= python3
CORES ?= all
WORKERS ?= 2

BIN := $(abspath $(MEMGAN_VENV))/bin
STAMP := $(MEMGAN_VENV)/.memgan
export PATH := $(BIN):$(PATH)
export OMP_NUM_THREADS ?= 1

.PHONY: table1 figures report stability dvc test test-slow lint format env clean-env

table1: env  ## results/table1.csv
	snakemake --cores $(CORES) results/table1.csv

figures: env  ## Table 1 and the figures of each of its runs
	snakemake --cores $(CORES) all

report: env  ## report.html: tables, scores and figures on one page, after `make figures`
	snakemake --cores $(CORES) --report report.html all

STABILITY := $(foreach run,short short_diffaugment short_spectral short_both,$(foreach seed,0 1 2,birdworld/$(run)/$(seed)))

stability: env  ## docs/STABILITY.md: what augmentation and spectral norm do on birdworld, three seeds: twelve short trainings
	snakemake --cores $(CORES) $(foreach one,$(STABILITY),results/$(one)/metrics.json results/$(one)/curves.csv)
	PYTHONPATH=src python -m memgan.report.stability $(addprefix results/,$(STABILITY))

dvc: env  ## what is derived: dvc.yaml from the rules (RUNS="..." for other runs), the JSON schema from the classes
	PYTHONPATH=src python -m memgan.params.schema
	PYTHONPATH=src python -m workflow.derive $(if $(RUNS),--runs $(RUNS))

test: env  ## all tests but the slow ones
	python -m pytest -n $(WORKERS) --dist loadgroup -m "not slow and not cluster"

test-slow: env  ## the tests that take minutes each
	python -m pytest -n $(WORKERS) --dist loadgroup -m slow

lint: env
	ruff check .
	ruff format --check .
	snakefmt --check --line-length 132 Snakefile workflow
	lint-imports
	snakemake --lint

format: env
	ruff format .
	ruff check --fix .
	snakefmt --line-length 132 Snakefile workflow

env:
	@want="$$(cat requirements.lock pyproject.toml | cksum) $(CURDIR)"; \
	if [ "$$want" != "$$(cat $(STAMP) 2>/dev/null)" ]; then \
	  set -e; \
	  test -x $(BIN)/python || $(PYTHON) -m venv $(MEMGAN_VENV); \
	  $(BIN)/python -m pip install --disable-pip-version-check -r requirements.lock; \
	  $(BIN)/python -m pip install --disable-pip-version-check --no-deps -e .; \
	  echo "$$want" > $(STAMP); \
	fi

clean-env:
	rm -rf $(MEMGAN_VENV)
