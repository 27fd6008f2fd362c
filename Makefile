# Each target does its own set-up: a virtual environment with exactly what requirements.lock says, made again only when that changes.
MEMGAN_VENV ?= .venv
PYTHON ?= python3
CORES ?= all
WORKERS ?= 2

BIN := $(abspath $(MEMGAN_VENV))/bin
STAMP := $(MEMGAN_VENV)/.memgan
OUTSIDE := $(subst $(BIN):,,$(PATH))
export PATH := $(BIN):$(OUTSIDE)
export OMP_NUM_THREADS ?= 1

.PHONY: table1 retrieval figures ablations sanity stability report dvc test test-slow test-cluster lint format env venv clean-env

table1: env  ## results/table1.csv
	snakemake --cores $(CORES) results/table1.csv

retrieval: env  ## results/retrieval.csv: how well each retrieval strategy does, with figures; no GAN is trained for it
	snakemake --cores $(CORES) results/retrieval.csv

figures: env  ## Table 1 and the figures of each of its runs
	snakemake --cores $(CORES) all

ablations: env  ## every run of params.yaml on a short preset with several seeds, and docs/ABLATIONS.md: up to 90 minutes on 2 cores
	snakemake --cores $(CORES) results/ablations.csv
	PYTHONPATH=src python -m memgan.report.fill --table results/ablations.md --picture results/ablations/ablations.png \
	  --document docs/ABLATIONS.md

sanity: env  ## results/sanity.csv: real images, ours and an untrained generator under the same scores, on all data sets of Table 1
	snakemake --cores $(CORES) results/sanity.csv

report: figures  ## report.html: Table 1, its figures and what else has been made, on one page that opens in any browser
	snakemake --report report.html

STABILITY := $(foreach run,ours diffaugment spectral diffaugment_spectral,$(foreach seed,0 1 2,birdworld_few/$(run)/$(seed)))

stability: env  ## docs/STABILITY.md: what augmentation and spectral norm do on a birdworld of few images, three seeds: half an hour
	snakemake --cores $(CORES) $(foreach one,$(STABILITY),results/$(one)/metrics.json results/$(one)/curves.csv)
	PYTHONPATH=src python -m memgan.report.stability $(addprefix results/,$(STABILITY))

dvc: env  ## what is derived: dvc.yaml from the rules (RUNS="..." for other runs, ABLATIONS=1), the JSON schema from the classes
	PYTHONPATH=src python -m memgan.params.schema
	PYTHONPATH=src python -m workflow.derive $(if $(RUNS),--runs $(RUNS)) $(if $(ABLATIONS),--ablations)

test: env  ## all tests but the slow ones
	python -m pytest -n $(WORKERS) --dist loadgroup -m "not slow and not cluster"

test-slow: env  ## the tests that take minutes each
	python -m pytest -n $(WORKERS) --dist loadgroup -m slow

# Nothing here may hang: neither apt, which waits for locks and servers, nor a Slurm that does not come up.
test-cluster: env  ## a real Slurm on this machine, started and ended by the tests, and the options of the cluster profiles; as root
	@for tool in slurmctld slurmd munged; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	if [ "$$missing" ]; then \
	  echo "not here:$$missing; installing Debian's slurm-wlm and munge"; \
	  export DEBIAN_FRONTEND=noninteractive; \
	  timeout 300 apt-get update -qq && timeout 600 apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null; \
	fi
	@want="$$(cksum < requirements-cluster.lock)"; \
	if [ "$$want" != "$$(cat $(MEMGAN_VENV)/cluster/.memgan 2>/dev/null)" ]; then \
	  set -e; \
	  rm -rf $(MEMGAN_VENV)/cluster; \
	  echo "installing the executor plugins into $(MEMGAN_VENV)/cluster"; \
	  $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --target $(MEMGAN_VENV)/cluster -r requirements-cluster.lock; \
	  echo "$$want" > $(MEMGAN_VENV)/cluster/.memgan; \
	fi
	timeout --verbose --kill-after=30 1800 python -m pytest -m cluster -o faulthandler_timeout=1500

lint: env
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	lint-imports
	snakemake --lint

format: env
	ruff format .
	ruff check --fix .
	snakefmt Snakefile workflow

env: venv
	@want="$$(cat requirements.lock pyproject.toml | cksum) $(CURDIR)"; \
	if [ "$$want" != "$$(cat $(STAMP) 2>/dev/null)" ]; then \
	  set -e; \
	  $(BIN)/python -m pip install --disable-pip-version-check -r requirements.lock; \
	  $(BIN)/python -m pip install --disable-pip-version-check --no-deps -e .; \
	  echo "$$want" > $(STAMP); \
	fi

NEW_ENOUGH := sys.exit(sys.version_info < (3, 11))

# One without pip (its making was cut off) or of an older Python is made anew. What is no virtual environment is never cleared.
# The Python that makes it is looked for outside it, even where it is active.
venv:
	@$(BIN)/python -c 'import pip, sys; $(NEW_ENOUGH)' 2>/dev/null && exit; \
	export PATH="$(OUTSIDE)"; \
	if ! $(PYTHON) -c 'import sys; $(NEW_ENOUGH)' 2>/dev/null; then \
	  has="$$($(PYTHON) --version 2>/dev/null || echo not there)"; \
	  echo "memgan needs Python 3.11 or newer; $(PYTHON) is $$has; name another: make PYTHON=python3.12 ..." >&2; exit 1; \
	fi; \
	if [ "$$(ls -A $(MEMGAN_VENV) 2>/dev/null)" ] && [ ! -f $(MEMGAN_VENV)/pyvenv.cfg ]; then \
	  echo "$(MEMGAN_VENV): has no Python 3.11 or newer with pip, and is no virtual environment; name another: make MEMGAN_VENV=..." >&2; \
	  exit 1; \
	fi; \
	$(PYTHON) -m venv --clear $(MEMGAN_VENV)

clean-env:
	rm -rf $(MEMGAN_VENV)
