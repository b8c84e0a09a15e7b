# The commands of the book. `make` alone lists them.
PYTHON ?= python3
DATASET ?= ml-100k
JOBS ?= 2
PORT ?= 8000

ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif
PY := $(BIN)/python
READY := .venv/ready
LAB := .venv/lab
EXTRAS := .venv/extras
PRESS := $(PY) -m deepfm_helpers.press

.DEFAULT_GOAL := help
.PHONY: help setup data book execute record pdf test mutants lint lab serve bench clean

help:  ## list these commands
	@sed -n 's/^\([a-z]*\):.*## /  make \1|/p' Makefile | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'
	@echo "  DATASET=ml-100k|ml-1m|ml-latest-small|ml-32m|planted|planted-small chooses the data; DEEPFM_DATA=folder names a folder that holds it"

setup: $(READY)  ## create .venv and install everything into it

$(READY): constraints.txt pyproject.toml
	@$(PYTHON) -c "import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else \
	  'Python 3.11 to 3.13 is needed, but $(PYTHON) is %d.%d; name another: make setup PYTHON=python3.12' % v)"
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --disable-pip-version-check --require-hashes --requirement constraints.txt
	$(PY) -m pip install --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

data: $(READY)  ## find or fetch the data and verify it
	@$(PRESS) data --dataset $(DATASET)

book: $(READY)  ## execute every chapter and build the book
	@$(PRESS) book --dataset $(DATASET) --jobs $(JOBS)

pdf: $(READY)  ## print the whole book with its stored outputs as one PDF (needs Chromium)
	@$(PRESS) pdf

execute: $(READY)  ## regenerate the outputs stored in notebooks/ (some: NB="04 05")
	@$(PRESS) execute $(NB) --jobs $(JOBS)

record: $(READY)  ## make the runs on MovieLens-1M that the chapters quote (some: NB="04 08"; only confirm: CONFIRM=1)
	@$(PY) -m deepfm_helpers.sweeps.recording $(NB) --jobs $(JOBS) $(if $(CONFIRM),--confirm)

test: $(EXTRAS)  ## run every check, with one summary at the end
	@$(PY) tests/run_all.py

mutants: $(EXTRAS)  ## sabotage a copy of the project in many ways, and see that a test notices each
	@$(PY) tests/mutants.py --jobs $(JOBS)

lint: $(READY)  ## check style and layout of the code
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

lab: $(LAB)  ## open the notebooks in JupyterLab
	@$(PY) -m jupyterlab notebooks

$(LAB) $(EXTRAS): .venv/%: constraints-%.txt $(READY)
	$(PY) -m pip install --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

serve: $(READY)  ## serve the book that was built on DATASET at http://127.0.0.1:8000 (PORT=8000)
	@test -d _build/$(DATASET)/html || { echo "no book on $(DATASET) yet: run make book DATASET=$(DATASET)" >&2; exit 1; }
	@$(PY) -m http.server $(PORT) --bind 127.0.0.1 --directory _build/$(DATASET)/html

bench: $(READY)  ## time the book beside the post and other libraries (some: TASKS="reading training")
	@$(PY) -m benchmarks.run $(TASKS)

clean:  ## remove what was built, and .venv
	rm -rf _build .venv .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
