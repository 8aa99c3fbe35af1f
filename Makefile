# SPDX-License-Identifier: Apache-2.0
# `make demo` shows nicpass at work on an emulated host; `make test` checks everything. Both set up what they need.

PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.ready
RUN := $(VENV)/bin
MESSAGES := $(patsubst %.po,%.mo,$(wildcard src/nicpass/locale/*/LC_MESSAGES/*.po))
PIP_INSTALL := python -m pip install -q --disable-pip-version-check
PIP = $(RUN)/$(PIP_INSTALL)
UV = $(VENV)/lock/bin/uv pip
LOCKING := --quiet --universal --python-version 3.11 --upgrade --generate-hashes --no-annotate \
	--custom-compile-command 'make lock'
LAB_MARKS := not full
UNIT_MARKS := not full

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-full test-ranges mutants lab-shell bench documents messages format setup lock \
	lab-packages clean

help:
	@echo 'make demo       a NIC goes into a VM and comes back, on an emulated host (minutes)'
	@echo 'make test       formatting, lint, types, unit tests, lab tests (long: the lab runs emulated)'
	@echo 'make test-fast  all of that but the lab (minutes)'
	@echo 'make test-full  make test with the tests that take long, and make bench with its targets'
	@echo 'make test-ranges  make test-fast with the oldest, then with the newest libraries that users may have'
	@echo 'make mutants    the mutation score of what keeps a host safe, and what lives (long; MUTANTS_ARGS=--help)'
	@echo 'make lab-shell  a prompt on an emulated host with NICs to play with'
	@echo 'make bench      start-up and listing against the tools of the trade, as ratios'
	@echo 'make messages   bring the translations up to date with the sentences in the code'
	@echo 'make documents  write anew what in docs/ is made from the code'
	@echo 'make format     format the code'
	@echo 'make lock       write locks/ anew: the versions that tests and lab install'

demo: $(STAMP) $(MESSAGES) lab-packages
	$(RUN)/python -m lab.demo $(DEMO_ARGS)

test: lab-packages test-fast
	$(RUN)/pytest tests/lab -m '$(LAB_MARKS)' -n 2 --dist loadfile --no-loadscope-reorder --durations=15 \
		$(PYTEST_ARGS)

test-fast: $(STAMP) $(MESSAGES)
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy
	$(RUN)/pytest tests/unit -m '$(UNIT_MARKS)' -n auto -q $(PYTEST_ARGS)

test-full: LAB_MARKS := lab
test-full: UNIT_MARKS := full or not full
test-full: test bench

mutants: $(STAMP)
	$(RUN)/python -m tests.mutation $(MUTANTS_ARGS)

lab-shell: $(STAMP) lab-packages
	$(RUN)/python -m lab shell

bench: $(STAMP) lab-packages
	@command -v lspci >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends pciutils; }
	$(RUN)/python -m bench

documents: $(STAMP)
	$(RUN)/python -m tests.support.documents

messages: $(STAMP)
	$(RUN)/python -m tests.support.messages

format: $(STAMP)
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

setup: $(STAMP)

# A Python that cannot make an environment (Debian without python3-venv) gets what it lacks.
# What it gets is locked, hashes and all; nothing is compiled, for a build would fetch what no lock names.
$(STAMP): pyproject.toml locks/tests.txt
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv; }
	test -x $(RUN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes --only-binary :all: -r locks/tests.txt
	$(PIP) --no-index --no-build-isolation --no-deps --editable .
	touch $@

# Of what users install, the versions at one end of the ranges in pyproject.toml; everything else as the lock says.
$(VENV)/oldest/.ready $(VENV)/newest/.ready: RESOLUTION = $(if $(findstring oldest,$@),lowest-direct,highest)
$(VENV)/oldest/.ready $(VENV)/newest/.ready: $(STAMP) $(VENV)/lock/.ready
	rm -rf $(@D) && $(PYTHON) -m venv $(@D)
	$(@D)/bin/$(PIP_INSTALL) --require-hashes --only-binary :all: -r locks/tests.txt
	$(UV) install -q --python $(@D) --upgrade --resolution $(RESOLUTION) -r pyproject.toml
	$(@D)/bin/$(PIP_INSTALL) --no-index --no-build-isolation --no-deps --editable .
	touch $@

# The newest are asked for anew each time; the oldest do not change.
test-ranges: $(VENV)/oldest/.ready
	rm -rf $(VENV)/newest && $(MAKE) $(VENV)/newest/.ready
	$(MAKE) test-fast RUN=$(VENV)/oldest/bin
	$(MAKE) test-fast RUN=$(VENV)/newest/bin

# One lock for every Python and every machine; the second is the part of it that goes into the lab's image.
lock: $(VENV)/lock/.ready
	$(UV) compile $(LOCKING) --group dev --group lab pyproject.toml -o locks/tests.txt
	$(UV) compile $(LOCKING) --constraints locks/tests.txt pyproject.toml -o locks/host.txt

$(VENV)/lock/.ready: pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/$(PIP_INSTALL) --upgrade 'pip>=25.1'
	$(@D)/bin/$(PIP_INSTALL) --group lock
	touch $@

%.mo: %.po $(STAMP)
	$(RUN)/pybabel -q compile -i $< -o $@

# Only what is missing is installed, from the machine's own sources.
lab-packages:
	@missing=$$(for package in $$(cat lab/packages.txt); do \
		dpkg-query -W -f='$${Status}\n' $$package 2>/dev/null | grep -q 'ok installed' || echo $$package; done); \
	test -z "$$missing" || { apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; }

clean:
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .mutants
