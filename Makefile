# make demo    set up, then run the main job on real clips
# make test    set up, then check and test everything
# make setup   the set-up alone: .venv, pinned dependencies, system libraries, models

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Debian packages: what MediaPipe's library is linked against; a real Postgres for the tests.
LIBRARIES := $(shell grep -v '^\#' infra/system-packages.txt)

.PHONY: setup demo test check system models bench-speed clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# //p' Makefile | head -3

setup: system $(READY) models

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is missing: install it first"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "$(PYTHON) is no Python 3.11, 3.12 or 3.13: run make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(READY)

# MediaPipe needs EGL and GLES even on the CPU. Where this may not install them, it says how.
system:
	@sh infra/system_packages.sh $(LIBRARIES)

models: $(READY)
	@$(BIN)/tracker models pull >/dev/null

demo: setup
	$(BIN)/tracker demo

# A file's tests share servers and clips, so they stay together.
test: setup check
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# About half an hour; make bench-speed ARGS=--quick takes a few minutes and says less.
bench-speed: setup
	$(BIN)/python -m benchmarks.speed $(ARGS)
	$(BIN)/python -m benchmarks.startup

clean:
	rm -rf $(VENV) workspace
