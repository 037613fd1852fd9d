## make study              a fresh small study on handwritten digits, from training to figures; ends with the one file to open
## make test               ruff, then all tests, the section notebooks against their committed outputs among them
## make grid STUDY=mnist   every run of params/mnist.yaml that has no record yet in results/; stop it whenever you like,
##                         the same command goes on.  STUDY="table_1 table_1_large": both.  CORES=8: that many runs at once.
##                         FORCE=1: runs that are done, too.  FLAGS="...": anything else for snakemake, as --dry-run; on a cluster
##                         FLAGS="--profile profiles/slurm" (docs/running.md)
## make sections           overview and section notebooks executed anew from results/, and the README's figure; after new records
## make claims             the README's scoreboard, from results/; after new records
## make site               README, docs and executed notebooks as one static site in runs/site/html; executes and downloads nothing
## make lab                JupyterLab with copies of the notebooks, in runs/lab: what is tried out there changes no grid
## make cpu                on a machine without a GPU, before anything else: torch's CPU build, 4 GB less to download
##
## The environment is made in .venv on first use (VENV=FOLDER: there instead; PYTHON=python3.12: with that Python).
PYTHON ?= python3
VENV ?= .venv
# One word of a shell, whatever is in it: a checkout's path may have a space or an apostrophe.
quoted = '$(subst ','\'',$(1))'
BIN = $(call quoted,$(VENV))/bin/python -m
SNAKEMAKE = $(BIN) snakemake $(if $(CORES),--cores $(CORES)) $(if $(FORCE),--forceall) $(FLAGS)
override DIGITS = runs/digits-study
SITE = runs/site
LAB = runs/lab
EXECUTED = notebooks/overview.ipynb notebooks/planner.ipynb notebooks/sections/*.ipynb
# This checkout's code, also where checkouts share an environment. (A comment behind a value would add its spaces to it.)
export PYTHONPATH := $(CURDIR)$(if $(PYTHONPATH),:$(PYTHONPATH))
# Jupyter, snakemake and numba write to HOME; where nobody may, they get a home in this checkout.
ifneq ($(shell test -w "$$HOME" && echo writable),writable)
export HOME := $(CURDIR)/runs/home
$(shell mkdir -p $(call quoted,$(HOME)))
endif

.PHONY: help study test grid named sections claims site lab cpu venv

help:
	@sed -n 's/^## \{0,1\}//p' Makefile

study: venv
	rm -rf $(DIGITS)
	$(SNAKEMAKE) --config study=digits
	$(BIN) papermill --no-progress-bar notebooks/sections/section_5_1.ipynb $(DIGITS)/section_5_1.ipynb -p results $(DIGITS)
	$(BIN) nbconvert --config tools/page.py $(DIGITS)/section_5_1.ipynb
	@echo; echo Open $(call quoted,$(CURDIR)/$(DIGITS)/section_5_1.html)

test: venv
	$(BIN) ruff check
	$(BIN) pytest -n $(or $(CORES),2) --dist loadfile $(FLAGS)

grid: named venv
	$(SNAKEMAKE) --config study=$(call quoted,$(STUDY))

ifneq ($(filter grid,$(MAKECMDGOALS)),)
venv: | named # also where make works on both at once
endif

named:
	@test -n $(call quoted,$(STUDY)) || { echo "make grid STUDY=NAME, where NAME is one of: $(basename $(notdir $(wildcard params/*.yaml)))"; exit 2; }

sections: venv
	$(BIN) nbconvert --log-level WARN --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False $(EXECUTED)
	@# what a cell printed in pieces is made one; nbconvert would do so before it executes
	$(BIN) nbconvert --log-level WARN --to notebook --inplace --coalesce-streams $(EXECUTED)
	$(BIN) sharedlabel.analysis.notebooks shrink $(EXECUTED)
	$(BIN) sharedlabel.analysis.notebooks extract notebooks/sections/section_5_1.ipynb "## The sweet spot" notebooks/sections/sweet_spot.png

claims: venv
	$(BIN) sharedlabel.analysis.claims README.md

site: venv
	rm -rf $(call quoted,$(SITE))
	$(BIN) sphinx -M html . $(call quoted,$(SITE)) -c docs --quiet --fail-on-warning --keep-going
	@echo; echo Open $(call quoted,$(CURDIR)/$(SITE)/html/index.html)

lab: venv
	@$(call quoted,$(VENV))/bin/python tools/lab.py $(call quoted,$(LAB))
	$(BIN) jupyter lab --ip=127.0.0.1 --ServerApp.root_dir=$(call quoted,$(LAB)) --LabApp.default_url=/lab/tree/notebooks/overview.ipynb $(FLAGS)

cpu:
	@$(call quoted,$(PYTHON)) tools/environment.py $(call quoted,$(VENV)) --cpu

# Made anew only where the text of the lock or of pyproject.toml has changed; a new clone's mtimes say nothing.
venv:
	@cat requirements.lock pyproject.toml | cmp -s - $(call quoted,$(VENV))/made-from || $(call quoted,$(PYTHON)) tools/environment.py $(call quoted,$(VENV))
