# The two commands: `make run` is a tour of the incidents, `make test` tests this project. Both do all the set-up they
# need.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

VENV := .venv
STAMP := $(VENV)/.ready
BIN := $(VENV)/bin
# Any python3 that is new enough; override with `make PYTHON=/usr/bin/python3.12 ...`
PYTHON ?= $(shell for each in python3 python3.11 python3.12 python3.13 python3.14; do \
	"$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$each"; exit; }; done)
# What Python has compiled is kept, whatever is usual on this machine: without it each start takes twice as long, and
# tests start pytest some hundred times.
unexport PYTHONDONTWRITEBYTECODE
ARGS ?=
KUBERNETES ?= 1.34.4
# How many processes replay at the same time, each on clusters of its own; 0: one after the other; auto: as cores and
# memory allow. Replays that measure, or take all of the machine, have it for themselves all the same.
SIDE_BY_SIDE ?= auto
# Integration tests, too, wait most of the time. A file stays in one process: its tests share a cluster.
TESTS_SIDE_BY_SIDE ?= -n 2 --dist loadfile --no-loadscope-reorder
NIGHTLY_KUBERNETES ?= 1.34.4 1.36.3
# Versions that are only passed by, in an upgrade in place.
UPGRADE_BY ?= 1.35.4

.PHONY: help run run-all test unit fuzz integration integration-all bench bench-node bench-first bench-tours bench-tests bench-twice bench-interrupted bench-crash bench-accuracy bench-agent bench-verdicts bench-saboteurs bench-judges bench-recall bench-campaign nightly replay-full conformance-full readme experiments docs lint format lock setup wheel clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

REPLAY = $(BIN)/pytest suites/ --ordeal-profile smoke --ordeal-kubernetes $(KUBERNETES) -n $(SIDE_BY_SIDE) --ordeal-setup

run: $(STAMP) ## a tour: an incident of each post-mortem, and a control of it (ARGS="-k mass" adds pytest options)
	$(REPLAY) --ordeal-tour $(ARGS)

run-all: $(STAMP) ## replay every incident, with all controls, profile smoke
	$(REPLAY) $(ARGS)

test: lint unit integration ## lint, unit tests, then integration tests on real clusters

unit: $(STAMP) ## unit tests: no cluster, no engine, no root
	$(BIN)/pytest tests -m "not integration and not timed" -n 3 --timeout 120 $(ARGS)
	$(BIN)/pytest tests -m "timed" --timeout 120 $(ARGS)

fuzz: $(STAMP) ## feed each reader of others' files with anything, 10 minutes each (ARGS="--jobs 2 --seconds 60 results")
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r requirements-fuzz.lock || { \
		echo "atheris can't be installed, for the reason above: it has wheels for CPython 3.11 to 3.13 on Linux on x86_64, and this is $$($(BIN)/python --version) on $$(uname -sm)" >&2; \
		exit 2; }
	$(BIN)/python -m tests.fuzz $(ARGS)

integration: setup ## integration tests on kind and simulated clusters, without those marked nightly
	$(BIN)/pytest tests/integration -m "not nightly" $(TESTS_SIDE_BY_SIDE) -v --timeout 1200 --durations 25 $(ARGS)

integration-all: setup ## integration tests, also those marked nightly: long ones, every moment of a kill
	$(BIN)/pytest tests/integration $(TESTS_SIDE_BY_SIDE) -v --timeout 1200 --durations 25 $(ARGS)

bench: setup ## measure, and print the figures with the machine's facts
	@for each in tests/bench/bench_*.py; do module="$${each%.py}"; $(BIN)/python -m "$${module//\//.}"; done

bench-node: setup ## measure what takes hours: hundreds of pods on a node, each fault fifty times
	$(BIN)/python -m tests.bench.pods
	$(BIN)/python -m tests.bench.repeats

bench-first: $(STAMP) ## measure from a clone to a verdict; removes all caches first (ARGS="--yes --fresh-modules")
	$(BIN)/python -m tests.bench.first $(ARGS)

bench-tours: setup ## 20 tours each way, side by side and not: all green, with equal verdicts? (ARGS="--tours 3 --all")
	$(BIN)/python -m tests.bench.tours $(ARGS)

bench-tests: setup ## `make test` ten times in a row: all green? (ARGS="--times 3")
	$(BIN)/python -m tests.bench.tests $(ARGS)

bench-twice: $(STAMP) ## build every program a second time, elsewhere: the same bytes? (ARGS="etcd kwok")
	$(BIN)/python -m tests.bench.twice $(ARGS)

bench-interrupted: $(STAMP) ## break set-up off in each of its steps, in each way: sound? (ARGS="--yes --way SIGKILL")
	$(BIN)/python -m tests.bench.interrupted $(ARGS)

bench-crash: setup ## kill runs at random moments, 6 of each fault and more: is anything left? (ARGS="--where theirs --kills 20")
	$(BIN)/python -m tests.bench.crash $(ARGS)

bench-accuracy: setup ## outages of known length against what the report says of them (ARGS="--where theirs --outages 20")
	$(BIN)/python -m tests.bench.accuracy $(ARGS)

bench-agent: setup ## what an agent costs a node while a replay with samples goes through it (ARGS="--only free")
	$(BIN)/python -m tests.bench.agent $(ARGS)

bench-verdicts: setup ## hardened replays over and over, quiet and beside a load: any false alarm? (ARGS="--ways beside --replays 20")
	$(BIN)/python -m tests.bench.verdicts $(ARGS)

bench-saboteurs: setup ## saboteurs of what replays are made of, each in ten: is any held? (ARGS="--cluster simulated --replays small")
	$(BIN)/python -m tests.bench.saboteurs $(ARGS)

bench-judges: $(STAMP) ## mutants of our own judges: how many do unit tests find? (ARGS="--mutants 50 --seed 1 chaos/judge")
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --no-deps --require-hashes -r requirements-judges.lock
	$(BIN)/python -m tests.bench.judges $(ARGS)

bench-recall: setup ## the regressions that Kubernetes named itself: which are found, and by what? (ARGS="--regressions 138736")
	$(BIN)/python -m tests.bench.recall $(ARGS)

bench-campaign: setup ## edits of what etcd stores: is their harm named? (ARGS="--ordeal-campaign-sample 20 --ordeal-campaign-seed 1")
	$(BIN)/pytest suites/campaign --ordeal-kubernetes $(KUBERNETES) $(ARGS)

nightly: $(STAMP) ## every integration test, then every incident and conformance spec, over several Kubernetes versions
	@failed=""; $(MAKE) integration-all ARGS= || failed=" (integration tests)"; \
	$(MAKE) replay-full || failed="$$failed (incidents)"; \
	$(MAKE) conformance-full || failed="$$failed (conformance)"; \
	$(MAKE) bench-twice ARGS= || failed="$$failed (built twice)"; \
	if [ -n "$$failed" ]; then echo "failed:$$failed"; exit 1; fi

# e2e.test is built too: by default a few of its specs are run after every replay.
replay-full: $(STAMP) ## every incident, profile full, over several Kubernetes versions
	@failed=""; for version in $(UPGRADE_BY) $(NIGHTLY_KUBERNETES); do \
		$(BIN)/kube-ordeal setup --yes --kubernetes "$$version" && \
		$(BIN)/kube-ordeal conformance build --kubernetes "$$version" || failed="$$failed $$version (set-up)"; \
	done; \
	for version in $(NIGHTLY_KUBERNETES); do \
		echo "=== Kubernetes $$version"; \
		$(BIN)/pytest suites/ -m "not spec" --ordeal-profile full --ordeal-kubernetes "$$version" $(ARGS) || failed="$$failed $$version"; \
	done; \
	if [ -n "$$failed" ]; then echo "failed with Kubernetes$$failed"; exit 1; fi

conformance-full: $(STAMP) ## all of upstream's conformance specs, over several Kubernetes versions
	@failed=""; for version in $(NIGHTLY_KUBERNETES); do \
		echo "=== Kubernetes $$version"; \
		$(BIN)/kube-ordeal setup --yes --kubernetes "$$version" && \
		$(BIN)/kube-ordeal conformance build --kubernetes "$$version" && \
		$(BIN)/pytest suites/conformance/test_conformance.py --ordeal-profile full --ordeal-kubernetes "$$version" $(ARGS) || \
			failed="$$failed $$version"; \
	done; \
	if [ -n "$$failed" ]; then echo "failed with Kubernetes$$failed"; exit 1; fi

setup: $(STAMP) ## get this machine ready (an engine, programs, a node image); only what is missing
	$(BIN)/kube-ordeal setup --yes --kubernetes $(KUBERNETES)

wheel: $(STAMP) ## the package as a file, in dist/ (docs/install.md)
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .

readme: $(STAMP) ## write the table of incidents in README.md anew
	$(BIN)/python docs/hooks/readme.py

experiments: $(STAMP) ## write the catalogue's Chaos Toolkit experiments anew from the suites
	$(BIN)/python -m chaos.toolkit.experiments

docs: $(STAMP) ## the documentation as a site, in site/; needs no network, then or when it is read
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

lint: $(STAMP) ## ruff, mypy strict, and imports that run down (docs/design.md)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy chaos suites tests
	$(BIN)/lint-imports --no-cache

format: $(STAMP) ## let ruff mend what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# For every Python from the oldest on, with and without what each needs. What builds an editable install is no
# requirement of ours, so it is named here.
LOCK = $(BIN)/uv pip compile --upgrade --universal --python-version 3.11.0 --generate-hashes --quiet

lock: $(STAMP) ## resolve requirements.lock anew from pyproject.toml, and those of uv, atheris, mitmproxy and Cosmic Ray
	printf '%s\n' hatchling editables | $(LOCK) --custom-compile-command "make lock" --all-extras \
		--output-file requirements.lock pyproject.toml -
	( echo "# uv, which installs requirements.lock: see environment.py. Made by \`make lock\`."; \
		echo uv | $(LOCK) --no-header --no-annotate - ) > requirements-uv.lock
	( echo "# atheris, which fuzzes the readers (\`make fuzz\`); later ones have no wheel for Python 3.11. Made by \`make lock\`."; \
		echo atheris==3.0.0 | $(LOCK) --no-header --no-annotate - ) > requirements-fuzz.lock
	( echo "# mitmproxy, in an environment of its own: see tests/integration/hostile/way.py. Made by \`make lock\`."; \
		echo mitmproxy | $(LOCK) --no-header --no-annotate --only-binary :all: --override <(echo 'pyperclip>=1.10') - \
		) > requirements-hostile.lock
	( echo "# Cosmic Ray, which makes mutants (\`make bench-judges\`), and what of its requirements that takes. Made by \`make lock\`."; \
		printf '%s\n' cosmic-ray parso stevedore | $(LOCK) --no-deps --constraint requirements.lock --no-header --no-annotate - ) \
		> requirements-judges.lock

clean: ## remove what was made in this folder; the cache and the machine stay (see kube-ordeal teardown)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist site

# Made again when the lock or the metadata changes. The stamp is written last: a half-made environment is made anew.
$(STAMP): requirements.lock requirements-uv.lock environment.py pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
		echo "Python 3.11 or newer is needed, and no python3 here is that new; on Debian: apt-get install python3 python3-venv" >&2; \
		exit 2; \
	fi
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) can't make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 2; }
	@rm -f $@
	@if ! $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		echo "making $(VENV)"; rm -rf $(VENV); "$(PYTHON)" -m venv $(VENV); \
	fi
	@echo "installing the Python packages of requirements.lock"
	@$(BIN)/python environment.py
	@touch $@
