# `make` alone prints this list. Everything runs in .venv, which `make setup` fills from requirements.txt.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
# dvc.yaml says `python`: it must be the one of .venv.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PYTHONUNBUFFERED := 1
READY := $(VENV)/.ready
OUTS := data/prepared data/tokenized models/finetuned models/export

.DEFAULT_GOAL := help
.PHONY: help setup repro base prepare tokenize train evaluate export verify restore recheck chat serve preset metrics plots report \
        gate compare dag mlflow torture test test-all lint format typecheck check lock bench profile clean clean-all

help:  ## list the targets
	@grep -hE '^[a-z -]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "make %-10s  %s\n", $$1, $$2}'

$(READY): requirements.txt
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV), a few minutes the first time"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

setup: $(READY)  ## make .venv with everything pinned in requirements.txt

repro: setup  ## run what has changed, from data to exported model
	@python -m lockstep check
	@dvc repro
	@python -m lockstep report

base: setup  ## list the bases, fetch one (make base NAME=...) or add yours (NAME=mine FROM=folder, .gguf file or Hub id; FORCE=1)
	@python -m lockstep base $(if $(NAME),"$(NAME)") $(if $(FROM),--from "$(FROM)") $(if $(FORCE),--force)

prepare tokenize train evaluate export: setup  ## one stage and those before it, where they changed
	@dvc repro $@
	@$(if $(filter evaluate export,$@),python -m lockstep report)

restore: recheck  ## bring back data, model and metrics of the last commit; params.yaml and data/raw stay as they are
	@git checkout --quiet HEAD -- dvc.lock metrics
	@dvc status --quiet || true  # what is damaged in DVC's cache goes
	@dvc checkout --force $(OUTS) || { echo "Not in DVC's cache any more: \`dvc pull\` fetches it, \`make repro\` makes it again." >&2; exit 1; }

recheck: setup  ## make DVC hash every byte again: `make recheck repro` finds and mends what changed on the disk
	@for folder in "$$(dvc cache dir)/files" models/bases $(OUTS); do \
	  if [ -d "$$folder" ]; then find "$$folder" -type f -exec chmod u+w {} + -exec touch {} +; fi; done

verify: setup  ## run the last commit again in a clone elsewhere: do the same bits come out? KEEP=1 leaves the clone
	@python -m lockstep verify $(if $(KEEP),--keep)

chat: setup  ## talk to the exported model in the terminal
	@python -m stages.chat

serve: setup  ## talk to it in the browser, http://127.0.0.1:5000
	@python -m stages.serve

preset: setup  ## merge presets/NAME.yaml into params.yaml: make preset NAME=...
	@python -m lockstep preset "$(NAME)"

metrics: setup  ## compare the metrics with those of the last commit
	@dvc metrics diff --all --targets metrics/prepare.json metrics/tokenize.json metrics/train.json metrics/evaluate.json

plots: setup  ## show the learning curves, in dvc_plots/
	@dvc plots show

report: setup  ## lay out metrics/report.html, with what changed since the last commit
	@python -m lockstep report

gate: setup  ## check the metrics against `gates` in params.yaml: make gate [AGAINST=revision; default: where you left main]
	@python -m lockstep gate $(if $(AGAINST),--against "$(AGAINST)") $(if $(BRANCH),--branch "$(BRANCH)")

compare: setup  ## print what a pull request will say: make compare [AGAINST=revision]
	@python -m lockstep compare $(if $(AGAINST),--against "$(AGAINST)") $(if $(BRANCH),--branch "$(BRANCH)")

dag: setup  ## draw the stages as a graph
	@dvc dag

mlflow: setup  ## open MLflow's page of all runs, http://127.0.0.1:5001
	@mlflow ui --backend-store-uri sqlite:///mlflow.db --port 5001

test: setup  ## run the tests, a few minutes
	@python -m pytest -n 2 -m "not slow" --cov --cov-report=term:skip-covered

test-all: setup  ## run the slow tests too: whole pipelines
	@python -m pytest -n 2 --cov --cov-report=term:skip-covered

torture: setup  ## inject 100 faults into a small project and see that nothing is lost, half an hour; table in docs/reliability.md
	@python -m benchmarks.torture --faults 100 --seed 2 --minutes 80 --workers 2 --write-docs

lint: setup  ## run ruff
	@ruff check . && ruff format --check .

format: setup  ## format with ruff
	@ruff check --fix . && ruff format .

typecheck: setup  ## run mypy
	@mypy

check: lint typecheck test  ## run lint, typecheck and test

lock:  ## compile pyproject.toml into requirements.txt (asks the package index)
	@test -x .lock/bin/pip-compile || { $(PYTHON) -m venv .lock && .lock/bin/pip install --quiet pip-tools; }
	@.lock/bin/pip-compile --quiet --extra dev --strip-extras --no-header --no-annotate --no-emit-index-url \
	  --no-emit-find-links --output-file requirements.txt pyproject.toml
	@sed -i -E 's/\+cpu$$//' requirements.txt

bench: setup  ## time training beside the usual recipes, an hour: tables and chart in docs/performance.md
	@python -c "import trl" 2>/dev/null || { echo "error: the rival recipes need TRL: .venv/bin/pip install 'trl>=1.16'"; exit 2; }
	@mkdir -p benchmarks/results
	@python -m benchmarks.side_by_side benchmarks/results/82M.json --title "82M shape"
	@python -m benchmarks.side_by_side benchmarks/results/base.json --title "embedded base" --shape base
	@python -m benchmarks.training_step benchmarks/results/step.json
	@python -m benchmarks.performance_page benchmarks/results/82M.json benchmarks/results/base.json

profile: setup  ## profile a training step: profile/trace.json and the twenty most expensive operations
	@python -m benchmarks.profile_step profile

clean:  ## remove what the stages made (kept in DVC's cache)
	@rm -rf $(OUTS) dvc_plots htmlcov .coverage

clean-all: clean  ## also .venv, fetched bases, DVC's cache, checkpoints and the tracker
	@rm -rf $(VENV) models/bases .lock .dvc/cache .dvc/tmp .checkpoints mlflow.db mlartifacts mlruns
