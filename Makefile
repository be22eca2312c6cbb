# Everything happens inside this folder: the environment lives in .venv, nothing is installed elsewhere.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DOJO_ARGS ?=
# Test runs use every core; PYTEST_ARGS=... passes more options.
WORKERS ?= auto
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
# Environments of the agent frameworks that cannot share the first one; langchain lives there.
FRAMEWORKS := agents crewai praisonai mcp1

.PHONY: help setup demo demo-crew demo-praisonai test test-long test-frameworks lint bench bench-recognizers bench-agentdojo train eval-heldout docs lock clean bench-peers bench-frameworks bench-channel bench-detectors

help: ## list the verbs
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## create the environment from the lock (names, versions and hashes)

$(READY): requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "python -m venv failed; on Debian: apt install python3-venv" >&2; exit 1; }
	@echo "installing the locked packages into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## attack a real agent twice, unguarded and guarded; MODEL=provider:name MODEL_ARGS="key=value ..." for yours
	@$(BIN)/agentguard demo $(if $(MODEL),--model '$(MODEL)') $(foreach arg,$(MODEL_ARGS),--model-arg '$(arg)') $(DEMO_ARGS)

demo-crew: .venv-crewai/.ready ## the same with a CrewAI crew of three and a poisoned source
	@cd examples && ../.venv-crewai/bin/python -m newsroom.crewai_newsroom

demo-praisonai: .venv-praisonai/.ready ## the same with three PraisonAI agents
	@cd examples && ../.venv-praisonai/bin/python -m newsroom.praisonai_newsroom

test: $(READY) lint ## lint, types and every test but the long sweeps; prints the conformance table
	@$(BIN)/python -m pytest -n $(WORKERS) -m "not long" $(PYTEST_ARGS)
	@$(MAKE) --no-print-directory test-frameworks

test-frameworks: $(FRAMEWORKS:%=.venv-%/.ready) ## types and tests of the adapters, each in the environment of its framework
	@for name in $(FRAMEWORKS); do \
		echo "== adapters in .venv-$$name"; start=$$(date +%s); \
		.venv-$$name/bin/python -m tests.adapters.environment $(PYTEST_ARGS) || exit 1; \
		echo "== .venv-$$name took $$(( $$(date +%s) - start )) s"; done

test-long: $(READY) lint ## the same with the long sweeps, which print their totals
	@$(BIN)/python -m pytest -n $(WORKERS) $(PYTEST_ARGS)

lint: $(READY) ## ruff and mypy --strict
	@$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --diff . ; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy

train: $(READY) ## make the injection model anew from the corpora: CORPORA=folder
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.injection.heldout --ship

eval-heldout: $(READY) ## detection on source families left out of training: CORPORA=folder (minutes)
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.injection.heldout

bench: $(READY) ## ratios and microseconds, measured side by side; CORPORA=... adds detection figures
	@$(BIN)/python -m benchmarks

bench-recognizers: $(READY) ## crafted worst cases for every recognizer, derived from its pattern (ten minutes)
	@$(BIN)/python -m benchmarks.recognizers

bench-frameworks: $(FRAMEWORKS:%=.venv-%/.ready) ## the guard's price in each framework that has an environment of its own
	@for name in $(FRAMEWORKS); do \
		CREWAI_DISABLE_TELEMETRY=true OTEL_SDK_DISABLED=true CREWAI_TRACING_ENABLED=false \
		.venv-$$name/bin/python -m benchmarks.frameworks || exit 1; done

bench-detectors: .venv-detectors/.ready ## next to LangChain, Presidio and LLM Guard on the same texts; CORPORA=... adds third-party ones
	@.venv-detectors/bin/python -m benchmarks.detectors

docs: $(READY) ## build the guide into site/, generated tables included; a link that leads nowhere fails
	@$(BIN)/python docs/hooks.py
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

bench-channel: .venv-peers/.ready ## the channel next to gRPC and bare TLS streams, and under attack (two minutes)
	@.venv-peers/bin/python -m benchmarks.channel

bench-agentdojo: .venv-agentdojo/.ready ## 609 injected orders in 12 wordings to an agent that obeys (minutes; DOJO_ARGS=--quick: seconds)
	@.venv-agentdojo/bin/python -m benchmarks.agentdojo $(DOJO_ARGS)

bench-peers: .venv-peers/.ready ## permission checks next to Cedar and Casbin, sessions next to a bare jwt.decode
	@.venv-peers/bin/python -m benchmarks.access

# One environment a lock, for what cannot or need not share the first: .venv-NAME from requirements/NAME.lock.
.venv-%/.ready: requirements/%.lock pyproject.toml
	@$(PYTHON) -m venv .venv-$* || { echo "python -m venv failed; on Debian: apt install python3-venv" >&2; exit 1; }
	@echo "installing the locked packages into .venv-$* ..." >&2
	@# A lock holds everything that is needed; what it leaves out on purpose must not be looked for.
	@.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/$*.lock
	@.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

COMPILE := uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url \
	--no-emit-package agentguard

lock: ## resolve the locks in requirements/ anew (names, versions and hashes only; needs uv)
	@$(COMPILE) --group pyproject.toml:dev --extra demo --extra postgresql --extra redis --extra uvloop pyproject.toml -o requirements/dev.lock
	@for name in agentdojo detectors peers agents crewai praisonai mcp1; do \
		$(COMPILE) --group pyproject.toml:$$name pyproject.toml -o requirements/$$name.lock || exit 1; done

clean: ## remove the environment and caches
	rm -rf $(VENV) .venv-* site .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
