# The index of everything one does here: `make help`. Continuous integration calls the same targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
MAKEFLAGS += --no-print-directory

DEMO ?= 1
PORT ?= 8080
HOST := 127.0.0.1
YES ?=
EMPTY := $(if $(filter 0 no false,$(DEMO)),--no-demo,--demo)

# Without compiled bytecode every start costs seconds more.
export PYTHONDONTWRITEBYTECODE :=

STATE := .uplift
BIN := .venv/bin
# What Uplift needs to run, and on top of it what tests and checks need: the second is several times as large.
RUN := .venv/.run
DEV := .venv/.dev
MEMBERS := $(sort $(dir $(wildcard libs/*/pyproject.toml services/*/pyproject.toml)))
RUN_MEMBERS := $(filter-out libs/testkit/,$(MEMBERS))
PROJECTS := $(addsuffix pyproject.toml,$(MEMBERS))
# How the generated pages are compared with the code they come from.
DOCS_CHECK := $(BIN)/uplift docs --check

# The machine's uv if it has one, else our own in this folder.
OWN_UV := $(STATE)/uv-venv/bin/uv
UV := $(or $(shell command -v uv),$(OWN_UV))

##@ Run

up: $(RUN) ## Start everything on one port; DEMO=0 starts empty, PORT=9000 HOST=127.0.0.1 elsewhere
	@exec $(BIN)/uplift up $(EMPTY) --port $(PORT) --host $(HOST)

stack: programs ## The real stack as plain processes: Kafka, MongoDB, Keycloak, Envoy, Prometheus; data in .uplift/stack
	@exec $(BIN)/python -m testkit.stack $(if $(filter 0 no false,$(DEMO)),--no-demo) $(ARGS)

reset: $(RUN) ## Forget the data of a mode (DEMO=0: of the empty one); asks first, or YES=1; refused while running
	@exec $(BIN)/uplift reset $(EMPTY) $(if $(filter 1 yes true,$(YES)),--yes)

setup: $(DEV) ## Install what is locked into this folder, for tests and checks too
	@:

##@ Test

test: test-parts test-stack ## The whole suite

test-fast: setup ## What takes no more than a few seconds and no program beside PostgreSQL
	@$(BIN)/pytest -n auto --dist loadfile -m "not slow and not stack and not cluster" $(ARGS)

programs: setup ## Fetch and build the programs that tests start: Kafka, MongoDB's wire, Keycloak
	@$(BIN)/python -m testkit.programs

test-parts: programs ## Everything but what needs the whole real stack
	@$(BIN)/pytest -n auto --dist loadfile -m "not stack and not cluster" $(ARGS)

cluster-test: setup ## The Helm charts: lint, schemas, policies, values; releases under real controllers; no cluster is needed
	@$(BIN)/python -m testkit.programs cluster
	$(BIN)/pytest -n auto --dist loadfile -m cluster $(ARGS)

test-stack: programs ## The flow, faults and figures on the real stack
	@$(BIN)/pytest -m stack $(ARGS)

check: setup ## Style, types, import rules, unused code and dependencies, spelling, generated pages
	@echo "ruff";         $(BIN)/ruff check --quiet .
	echo "ruff format";   $(BIN)/ruff format --check --quiet . || { echo "Run \`make fmt\`."; exit 1; }
	echo "bandit";       $(BIN)/bandit --quiet --recursive --configfile pyproject.toml libs services
	echo "basedpyright";  $(BIN)/basedpyright
	echo "lint-imports";  $(BIN)/lint-imports
	echo "service lists"; $(BIN)/python -m testkit.scaffold lists --check
	echo "codespell";     $(BIN)/codespell
	echo "vulture";       $(BIN)/python -m testkit.dead_code
	echo "deptry";        $(BIN)/python -m testkit.dependencies
	echo "generated docs"; $(DOCS_CHECK)
	echo "dashboards";   $(BIN)/python -m testkit.dashboards --check
	echo "charts";       $(BIN)/python -m testkit.charts --check
	echo "shifts";       $(BIN)/uplift scaling render charts/uplift/shifts/*.yaml --into charts/uplift/values --check

fuzz: setup ## Thousands of made-up requests to every service, an hour and more; ARGS='-k ingest' for one
	@$(BIN)/pytest tests/hostile --hypothesis-profile fuzz --timeout 7200 $(ARGS)

load: setup ## Measure the embedded shape beside the limits of its parts
	@$(BIN)/python -m tests.load $(ARGS)

load-fairness: setup ## Measure how long a live call waits while another tenant's backlog is worked off
	@$(BIN)/python -m tests.load.fairness $(ARGS)

load-stack: setup ## Measure the real stack beside a plain FastAPI service; latency through Envoy
	@$(BIN)/python -m tests.load.on_stack $(ARGS)

chaos: setup ## Kills, outages and overload at full size, as a table
	@$(BIN)/python -m tests.chaos $(ARGS)

##@ Work on it

fmt: setup ## Put the code into shape
	@$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

new: setup ## Scaffold a service: S=shift-plans
	@$(BIN)/python -m testkit.scaffold new "$(S)"
	$(BIN)/python -m testkit.scaffold lists --write
	$(MAKE) services

services: setup ## Generate what follows from the list of services, contracts.ALL_SERVICES: lists and pages
	@$(BIN)/python -m testkit.scaffold lists --write
	$(BIN)/python -m testkit.charts --write
	$(BIN)/uplift docs --write
	$(BIN)/python -m testkit.charts --write

shifts: $(RUN) ## Render the shift windows of every environment from today on, as the nightly workflow does
	@$(BIN)/uplift scaling render charts/uplift/shifts/*.yaml --into charts/uplift/values

revision: setup ## Draft the revision that is missing: SERVICE=ingest (or platform, broker, oidc) NAME=told_twice
	@$(BIN)/python -m testkit.revisions add "$(SERVICE)" "$(NAME)"

freeze: setup ## Record new revisions; those that are recorded never change
	@$(BIN)/python -m testkit.revisions freeze

lock: | $(UV) ## Resolve the dependencies anew into both locks; ARGS=--upgrade for newer ones
	@compile() {
	  $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	    --no-annotate $(patsubst %,--no-emit-package %,$(shell sed -n 's/^name = "\(.*\)"/\1/p' $(PROJECTS))) "$$@" $(ARGS)
	}
	compile $(addsuffix pyproject.toml,$(RUN_MEMBERS)) -o requirements.lock
	compile --group dev $(PROJECTS) --constraint requirements.lock -o requirements-dev.lock

clean: ## Remove what was installed and built; data stays
	@rm -rf .venv $(STATE)/uv-venv .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path "./.venv/*" -prune -exec rm -rf {} +

help: ## This page
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: up stack reset setup test test-fast programs test-parts cluster-test test-stack check fuzz load load-fairness load-stack chaos fmt new services shifts revision freeze lock clean help

# Installing

define find_python
for name in python3.11 python3 python3.13 python3.12; do
  if command -v $$name >/dev/null && $$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null
  then python=$$(command -v $$name); break; fi
done
if [ -z "$${python:-}" ]; then
  echo "Python 3.11, 3.12 or 3.13 is missing. Install one (Debian: apt install python3 python3-venv) and repeat." >&2; exit 1
fi
endef

define check_writable
for folder in . .venv $(STATE); do
  if [ -e $$folder ] && [ ! -w $$folder ]; then
    echo "The folder $$(realpath $$folder) cannot be written. Give it to $$(id -un), or clone somewhere else." >&2; exit 1
  fi
done
endef

$(OWN_UV): requirements-uv.lock
	@$(check_writable)
	$(find_python)
	if ! $$python -c 'import venv, ensurepip' 2>/dev/null; then
	  echo "$$python lacks venv. Install it (Debian: apt install python3-venv) and repeat." >&2; exit 1
	fi
	echo "Installing uv into $(STATE)/uv-venv"
	$$python -m venv --clear $(STATE)/uv-venv
	$(STATE)/uv-venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	  -r requirements-uv.lock || {
	    echo "uv could not be installed. Check the network, or the index that pip is configured to use." >&2; exit 1; }
	touch $@

define install
$(check_writable)
started=$$SECONDS
$(find_python)
$(UV) venv --quiet --allow-existing --no-python-downloads --python $$python .venv
export VIRTUAL_ENV="$(CURDIR)/.venv" UV_LINK_MODE=$${UV_LINK_MODE:-hardlink}
install_failed() {
  echo "The packages could not be installed. Check the network, or the index that uv is configured to use." >&2; exit 1
}
endef

define installed
echo "Installed in $$((SECONDS - started)) s: $$(du -sh .venv | cut -f1) in .venv"
endef

$(RUN): requirements.lock pyproject.toml $(PROJECTS) | $(UV)
	@$(install)
	echo "Installing what requirements.lock names into .venv"
	$(UV) pip install --quiet --require-hashes -r requirements.lock || install_failed
	$(UV) pip install --quiet --no-deps $(addprefix -e ,$(RUN_MEMBERS))
	touch $@
	$(installed)

$(DEV): requirements-dev.lock requirements.lock pyproject.toml $(PROJECTS) | $(UV)
	@$(install)
	rm -f $(RUN) $@
	echo "Installing what requirements-dev.lock names into .venv"
	$(UV) pip sync --quiet --require-hashes requirements-dev.lock || install_failed
	echo "Installing the $(words $(MEMBERS)) members of this workspace"
	$(UV) pip install --quiet --no-deps $(addprefix -e ,$(MEMBERS))
	touch $(RUN) $@
	$(installed)
