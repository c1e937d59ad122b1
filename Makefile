# `make run` and `make test` do all the set-up that they need: the virtual environment, the locked requirements, Kopia.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KOPIA := 0.23.1
MORE_KOPIAS := 0.22.3 0.19.0 0.23.1-testing 0.22.3-testing 0.19.0-testing
VERSITYGW := 1.8.0
RESTIC := 0.18.1
MORE_RESTICS := 0.16.5 0.14.0
REST_SERVER := 0.14.0
BORG := 1.4.5
MORE_BORGS := 1.2.4
RUN_OPTIONS ?=
MINUTES ?= 30

# Side by side: much of the time tests wait for programs, which wait for each other. On two cores three at a time take three
# quarters of the time that two take (measured).
SIDE_BY_SIDE := --numprocesses 3 --dist worksteal

SETUP := $(VENV)/.installed .tools/bin/kopia-$(KOPIA)

S3_SERVER := .tools/bin/versitygw-$(VERSITYGW)

RESTIC_PROGRAMS := .tools/bin/restic-$(RESTIC) .tools/bin/rest-server-$(REST_SERVER)

BORG_PROGRAM := .tools/bin/borg-$(BORG)

TEST_PROGRAMS := $(S3_SERVER) $(RESTIC_PROGRAMS) $(BORG_PROGRAM) .tools/bin/kopia-$(KOPIA)-testing

# pytest keeps what it has compiled of the tests: otherwise each of its processes takes seconds to do it again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup run test test-unit test-long bench bench-quick bench-growth bench-many bench-machines soak lint format types check docs docs-pages \
    tools-all tools-test tools-restic tools-borg lock clean
.DELETE_ON_ERROR:

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

setup: $(SETUP) ## make .venv with everything in it, and build Kopia

run: $(SETUP) ## run the main job: clients against a real Kopia server, every restore verified
	$(BIN)/snapstorm run $(RUN_OPTIONS)

test: $(SETUP) $(TEST_PROGRAMS) ## run all tests but the long ones
	$(BIN)/pytest $(SIDE_BY_SIDE)

test-unit: $(SETUP) ## run the tests that take seconds
	$(BIN)/pytest tests/unit

test-long: $(SETUP) $(S3_SERVER) tools-all ## run the tests that take minutes or much of the machine
	$(BIN)/pytest -m long

bench: $(SETUP) ## measure everything against its goal and its peers, about ten minutes on an idle machine
	$(BIN)/python benchmarks/bench.py --write $(if $(ORIGINAL),--original $(ORIGINAL))

bench-quick: $(SETUP) ## the same with less of everything, about two minutes
	$(BIN)/python benchmarks/bench.py --quick

bench-growth: $(SETUP) ## measure how costs grow, and draw benchmarks/growth.svg
	$(BIN)/python benchmarks/growth.py

bench-many: $(SETUP) ## 64 clients with real Kopia for ten minutes
	$(BIN)/python benchmarks/bench.py --only many --many-clients 10m

bench-machines: $(SETUP) ## measure what calls to other machines cost, about a minute
	$(BIN)/python benchmarks/machines.py

soak: $(SETUP) ## live through MINUTES (30) of runs and kills on one testbed
	$(BIN)/python benchmarks/soak.py --minutes $(MINUTES)

lint: $(SETUP) ## check style and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(SETUP) ## format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: $(SETUP) ## check types, with mypy and with pyright
	$(BIN)/mypy
	$(BIN)/pyright

check: lint types docs test ## all that CI checks

docs: $(SETUP) ## build the documentation as a site in .site
	$(BIN)/mkdocs build --strict --quiet

docs-pages: $(SETUP) ## make the generated pages of docs/ anew
	$(BIN)/python tools/generate_docs.py

tools-restic: $(RESTIC_PROGRAMS) ## build restic and its rest-server

tools-borg: $(BORG_PROGRAM) ## compile borg

tools-test: $(SETUP) $(TEST_PROGRAMS) ## build what tests need

tools-all: $(SETUP) $(MORE_KOPIAS:%=.tools/bin/kopia-%) tools-restic $(MORE_RESTICS:%=.tools/bin/restic-%) $(BORG_PROGRAM) $(MORE_BORGS:%=.tools/bin/borg-%) ## build older versions as well, and those for virtual time

$(VENV)/.installed: requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	    { echo "snapstorm needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo not there)." >&2; \
	      echo "Install one, or name it: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# A Kopia is built once. Without Go, one that is named or on the PATH does; without either, this says what to install.
# The binary is the target itself, so that it is built as soon as there is Go, and again if somebody removes it.
.tools/bin/kopia-%: tools/kopia-%/go.mod tools/kopia-%/go.sum
	@tools/build-kopia $* $@

# The build whose clock can be set from outside, for runs in virtual time.
.tools/bin/kopia-%-testing: tools/kopia-%/go.mod tools/kopia-%/go.sum
	@tools/build-kopia $*-testing $@

# What the target restic consists of.
.tools/bin/restic-%: tools/restic-%/go.mod tools/restic-%/go.sum
	@tools/build-restic restic $* $@

.tools/bin/rest-server-%: tools/rest-server-%/go.mod tools/rest-server-%/go.sum
	@tools/build-restic rest-server $* $@

# Borg is compiled, so it needs headers of the system. Where they are missing, `make tools-borg` fails and names them, and
# the tests of borg say that they were not run, and why.
test tools-test tools-all: export BORG_IS_OPTIONAL := 1
.tools/bin/borg-%: tools/borg-%/requirements.lock tools/borg-build/requirements.lock
	@tools/build-borg $* $@ $(PYTHON)

# An S3 server for the tests alone.
.tools/bin/versitygw-%: tools/versitygw/go.mod tools/versitygw/go.sum
	@tools/build-versitygw $@

lock: ## make the locked requirements anew from requirements/*.in
	$(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header \
	    --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --output-file requirements/run.lock requirements/run.in
	$(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header \
	    --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --output-file requirements/dev.lock requirements/dev.in
	for directory in tools/borg-build tools/borg-$(BORG) $(MORE_BORGS:%=tools/borg-%); do \
	    $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header \
	        --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
	        --output-file $$directory/requirements.lock $$directory/requirements.in || exit 1; \
	done

clean: ## remove what was installed, built and cached
	rm -rf $(VENV) .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .site dist
