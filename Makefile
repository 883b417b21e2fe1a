# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# VENV=.venv-new runs the tests on the newest ansible-core.
VENV ?= .venv
UNIT_JOBS ?= 2
INTEGRATION_JOBS ?= 3
LINT_JOBS ?= 2
# What has to pass before a release.
CHECKS ?= test soak
ON_HOSTS = pytest -q -n $(INTEGRATION_JOBS) --dist loadfile --reruns 2 -rfER --durations 40 \
	tests/integration tests/testbed/tests

export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/.venv/collections
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export LINT_JOBS LINT_LEAVES_OUT

.PHONY: help setup quick quick-unit quick-deploy lint unit unit-newest integration test soak molecule targets matrix docs demo bench release clean

help: ## Say what the targets do
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: ## Make what the other targets need: Debian packages, Python environments
	@tests/setup

lint: setup ## Run the quality gate, or a part of it: make lint LEGS="ruff mypy"
	@tests/lint/run $(LEGS)

quick: setup ## Run what says within two minutes whether a change is sound, for daily work
	@tests/lint/run ruff mypy shellcheck paths
	@$(MAKE) --jobs 2 --output-sync=target --no-print-directory quick-unit quick-deploy

quick-unit:
	@pytest -q -n $(UNIT_JOBS) tests/unit --ignore tests/unit/test_collection_build.py

# It waits for its hosts most of the time, so it goes beside the unit tests.
quick-deploy:
	@pytest -q tests/integration/test_deploy.py -k twice

unit: setup ## Run the unit tests
	pytest -q -n $(UNIT_JOBS) tests/unit

# What shellcheck says of all scripts is the same with any core.
unit-newest: setup ## Run the unit tests on the newest ansible-core
	@[ ! -d .venv-new ] || PATH="$(CURDIR)/.venv-new/bin:$$PATH" pytest -q -n $(UNIT_JOBS) tests/unit \
		--deselect tests/unit/test_scripts.py::test_no_function_reads_a_variable_of_its_caller

# A whole fleet shares these cores. What fails is tried again, and named at the end if it passes.
integration: setup ## Run the tests on real hosts, as root
	$(ON_HOSTS) -m "not soak"

# What lint takes longest for and finds least by.
SLOW_LINT = sanity-oldest pylint-oldest pylint-tests

# Each part's output is held back until the part is done, so that two at once do not mix.
test: ## Run all of the above, for every change
	@$(MAKE) --jobs 2 --keep-going --output-sync=target --no-print-directory \
		LINT_JOBS=1 LINT_LEAVES_OUT="$(SLOW_LINT)" lint unit unit-newest integration

# Before a release, and after a change to what these are about.
soak: setup ## Run the cases that `make test` leaves out: faults and kills at every other place
	@[ ! -d .venv-new ] || tests/lint/run $(SLOW_LINT)
	$(ON_HOSTS) -m soak

molecule: setup ## Run molecule's scenarios on hosts of their own, as root
	molecule test --all

targets: setup ## Run a target for each module by ansible-test, as root: make targets TARGETS="nixos_switch"
	@tests/integration/run-targets $(TARGETS)

matrix: ## Run ansible-test units and deploy with each ansible-core, and between versions of Nix, as root
	@tests/setup matrix
	@[ -n "$(BUILD_HOSTS)" ] || tests/matrix/units .venv .venv-2.20 .venv-new
	@tests/matrix/matrix $(BUILD_HOSTS)

docs: setup ## Build the site of the documentation, tests/output/docs/html/index.html
	@tests/docs/build

demo: setup ## Deploy a fleet of real hosts on this machine
	@examples/fleet/demo

bench: setup ## Measure deployments beside other tools' ways: make bench BENCH="--hosts 1,3"
	@tests/bench/bench --json bench.json $(BENCH)
	@tests/bench/put-secrets

# Says first what is wrong with the version or the tree, before the checks take their time.
release: ## Make a release, all but to publish it: make release VERSION=1.2.3
	@tests/release "$(VERSION)" $(CHECKS)

clean: ## Remove all that setup and the tests made here
	rm -rf .venv .venv-2.20 .venv-new .venv-lint .cache .ansible .hypothesis .mypy_cache .pytest_cache \
		.ruff_cache bench.json tests/output closure-nixos-*.tar.gz
