# `make demo`, `make test`, and `make check` before a commit. Each makes the environment in .venv if it is not there.
PYTHON ?= python3.11
CORES ?= 2
# One job more than cores: while one begins or ends, another computes.
JOBS := $(shell expr $(CORES) + 1)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo published test test-cluster test-fast check lint types lock readme docs

demo: $(VENV)/.complete
	$(BIN)/snakemake --cores $(JOBS)
	@cat results/demo/table1.md
	@echo "Table 1: results/demo/table1.html   Figure 2: results/demo/figure2.png   sites: results/demo/gallery.png"
	@echo "Factories: results/demo/{ms,mm,mo}/factory/seed0/samples.png"

# The published run: three training seeds on each of three sets of phantoms, nine times the demo; then one table of all.
PHANTOMS := phantoms10 phantoms11 phantoms12
published: $(VENV)/.complete
	for run in $(PHANTOMS); do $(BIN)/snakemake --cores $(JOBS) --configfile config/published/$$run.yaml || exit 1; done
	$(BIN)/fedfactory merge $(PHANTOMS:%=results/%) --out results/published

# Tests run side by side, each computing with one thread; those of one file stay together, and files keep their order.
# One process more than cores: those of Fed-BioMed mostly wait for its servers.
test: lint types $(VENV)/validators/.complete
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not slurm" --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder

# profiles/slurm on a real Slurm of one node, where one can be installed; says why where not.
test-cluster: $(VENV)/.complete
	if tests/workflow/cluster/one_node.sh install; then $(BIN)/pytest -m slurm -rs; fi

# What a change needs to hear within two minutes.
check: lint types test-fast

test-fast: $(VENV)/.complete
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not slow and not workflow and not fedbiomed and not slurm and not browser" \
		--numprocesses $(CORES) --dist loadfile

lint: $(VENV)/.complete $(VENV)/snakefmt/.complete
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(VENV)/snakefmt/bin/snakefmt --check Snakefile rules workflow
	$(BIN)/snakemake --lint

types: $(VENV)/.complete
	$(BIN)/mypy

# Resolve the lock anew (needs the network); afterwards read the difference and run the tests.
lock:
	$(PYTHON) envs/make_lock.py

# The pages of docs/ as a site in build/docs.
docs: $(VENV)/.complete
	$(BIN)/sphinx-build -q -W -b html docs build/docs

# Put tables and pictures of a finished demo, and the benchmarks' tables, into README and docs (needs Chromium).
readme: $(VENV)/.complete
	$(BIN)/python -m docs.update_readme

# The lock pins every package; torch's own CUDA libraries come with the versions that torch pins itself.
$(VENV)/.complete: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || \
		{ echo "FedFactory needs Python 3.11, and '$(PYTHON)' is not it;" \
		"install it or call make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# What checks descriptions of runs and data, by its makers; only tests need it.
$(VENV)/validators/.complete: envs/validators.lock | $(VENV)/.complete
	$(PYTHON) -m venv $(VENV)/validators
	$(VENV)/validators/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

# snakefmt wants another version of a shared dependency than Snakemake: an environment of its own.
$(VENV)/snakefmt/.complete: envs/snakefmt.lock | $(VENV)/.complete
	$(PYTHON) -m venv $(VENV)/snakefmt
	$(VENV)/snakefmt/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@
