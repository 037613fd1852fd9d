## make study              a fresh small study on handwritten digits, from training to figures; ends with the one file to open
## make test               ruff, then all tests, the section notebooks against their committed outputs among them
## make grid STUDY=mnist   every run of params/mnist.yaml that has no record yet in results/; stop it whenever you like,
##                         the same command goes on.  STUDY="table_1 table_1_large": both.  CORES=8: that many runs at once.
##                         FORCE=1: runs that are done, too.  FLAGS="...": anything else for snakemake, as --dry-run; on a cluster, after
##                         .venv/bin/pip install -e .[slurm], FLAGS="--executor slurm --jobs 100"
## make sections           the section notebooks executed anew from results/, and the README's figure; after new records
## make lab                JupyterLab with the notebooks
##
## The environment is made in .venv on first use (VENV=FOLDER: there instead; PYTHON=python3.12: with that Python).
PYTHON ?= python3
VENV ?= .venv
BIN = $(abspath $(VENV))/bin/python -m
SNAKEMAKE = $(BIN) snakemake $(if $(CORES),--cores $(CORES)) $(if $(FORCE),--forceall) $(FLAGS)
DIGITS = runs/digits-study
export PYTHONPATH := $(CURDIR)$(if $(PYTHONPATH),:$(PYTHONPATH))  # this checkout, also where checkouts share an environment

.PHONY: help study test grid named sections lab venv

help:
	@sed -n 's/^## \{0,1\}//p' $(firstword $(MAKEFILE_LIST))

study: venv
	rm -rf $(DIGITS)
	$(SNAKEMAKE) --config study=digits
	$(BIN) papermill --no-progress-bar notebooks/sections/section_5_1.ipynb $(DIGITS)/section_5_1.ipynb -p results $(DIGITS)
	$(BIN) nbconvert --log-level WARN --to html $(DIGITS)/section_5_1.ipynb
	@echo; echo "Open $(CURDIR)/$(DIGITS)/section_5_1.html"

test: venv
	$(BIN) ruff check
	$(BIN) pytest $(FLAGS)

grid: named venv
	$(SNAKEMAKE) --config study="$(STUDY)"

named:
	@test -n "$(STUDY)" || { echo "make grid STUDY=NAME, where NAME is one of: $(basename $(notdir $(wildcard params/*.yaml)))"; exit 2; }

sections: venv
	$(BIN) nbconvert --log-level WARN --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False notebooks/sections/*.ipynb
	@# what a cell printed in pieces is made one; nbconvert would do so before it executes
	$(BIN) nbconvert --log-level WARN --to notebook --inplace --coalesce-streams notebooks/sections/*.ipynb
	$(BIN) sharedlabel.analysis.notebooks shrink notebooks/sections/*.ipynb
	$(BIN) sharedlabel.analysis.notebooks extract notebooks/sections/section_5_1.ipynb "## The sweet spot" notebooks/sections/sweet_spot.png

lab: venv
	$(BIN) jupyter lab $(FLAGS)

# Made anew only where the text of the lock or of pyproject.toml has changed; a new clone's mtimes say nothing.
venv:
	@cat requirements.lock pyproject.toml | cmp -s - $(VENV)/made-from || { \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "needs Python 3.11 or later: make PYTHON=...")' && \
	  echo "making the environment in $(VENV), a few minutes the first time" && \
	  { test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV); } && \
	  $(VENV)/bin/python -m pip install --quiet --requirement requirements.lock && \
	  $(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable . && \
	  cat requirements.lock pyproject.toml > $(VENV)/made-from; }
