# `make` lists what there is to do. Everything is installed into .venv, and only again when its list changes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
WORKERS ?= 2

# On Linux the package index holds PyTorch with gigabytes of CUDA. Without an NVIDIA GPU the CPU build is asked for as
# well; where it cannot be reached, pip takes what it can get.
ifeq ($(shell uname -s)$(shell command -v nvidia-smi),Linux)
CPU_TORCH := --extra-index-url https://download.pytorch.org/whl/cpu
endif

# BlazePose's networks are plain data inside the mediapipe wheel, the same for every system; of its code nothing is run,
# and what it depends on contradicts the rest. So one wheel is unpacked, whatever the Python.
BLAZEPOSE := --no-deps --only-binary :all: --python-version 3.12 --platform manylinux_2_17_x86_64 mediapipe==0.10.14

VIDEO ?=
ARGS ?=
SAMPLE := samples/demo.mp4

.DEFAULT_GOAL := help
.PHONY: help demo install test lint types format clean
.DELETE_ON_ERROR:

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  Python $$($(PYTHON) --version 2>&1 | cut -d' ' -f2) is used; choose another with PYTHON=python3.12."

ifeq ($(VIDEO),)
demo: $(VENV)/.installed $(SAMPLE) ## from a sample video to the person's motion in the world; VIDEO=my.mp4 takes yours
	$(BIN)/diffopt fit --config configs/demo.yaml source=$(SAMPLE) out=out/demo overwrite=true $(ARGS)
else
demo: $(VENV)/.installed
	$(BIN)/diffopt fit --config configs/demo.yaml source="$(VIDEO)" $(ARGS)
endif

install: $(VENV)/.installed ## .venv with diffopt and all it needs to read videos

test: $(VENV)/.installed-dev ## the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

lint: $(VENV)/.installed-dev ## style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev ## static types
	$(BIN)/pyright

format: $(VENV)/.installed-dev ## bring the code into its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove .venv and all caches; results in out/ and clips in samples/ stay
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "diffopt needs Python 3.10 or newer, but \
	$(PYTHON) is $$($(PYTHON) --version 2>&1); name a newer one, e.g. make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# PyTorch alone and without its dependencies, so that the CPU index is asked once, briefly, and for nothing else.
$(VENV)/.torch: constraints.txt | $(BIN)/python
	@echo "Installing PyTorch (200 MB without CUDA) ..."
	$(PIP) install --quiet --no-deps --retries 0 --timeout 15 $(CPU_TORCH) "$$(grep '^torch==' constraints.txt)"
	@touch $@

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt $(VENV)/.torch
	@echo "Installing diffopt (about a minute) ..."
	$(PIP) install --quiet -c constraints.txt -e '.[video]'
	@$(BIN)/python -c 'from diffopt.frontend.blazepose import find_models; find_models()' 2> /dev/null || $(PIP) install \
	--quiet --target "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" $(BLAZEPOSE)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install --quiet -c constraints.txt -e '.[video,dev]'
	$(PIP) install --quiet --no-deps sweeps==0.3.0 # W&B's schema of sweep files; what it depends on contradicts the rest
	@touch $@

$(SAMPLE): scripts/fetch_sample.py | $(VENV)/.installed
	$(BIN)/python scripts/fetch_sample.py $@
