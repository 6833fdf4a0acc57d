.DEFAULT_GOAL := help
SHELL := /bin/bash

# A uv that answers, not merely one that is found: a version manager's shim can be in the way.
UV_VERSION := 0.13.9
UV := $(shell uv --version >/dev/null 2>&1 && command -v uv || echo "$(CURDIR)/.tools/uv/bin/uv")
RUN := $(UV) run --frozen

.PHONY: help demo up test proof check layers synth diff deploy format clean tools

help: ## Show what can be done here
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(UV) ## Play a caller through the whole product on this machine, then stop
	$(RUN) aurion demo

up: $(UV) ## Keep the whole product running on this machine
	$(RUN) aurion up

test: tools ## Install what the tests need and run them all
	$(RUN) --all-groups pytest -n 3 tests

proof: tools ## Run the tests' own code at full size and write docs/benchmarks.md
	$(RUN) --all-groups python -m tests.proof

check: $(UV) ## Lint, types, the import rules, and the cloud's own gates
	$(RUN) --all-groups ruff check .
	$(RUN) --all-groups ruff format --check .
	$(RUN) --all-groups lint-imports
	$(RUN) --all-groups pyright
	$(MAKE) synth

layers: $(UV) ## Build the layers of the functions from the lock, for the machine Lambda is
	$(RUN) --all-groups python -m infra.layers

# Neither credentials nor a network nor Docker, once the layers and the command line are there.
synth: layers ## Make the cloud's templates; any finding of three gates fails it
	$(RUN) --all-groups python -m infra.cdk synth --quiet --strict --no-lookups --no-notices
	$(RUN) --all-groups cfn-lint

# ENV is dev or prod, STACKS one of its stacks or all; docs/deploy.md has the way from an empty account.
ENV = dev
STACKS = *
OPTIONS =

diff: layers ## Say what a deployment to ENV=dev|prod would change there
	$(RUN) --all-groups python -m infra.cdk diff 'aurion-$(ENV)/$(STACKS)' --method=template --no-notices $(OPTIONS)

deploy: layers ## Deploy to ENV=dev|prod, all of it or STACKS=Api
	$(RUN) --all-groups python -m infra.cdk deploy 'aurion-$(ENV)/$(STACKS)' --no-notices $(OPTIONS)

format: $(UV) ## Format the code and mend what ruff can mend
	$(RUN) --all-groups ruff check --fix .
	$(RUN) --all-groups ruff format .

tools: $(UV) ## Get the browser and the LiveKit server that the tests use
	$(RUN) --all-groups python -m tests.tools

clean: $(UV) ## Stop what runs here and forget its state
	$(RUN) aurion reset

# pip's --target is allowed where the system's Python is externally managed, and touches nothing else.
$(CURDIR)/.tools/uv/bin/uv:
	python3 -m pip install --quiet --disable-pip-version-check --target .tools/uv uv==$(UV_VERSION) \
	  || { python3 -m venv .tools/venv && .tools/venv/bin/pip install --quiet uv==$(UV_VERSION) \
	       && mkdir -p .tools/uv/bin && ln -sf "$(CURDIR)/.tools/venv/bin/uv" .tools/uv/bin/uv; }
