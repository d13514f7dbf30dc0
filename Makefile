# Every target sets up what it needs. `make help` explains them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export RAG_CACHE ?= $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/rag-operator
# CLUSTER=local builds and runs a Kubernetes of our own; CLUSTER=current uses the one KUBECONFIG points at.
export CLUSTER ?= local
export IMAGE_REGISTRY ?=

SOURCE_ROOTS := operator images/common images/embedder images/gateway images/indexer tests
empty :=
space := $(empty) $(empty)
export PYTHONPATH := $(subst $(space),:,$(SOURCE_ROOTS))
PY := .venv/bin/python
PYTEST := $(PY) -m pytest -q
VENV_KEY := $(shell cat requirements/uv.txt requirements/dev.txt | sha256sum | cut -c1-16)
VENV := $(RAG_CACHE)/venv-$(VENV_KEY)
# Prints how long a target took, and what it was.
DONE = @printf '\n== %s: done in %d s\n' "$@" "$$(( $$(date +%s) - $(STARTED) ))"
STARTED := $(shell date +%s)

.PHONY: help
help: ## Explain every target
	@awk 'BEGIN {FS = ":.*## "} /^[a-zA-Z0-9_-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---------------------------------------------------------------- set-up
.PHONY: venv lock generate
venv: ## Make the Python environment (kept in a cache, linked as .venv)
	@if [ ! -e $(VENV)/.complete ]; then \
	  echo "== Python environment: installing (about a minute)"; \
	  rm -rf $(VENV) && mkdir -p $(RAG_CACHE) && python3 -m venv $(VENV) && \
	  $(VENV)/bin/python -m pip install -q --require-hashes -r requirements/uv.txt && \
	  $(VENV)/bin/uv pip install -q --python $(VENV)/bin/python --require-hashes -r requirements/dev.txt && \
	  touch $(VENV)/.complete; \
	fi
	@ln -sfn $(VENV) .venv

LOCK = $(VENV)/bin/uv pip compile -q --generate-hashes --no-emit-index-url --no-header
lock: venv ## Pin requirements/*.in again
	$(LOCK) requirements/uv.in -o requirements/uv.txt
	$(LOCK) --python-version 3.11 requirements/dev.in -o requirements/dev.txt
	$(LOCK) --python-version 3.11 requirements/bench-infinity.in -o requirements/bench-infinity.txt
	for part in operator embedder embedder-gpu gateway indexer s3; do \
	  $(LOCK) --python-version 3.13 requirements/$$part.in -o requirements/$$part.txt; done

generate: venv ## Write the generated files: CRDs, the chart's copies and rights, API reference
	$(PY) -m rag_operator.generate

# ---------------------------------------------------------------- the cluster
# What a pipeline without vLLM needs; `make images` builds all, vLLM's image of 3 GB too.
PIPELINE_IMAGES := operator embedder gateway indexer milvus models s3

.PHONY: fetch cluster cluster-down cluster-env cluster-status images
# Before any test, for a test that waits for a compiler takes too long.
fetch: venv ## Build and download what the cluster and the tests need, without starting anything
	$(PY) -m cluster fetch
	$(DONE)

cluster: venv ## Start a real Kubernetes in a network namespace of its own
	$(PY) -m cluster up
	$(DONE)

cluster-down: venv ## Stop it and leave nothing behind
	$(PY) -m cluster down

cluster-env: ## Print the line that points kubectl at it
	@$(PY) -m cluster env

cluster-status: ## Say what runs
	@$(PY) -m cluster status

images: venv ## Build every Dockerfile and put the images where the kubelet finds them
	$(PY) -m cluster images $(IMAGES)
	$(DONE)

# ---------------------------------------------------------------- the main job
.PHONY: demo demo-down
demo: venv ## The main job end to end, as a story (CHAPTERS="..." for some of it, DOCUMENTS=300 for a short one)
	$(PY) -m cluster up
	$(PY) -m cluster images $(PIPELINE_IMAGES)
	$(PY) -m demo $(CHAPTERS) $(if $(DOCUMENTS),--documents $(DOCUMENTS))
	$(DONE)

demo-down: venv ## Take the demo away, and the cluster with it
	-$(PY) -m demo down
	$(PY) -m cluster down

# ---------------------------------------------------------------- tests
# By another name, for `make -n` really runs a line that has MAKE in it.
TWO_AT_A_TIME := $(MAKE) --no-print-directory --jobs=2 --output-sync=target
.PHONY: test lint unit simulation api integration e2e campaign
test: ## Set everything up and run every test
	@for target in lint fetch; do $(MAKE) --no-print-directory $$target; done
	@$(TWO_AT_A_TIME) simulation unit api
	@for target in integration e2e; do $(MAKE) --no-print-directory $$target; done
	$(DONE)

lint: venv ## Style, types, import contracts, generated files
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	$(MAKE) --no-print-directory generate
	git diff --exit-code --stat -- crds charts docs || { echo "generated files are stale: run 'make generate' and commit"; exit 1; }
	$(DONE)

unit: venv ## Fast tests of the logic (under two minutes)
	$(PYTEST) tests/unit
	$(DONE)

simulation: venv ## Simulated rollouts with golden logs and random orders
	$(PYTEST) tests/simulation
	$(DONE)

api: fetch ## The API against a real API server
	$(PYTEST) tests/api
	$(DONE)

# Both halves wait more than they compute, take about as long, and share no server.
integration: fetch ## The data plane against a real Milvus; the operator against a real API server, with faults
	$(TWO_AT_A_TIME) integration-operator integration-milvus
	$(DONE)

.PHONY: integration-operator integration-milvus
# The embedder is here because the other half takes longer without it.
WITHOUT_MILVUS := tests/integration/operator tests/integration/embedder tests/integration/cluster
integration-operator:
	@$(PYTEST) -m "not campaign" $(WITHOUT_MILVUS)

integration-milvus:
	@$(PYTEST) -m "not campaign" $(addprefix --ignore=,$(WITHOUT_MILVUS)) tests/integration

# Rollouts wait more than they compute, and each test has a namespace and an operator of its own: two at a time.
LONGEST := tests/e2e/test_rollout_models.py tests/e2e/test_rollout_builds.py
ROLLOUTS := $(wildcard tests/e2e/test_rollout_*.py) tests/e2e/test_documented_commands.py
e2e: venv ## Real cluster, real images
	$(PY) -m cluster up
	$(PY) -m cluster images $(PIPELINE_IMAGES)
	status=0; $(PYTEST) -m "not campaign" --ignore=tests/e2e/vllm $(addprefix --ignore=,$(ROLLOUTS)) tests/e2e || status=$$?; \
	  $(TWO_AT_A_TIME) rollouts-long rollouts-others || status=$$?; \
	  [ "$${KEEP_CLUSTER:-}" ] || $(PY) -m cluster down; exit $$status
	$(DONE)

.PHONY: rollouts-long rollouts-others
rollouts-long:
	@$(PYTEST) -m "not campaign" $(filter $(LONGEST),$(ROLLOUTS))

rollouts-others:
	@$(PYTEST) -m "not campaign" $(filter-out $(LONGEST),$(ROLLOUTS))

.PHONY: bench-embedder bench-gateway
bench-embedder: venv ## The embedder beside infinity-emb, in one run (about 8 minutes; 5.6 GB the first time)
	$(PY) -m bench.embedder --output tests/bench/embedder/RESULTS.md
	$(DONE)

bench-gateway: venv ## What the gateway adds to its upstreams' time
	$(PY) -m bench.gateway
	$(DONE)

.PHONY: e2e-vllm
e2e-vllm: venv ## A pipeline whose generator is vLLM on a CPU (builds an image of 3 GB)
	$(PY) -m cluster up
	$(PY) -m cluster images $(PIPELINE_IMAGES) generator tiny-llm
	$(PYTEST) tests/e2e/vllm
	$(DONE)

campaign: venv ## The fault campaigns, whole (hours); vLLM's tests are e2e-vllm's alone
	RAG_CAMPAIGN=1 $(PYTEST) tests/simulation tests/integration
	$(PY) -m cluster up
	$(PY) -m cluster images $(PIPELINE_IMAGES)
	RAG_CAMPAIGN=1 $(PYTEST) --ignore=tests/e2e/vllm tests/e2e
	$(DONE)
