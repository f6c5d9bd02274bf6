# Everything the project installs lives in .tools, .venv and the per-user cache; nothing needs root. As root,
# `make test` also installs the Celery tests' brokers and the page's browser from the distribution's packages.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
UV_VERSION := 0.13.9
UV := .tools/bin/uv
BIN := .venv/bin
SETUP := .venv/.installed

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(UV):
	@echo "Installing uv $(UV_VERSION) into .tools"
	@$(PYTHON) -m venv .tools
	@.tools/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(SETUP): $(UV) pyproject.toml requirements.lock
	@echo "Installing the locked dependencies into .venv"
	@test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) .venv
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

setup: $(SETUP) ## Install the locked dependencies into .venv

demo: $(SETUP) ## Transcribe the sample recordings through the whole pipeline
	@$(BIN)/whisperfleet demo

up: $(SETUP) ## Run the pipeline on this machine until Ctrl-C; options in ARGS="--servers 2"
	@$(BIN)/whisperfleet up $(ARGS)

check: $(SETUP) ## Lint, types and import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

test: check ## Pass everything that needs no cluster
	@$(BIN)/whisperfleet install-tools
	@tests/install-programs redis-server rabbitmq-server chromium
	@$(BIN)/python -m pytest -n $(or $(TEST_WORKERS),4)

cluster-up: $(SETUP) ## Have a Kubernetes cluster to test on; options in ARGS="--provider node"
	@$(BIN)/python -m tests.e2e.cluster up $(ARGS)

cluster-images: $(SETUP) ## Build the images into the cluster; some of them with ARGS="operator models"
	@$(BIN)/python -m tests.e2e.cluster images $(ARGS)

e2e: $(SETUP) ## Pass everything on a real cluster; some of it with ARGS="-k healing"
	@$(BIN)/python -m pytest tests/e2e --timeout 600 -o timeout_func_only=true $(ARGS)

cluster-down: $(SETUP) ## Take that cluster away
	@$(BIN)/python -m tests.e2e.cluster down

chaos: $(SETUP) ## Kill everything in turn while 200 jobs run, and count them; options in ARGS="--seed 2"
	@$(BIN)/whisperfleet install-tools
	@$(BIN)/python -m chaos $(ARGS)

chaos-cluster: $(SETUP) ## The same in Kubernetes, pods and kubelet too, with 300 jobs; options in ARGS="--jobs 40"
	@$(BIN)/python -m chaos.cluster $(ARGS)

bench: $(SETUP) ## Measure speed and overhead beside their goals; some figures alone: ARGS="decode_ms"
	@$(BIN)/python -m bench $(ARGS)

bench-operator: $(SETUP) ## Measure the operator at a real API server beside its goals; some figures: ARGS="heal"
	@$(BIN)/python -m bench.operator $(ARGS)

chaos-bot: $(SETUP) ## Kill bot, gateway and NATS under 300 recordings; writes build/chaos-bot.json
	@$(BIN)/python services/bot/tests/chaos_bot.py --out build/chaos-bot.json

page-images: $(SETUP) ## Draw the web page's states into docs/images again
	@WHISPERFLEET_PAGE_IMAGES=docs/images $(BIN)/python -m pytest -q tests/page

.venv/.demo-model: $(SETUP) models/demo/requirements.lock
	@echo "Installing what training needs into .venv"
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes --requirement models/demo/requirements.lock
	@touch $@

demo-model: .venv/.demo-model ## Make the demo model from nothing, in hours; goes on where it stopped
	@$(BIN)/python -m models.demo make $(ARGS)

demo-model-eval: $(SETUP) ## Measure the demo model: the table of its model card
	@$(BIN)/python -m models.demo evaluate $(ARGS)

lock: $(UV) ## Resolve pyproject.toml into requirements.lock again
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" --no-annotate \
	  --all-extras --group dev --group bench --group build --output-file requirements.lock pyproject.toml
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" --no-annotate \
	  --constraints requirements.lock --group demo-model --output-file models/demo/requirements.lock

generate: $(SETUP) ## Write what is made from the code again: manifests/crds and copies, docs/spec.md, docs/settings.md, deploy/nats.conf
	@$(BIN)/python -m whisper_operator.crd.generate
	@$(BIN)/python -m docs.settings
	@$(BIN)/python -m whisper_dispatcher.local.vm_nats > deploy/nats.conf

clean: ## Remove what the project installed in this folder; the cache stays
	@rm -rf .tools .venv build

.PHONY: help setup demo up check test e2e chaos chaos-bot chaos-cluster bench bench-operator cluster-up cluster-images cluster-down page-images demo-model demo-model-eval lock generate clean
