# `make` alone prints this list. Everything runs in .venv, which `make setup` fills from requirements.txt.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
# dvc.yaml says `python`: it must be the one of .venv.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PYTHONUNBUFFERED := 1
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup repro prepare tokenize train evaluate export verify chat serve preset metrics plots report gate compare dag mlflow \
        test test-all coverage lint format typecheck check lock clean clean-all

help:  ## this list
	@grep -hE '^[a-z -]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "make %-10s  %s\n", $$1, $$2}'

$(READY): requirements.txt
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV), a few minutes the first time"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

setup: $(READY)  ## make .venv with everything pinned in requirements.txt

repro: setup  ## run what has changed, from data to exported model
	@python -m stages.check
	@dvc repro
	@python -m stages.report

prepare tokenize train evaluate export: setup  ## one stage and those before it, where they changed
	@dvc repro $@

verify: setup  ## run the last commit again in a clone elsewhere: do the same bits come out? KEEP=1 leaves the clone
	@python -m stages.verify $(if $(KEEP),--keep)

chat: setup  ## talk to the exported model in the terminal
	@python -m stages.chat

serve: setup  ## talk to it in the browser, http://127.0.0.1:5000
	@python -m stages.serve

preset: setup  ## merge presets/NAME.yaml into params.yaml: make preset NAME=...
	@python -m stages.preset "$(NAME)"

metrics: setup  ## figures now, and against the last commit
	@dvc metrics show
	@dvc metrics diff

plots: setup  ## learning curves as a page in dvc_plots/
	@dvc plots show

report: setup  ## metrics/report.html anew, with what changed since the last commit
	@python -m stages.report

gate: setup  ## hold the figures against `gates` in params.yaml: make gate [AGAINST=revision], default where you left main
	@python -m stages.gate $(if $(AGAINST),--against "$(AGAINST)") $(if $(BRANCH),--branch "$(BRANCH)")

compare: setup  ## what a pull request would say: make compare [AGAINST=revision]
	@python -m stages.compare $(if $(AGAINST),--against "$(AGAINST)") $(if $(BRANCH),--branch "$(BRANCH)")

dag: setup  ## the stages as a graph
	@dvc dag

mlflow: setup  ## MLflow's page of all runs, http://127.0.0.1:5001
	@mlflow ui --backend-store-uri sqlite:///mlflow.db --port 5001

test: setup  ## the tests, a few minutes
	@python -m pytest -n 2 -m "not slow" --cov --cov-report=term:skip-covered

test-all: setup  ## the slow tests too: whole pipelines
	@python -m pytest -n 2 --cov --cov-report=term:skip-covered

lint: setup  ## ruff
	@ruff check . && ruff format --check .

format: setup  ## let ruff put the layout right
	@ruff check --fix . && ruff format .

typecheck: setup  ## mypy
	@mypy

check: lint typecheck test  ## all three

lock:  ## compile pyproject.toml into requirements.txt (asks the package index)
	@test -x .lock/bin/pip-compile || { $(PYTHON) -m venv .lock && .lock/bin/pip install --quiet pip-tools; }
	@.lock/bin/pip-compile --quiet --extra dev --strip-extras --no-header --no-annotate --no-emit-index-url \
	  --no-emit-find-links --output-file requirements.txt pyproject.toml
	@sed -i -E 's/\+cpu$$//' requirements.txt

clean:  ## remove what the stages made (kept in DVC's cache)
	@rm -rf data/prepared data/tokenized models/finetuned models/export dvc_plots htmlcov .coverage

clean-all: clean  ## also .venv, DVC's cache, checkpoints and the tracker
	@rm -rf $(VENV) .lock .dvc/cache .dvc/tmp .checkpoints mlflow.db mlartifacts
