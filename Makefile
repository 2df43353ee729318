# `make run` and `make test` install by themselves what this machine lacks; see docs/how_to_install.md.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run test vm-test soak sweep nightly lint bench clean set-up-run set-up-test set-up-vm

# More options for the program behind a target: make run ARGS="--jobs 2"
ARGS ?=
# What to replay: make run SCENARIOS="lan_connectivity discovery_public/"
SCENARIOS ?= --all

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' Makefile | expand -t 14

set-up-run:
	@provision/packages.sh run
	@provision/venv.sh

set-up-test:
	@provision/packages.sh test
	@provision/venv.sh

set-up-vm:
	@provision/packages.sh vm
	@provision/venv.sh

run: set-up-run ## replay every scenario there is, in emulation; results in runs/
	@.venv/bin/testbed run $(SCENARIOS) $(ARGS)

test: set-up-test ## everything that can fail: ruff, mypy, pytest
	@tests/everything.sh $(ARGS)

# Whoever kills make ends the test, and with it the VM.
vm-test: set-up-vm ## boot Debian's own kernel in qemu, provision it, play there; results in runs/vm/
	@exec setpriv --pdeathsig TERM .venv/bin/python -m vm $(ARGS)

soak: set-up-test ## every scenario 20 times, 4 at a time, until one surprises
	@.venv/bin/python bench/soak.py $(ARGS)
	@.venv/bin/python -m pytest -q -m soak

sweep: set-up-test ## every single fault of the network, all of it; goes on where it was ended
	@.venv/bin/python bench/single_faults.py $(ARGS)

nightly: set-up-test ## the soak, all NATs in full, the sweep of single faults, and the VM test
	@.ci/nightly

lint: set-up-test ## ruff and mypy only
	@tests/everything.sh --lint

bench: set-up-test ## measure: tables, and JSON in runs/bench/
	@set -e; for program in $(filter-out bench/soak.py bench/single_faults.py,$(wildcard bench/[a-z]*.py)); do \
		echo "== $$program"; .venv/bin/python $$program $(ARGS); done

clean: ## remove what make made; results in runs/ stay
	@rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	@find . -name __pycache__ -type d -not -path './runs/*' -prune -exec rm -rf {} +
