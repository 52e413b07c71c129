# Needs make and Python 3.11 or newer, nothing else: what is missing is put into .venv, by version and hash.

SHELL := /bin/sh
# Tests start a few hundred processes: where Python may not keep what it compiles, each of them compiles all of our code.
export PYTHONDONTWRITEBYTECODE :=
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
UV := VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/uv
# Compiled once, by all processors, and not by each process until one is allowed to keep what it compiled.
SYNC := $(UV) pip sync --quiet --compile-bytecode --require-hashes
RUN := $(VENV)/run.stamp
DEV := $(VENV)/dev.stamp
BENCHES := append push reads growth cost balances search sync outbox reminders retention materialise snapshots feel page
SCRIPTS := api/static/app/client api/static/app/ui api/static/app/sw.js tests/browser/conformance.js
LONG_BENCHES := append push reads growth cost search sync outbox reminders arrival materialise snapshots feel page
COMPILE := $(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 18

.PHONY: up
up: $(RUN) ## start everything (options in ARGS, settings in the environment or .env); Ctrl-C stops it
	@exec $(BIN)/debitum up $(ARGS)

.PHONY: demo
demo: $(RUN) ## show the whole way of a debt, from the import to the mail
	@exec $(BIN)/debitum demo $(ARGS)

.PHONY: test
test: $(DEV) ## run the tests, on a real Postgres of their own
	@$(BIN)/python -m pytest -n 4 --dist worksteal $(ARGS)

# Prints its seed first: FUZZ_SEED=… replays a run. The last line is JSON: what schemathesis found wrong with the server.
FUZZ_SEED ?= $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')
FUZZ_EXAMPLES ?= 2000
FUZZ_EXAMPLES_PER_OPERATION ?= 200
FUZZ_POINTS ?= 10000
FUZZ_LEDGERS ?= 10000
SIMULATION_SEEDS ?= 10000
FUZZED := tests/domain tests/simulation tests/storage/test_reports.py tests/storage/test_allocation.py

.PHONY: fuzz
fuzz: $(DEV) ## new examples, many of them: laws, simulated devices, the server against its own OpenAPI document (FUZZ_…, SIMULATION_SEEDS)
	@echo "FUZZ_SEED=$(FUZZ_SEED) FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) SIMULATION_SEEDS=$(SIMULATION_SEEDS)"
	@HYPOTHESIS_PROFILE=fuzz FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) SIMULATION_FIRST=$(FUZZ_SEED) SIMULATION_SEEDS=$(SIMULATION_SEEDS) \
		FUZZ_SEED=$(FUZZ_SEED) FUZZ_POINTS=$(FUZZ_POINTS) FUZZ_LEDGERS=$(FUZZ_LEDGERS) \
		$(BIN)/python -m pytest -n 2 --hypothesis-seed=$(FUZZ_SEED) $(FUZZED) $(ARGS) \
		|| { echo "failed: replay with FUZZ_SEED=$(FUZZ_SEED) FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) make fuzz"; exit 1; }
	@FUZZ_SEED=$(FUZZ_SEED) FUZZ_EXAMPLES_PER_OPERATION=$(FUZZ_EXAMPLES_PER_OPERATION) $(BIN)/python -m tests.fuzz

# Strict: what the advisory service does not know has not been audited, and that is no success.
.PHONY: audit
audit: $(DEV) ## known vulnerabilities of what a run installs; asks PyPI for its advisories, so it needs the network
	@$(BIN)/pip-audit --requirement requirements.lock --require-hashes --disable-pip --strict --progress-spinner off --timeout 15 \
		|| { echo "audit: failed. Above stands a vulnerability; or the advisories could not be asked (offline, or a mirror" \
			"without them), and then nothing is known of any package."; exit 1; }

.PHONY: faults
faults: $(DEV) ## kill workers, senders, runs, Dagster; stop Postgres, fill the disk, restore a backup, let providers fail: nothing is lost (about an hour; FAULTS_SEED)
	@$(BIN)/python -m tests.faults

.PHONY: wheel-test
wheel-test: $(DEV) ## build the wheel and have uvx run it where there is no checkout: up, doctor, probe, demo (needs the network; 3 minutes)
	@$(BIN)/python -m tests.installed

.PHONY: soak
soak: $(DEV) ## the whole with fast schedules and somebody who writes: no part of it may grow (SOAK_MINUTES, 20)
	@$(BIN)/python -m tests.soak

.PHONY: bench
bench: $(DEV) ## measurements, each a question; results in bench/results
	@for question in $(BENCHES); do echo "bench.$$question"; $(BIN)/python -m bench.$$question || exit 1; done
	@$(BIN)/python -m bench.table

.PHONY: bench-long
bench-long: $(DEV) ## the same in the sizes of the goals, and longer: hours
	@for question in $(LONG_BENCHES); do echo "bench.$$question --long"; $(BIN)/python -m bench.$$question --long || exit 1; done
	@$(BIN)/python -m bench.table

.PHONY: bench-peers
bench-peers: $(DEV) ## other programs beside ours; installs them into .cache (needs the network and a C++ compiler)
	@$(BIN)/python -m bench.peers
	@$(BIN)/python -m bench.table

.PHONY: docs-test
docs-test: $(DEV) ## type what README and docs/ tell people to type, in a copy of the checkout (about ten minutes)
	@$(BIN)/python -m tests.manual

SCALE := .cache/scale

.PHONY: scale
scale: $(SCALE)/stamp ## past one machine: PgBouncer, Celery and Redis, an S3 server (installs them: Debian, as root, and the network)
	@SCALE=1 $(SCALE)/bin/python -m tests.scale $(ARGS)

$(SCALE)/stamp: $(DEV) requirements-scale.lock
	@echo "making $(SCALE) of requirements-scale.lock"
	@$(UV) venv --quiet --clear --python $(BIN)/python $(SCALE)
	@VIRTUAL_ENV="$(CURDIR)/$(SCALE)" $(BIN)/uv pip sync --quiet --require-hashes requirements-scale.lock
	@VIRTUAL_ENV="$(CURDIR)/$(SCALE)" $(BIN)/uv pip install --quiet --no-build-isolation --no-deps -e .
	@touch $@

.PHONY: screenshots
screenshots: $(DEV) ## take the pictures of docs/images anew, of a stack of its own (needs Chromium)
	@$(BIN)/python docs/screenshots.py
	@$(BIN)/python docs/page_screenshots.py

.PHONY: browser
browser: ## install Chromium for the tests of the page (Debian's package; as root, with the network)
	@command -v chromium-headless-shell >/dev/null || command -v chromium >/dev/null \
		|| { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium-headless-shell libatomic1 fonts-noto-core; }
	@chromium-headless-shell --version 2>/dev/null || chromium --version

.PHONY: check
check: $(DEV) ## style, types, architecture, the Dockerfile, migrations, Dagster's definitions
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/oxlint -c api/static/oxlint.json --deny-warnings $(SCRIPTS)
	$(BIN)/oxfmt -c api/static/oxfmt.json --check $(SCRIPTS)
	$(BIN)/python -m storage.migrations check
	@mkdir -p $(VENV)/dagster && printf 'telemetry: {enabled: false}\nnux: {enabled: false}\n' > $(VENV)/dagster/dagster.yaml
	VIRTUAL_ENV="$(CURDIR)/$(VENV)" DAGSTER_HOME="$(CURDIR)/$(VENV)/dagster" $(BIN)/dg check defs --use-active-venv

.PHONY: lock
lock: $(DEV) ## resolve the dependencies of pyproject.toml anew
	$(COMPILE) pyproject.toml --group build -o requirements.lock
	$(COMPILE) pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock
	@grep '^[a-z0-9].*==' requirements-dev.lock | grep -v '^python-dateutil=' | sed 's/ *\\$$//' > $(VENV)/scale.txt
	$(COMPILE) pyproject.toml --group scale -c $(VENV)/scale.txt --override tests/scale/overrides.txt -o requirements-scale.lock
	echo uv | $(COMPILE) --no-annotate -c requirements-dev.lock -o requirements-bootstrap.lock -

# The system's own Python where it is new enough: distributions build theirs with optimisations that take a fifth off everything,
# and version managers do not unless they are told to. Else the newest; names on the PATH may be shims of versions that are not there.
PYTHONS := $(or $(PYTHON),/usr/bin/python3 python3.14 python3.13 python3.12 python3.11 python3 python)

$(BIN)/uv: requirements-bootstrap.lock
	@for python in $(PYTHONS); do \
		$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		echo "making $(VENV) with $$($$python --version)"; \
		$$python -m venv --clear $(VENV) && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-bootstrap.lock && \
		touch $@; exit; \
	done; \
	echo "Debitum needs Python 3.11 or newer with its venv module (Debian: apt install python3 python3-venv)." >&2; exit 1

# What the tests need includes what a run needs: once it is there, a run does not take it away again.
$(RUN): $(BIN)/uv requirements.lock pyproject.toml
	@if [ -e $(DEV) ]; then $(MAKE) --no-print-directory $(DEV); else $(SYNC) requirements.lock && \
		$(UV) pip install --quiet --no-build-isolation --no-deps -e .; fi
	@touch $@

$(DEV): $(BIN)/uv requirements-dev.lock pyproject.toml
	@$(SYNC) requirements-dev.lock
	@$(UV) pip install --quiet --no-build-isolation --no-deps -e .
	@touch $@
