# Works from any directory: make -f /path/to/invmask/Makefile app
ROOT := $(dir $(realpath $(lastword $(MAKEFILE_LIST))))
VENV := $(ROOT).venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.requirements
PORT ?= 8501
ADDRESS ?= localhost
# Whoever opens the dashboard to others reaches it under names that nobody knows beforehand.
HOSTS := $(if $(filter localhost 127.0.0.1,$(ADDRESS)),,--server.allowedHosts '*')

.DEFAULT_GOAL := help
.PHONY: help setup app test docs screenshots bench

help:
	@echo 'make app          the dashboard on http://$(ADDRESS):$(PORT) (PORT=..., ADDRESS=0.0.0.0 for a class)'
	@echo 'make test         every check and every test'
	@echo 'make screenshots  pictures of every page, for a look and for the manual'
	@echo 'make bench        measure speed and quality again'
	@echo 'make docs         the manual as HTML, in docs/_build'

setup: $(STAMP)

$(STAMP): $(ROOT)requirements.txt
	@for python in python3.11 python3 python3.12 python3.13; do \
	    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; python=; \
	done; \
	test -n "$$python" || { echo 'invmask needs Python 3.11 or newer: install it and try again.' >&2; exit 1; }; \
	"$(PYTHON)" -m pip --version >/dev/null 2>&1 || { echo 'Making $(VENV)' && "$$python" -m venv "$(VENV)" >/dev/null; } || \
	{ echo 'Python cannot make a virtual environment here: on Debian and Ubuntu, install python3-venv.' >&2; exit 1; }
	@echo 'Installing requirements.txt; the first time takes some minutes'
	@"$(PYTHON)" -m pip install --quiet --quiet --disable-pip-version-check --no-input -r "$(ROOT)requirements.txt"
	@touch "$@"

app: setup
	cd "$(ROOT)" && exec "$(PYTHON)" -m invmask.ui.server --server.port $(PORT) --server.address $(ADDRESS) $(HOSTS)

test: setup
	cd "$(ROOT)" && "$(PYTHON)" -m tests.browser.chromium
	cd "$(ROOT)" && "$(VENV)/bin/ruff" check . && "$(VENV)/bin/ruff" format --check .
	cd "$(ROOT)" && "$(VENV)/bin/pyright" --warnings
	cd "$(ROOT)" && "$(VENV)/bin/lint-imports" --no-logo
	cd "$(ROOT)" && "$(PYTHON)" -m pytest -m "not browser" -n logical --maxprocesses 4 --dist loadfile
	cd "$(ROOT)" && "$(PYTHON)" -m pytest -m browser

screenshots: setup
	cd "$(ROOT)" && "$(PYTHON)" -m tests.browser.screenshots

bench: setup
	cd "$(ROOT)" && "$(PYTHON)" -m benchmarks

docs: setup
	cd "$(ROOT)" && "$(PYTHON)" -m sphinx --fail-on-warning --keep-going --quiet docs docs/_build
	@echo 'The manual: $(ROOT)docs/_build/index.html'
