# Two commands for strangers: `make sound` and `make test`. The rest is for those who change arctone; see CONTRIBUTING.md.

PYTHON ?= python3
PROMPT ?= funky drum loop, 120 BPM
WORKERS ?= 2
PIP = -m pip --disable-pip-version-check --quiet
# The small environment of users and the large one of developers are apart: torch never enters the first.
BASE = .venv
DEV = .venv-dev
DEV_PYTHON = $(DEV)/bin/python
# Modules are compiled when they are first imported: most of the 25,000 that come with torch and the rest never are, and
# compiling them all takes pip two minutes.
DEV_INSTALL = $(DEV_PYTHON) $(PIP) install --no-compile
# Tests start many small programs: with their bytecode kept, each imports in a fraction of the time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help sound web dist test scale setup check format bench docs gpu clean
.DEFAULT_GOAL := help

help:  ## list the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

sound: $(BASE)/.installed  ## install the base (no torch) and make one WAV
	@mkdir -p outputs
	$(BASE)/bin/arctone generate "$(PROMPT)" --duration 11.89 --seed 7 --out outputs/first.wav --force
	@echo
	@echo "Listen to outputs/first.wav, then try:"
	@echo "  $(BASE)/bin/arctone generate \"rain on a tin roof\" -d 8"
	@echo "or activate the environment, so that the program is called arctone: . $(BASE)/bin/activate"

web: $(BASE)/.installed  ## write the bundled model as a web page that needs no server, in build/web
	$(BASE)/bin/arctone export web spark build/web --force
	@echo
	@echo "Serve it with any program for static files, for instance:"
	@echo "  $(PYTHON) -m http.server -d build/web"

dist:  ## build the wheel and the sdist, and try both in empty environments
	$(PYTHON) -m tools.dist

test: $(DEV)/.installed  ## install everything and run all tests, in two processes (WORKERS=2)
	$(DEV_PYTHON) -m pytest -n $(WORKERS) --durations=25 $(TESTS)

scale: $(DEV)/.scale  ## install Ray as well (500 MB), so that the tests of many machines run too

setup: $(DEV)/.installed  ## install everything, and the git hooks of .pre-commit-config.yaml
	$(DEV)/bin/pre-commit install

check: $(DEV)/.installed  ## format, lint, types, layers, and pages that must match the program
	@$(MAKE) --no-print-directory -j 2 check-pages check-types check-code

# Two at a time: each is one process at work, and most of the time goes into the site and into types.
.PHONY: check-pages check-types check-code
check-pages: $(DEV)/.installed
	$(DEV_PYTHON) -m tools.site
	$(DEV_PYTHON) -m tools.reference --check
	$(DEV_PYTHON) -m benchmarks.report --check

check-types: $(DEV)/.installed
	$(DEV)/bin/mypy

check-code: $(DEV)/.installed
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/ruff check .
	$(DEV)/bin/lint-imports
	$(DEV)/bin/hadolint Containerfile
	$(DEV_PYTHON) -m tools.docstrings
	$(DEV_PYTHON) -m tools.changelog
	$(DEV_PYTHON) -m tools.vendor --check
	$(DEV_PYTHON) -m tools.interface --check
	$(DEV_PYTHON) -m tools.words

format: $(DEV)/.installed  ## let ruff rewrite what it can
	$(DEV)/bin/ruff check --fix .
	$(DEV)/bin/ruff format .

docs: $(DEV)/.installed  ## write the generated pages again, and build the site in build/site
	$(DEV_PYTHON) -m tools.reference
	$(DEV_PYTHON) -m benchmarks.report
	$(DEV_PYTHON) -m tools.site

bench: $(BASE)/.installed $(DEV)/.installed  ## measure, and write the numbers into README and docs
	$(DEV_PYTHON) -m benchmarks.latency --program $(BASE)/bin/arctone
	$(DEV_PYTHON) -m benchmarks.autoencoder_table
	$(DEV_PYTHON) -m benchmarks.adherence
	$(DEV_PYTHON) -m benchmarks.editing
	$(DEV_PYTHON) -m benchmarks.report

gpu: $(DEV)/.installed  ## on a GPU: CUDA tests, latency, an ARC pair at true size, training
	$(DEV_PYTHON) -m benchmarks.gpu

clean:  ## remove environments, caches and outputs
	rm -rf $(BASE) $(DEV) outputs build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(BASE)/.installed: pyproject.toml constraints-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "arctone needs Python 3.11 or newer: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(BASE)
	$(BASE)/bin/python $(PIP) install -c constraints-dev.txt -e .
	@touch $@

# One pip command, so that the pinned torch is chosen together with all that asks for it.
$(DEV)/.installed: pyproject.toml constraints-dev.txt requirements-nodeps.txt requirements-clients.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "arctone needs Python 3.11 or newer: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(DEV)
	$(DEV_INSTALL) $(PIP_OPTIONS) -c constraints-dev.txt -e ".[dev]"
	$(DEV_INSTALL) --no-deps -r requirements-nodeps.txt
	$(DEV_INSTALL) -r requirements-clients.txt
	@touch $@

$(DEV)/.scale: $(DEV)/.installed
	$(DEV_INSTALL) $(PIP_OPTIONS) -c constraints-dev.txt -e ".[scale]"
	$(DEV_INSTALL) -r requirements-clients.txt
	@touch $@
