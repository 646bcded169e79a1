# `make demo` shows it at work, `make test` proves it; both set everything up in .venv themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help

.PHONY: help
help:  ## Show what can be made
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "orchestrator needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "setting up $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.lock | $(BIN)/python
	@$(PIP) install --no-deps --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(BIN)/python
	@echo "installing the tools (a minute, once)"
	@$(PIP) install --no-deps --require-hashes -r requirements-dev.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.runtime

.PHONY: demo
demo: $(VENV)/.runtime  ## See the whole path at work, without a key and without a network
	@$(BIN)/python -m orchestrator demo

.PHONY: test
test: lint types layers unit proofs coverage image-check untried  ## Everything that must hold before a commit lands

.PHONY: lint
lint: $(VENV)/.dev  ## Style, by ruff
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .

.PHONY: types
types: $(VENV)/.dev  ## Types, by mypy in strict mode
	@$(BIN)/mypy --no-error-summary

.PHONY: layers
layers: $(VENV)/.dev  ## Which room may import which, by import-linter
	@$(BIN)/lint-imports --no-logo 2>/dev/null >$(VENV)/layers.log || { cat $(VENV)/layers.log; exit 1; }

# Real processes wait for each other, and a busy machine may keep them waiting too long: what failed
# is run once more, alone. What fails then has failed.
AGAIN = { echo "once more, one by one:"; $(BIN)/pytest -q -m "not soak" --last-failed --last-failed-no-failures none; }

PROOFS := tests/simulation tests/model tests/planted tests/crash tests/power tests/acceptance

.PHONY: unit
unit: $(VENV)/.dev  ## Every room by itself, with branch coverage
	@$(BIN)/python -m compileall -q orchestrator tests
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -q -n $(JOBS) -m "not soak" tests $(PROOFS:%=--ignore=%) || $(AGAIN)

.PHONY: proofs
proofs: $(VENV)/.dev  ## The whole daemon: simulated worlds, crashes, planted bugs, the model
	@$(BIN)/pytest -q -n $(JOBS) -m "not soak" $(wildcard $(PROOFS)) || $(AGAIN)

.PHONY: coverage
coverage: $(VENV)/.dev
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --format=total | sed 's/^/branch coverage: /; s/$$/ %/'
	@$(BIN)/coverage report --fail-under=$(COVERAGE_MIN) >$(VENV)/coverage.txt || { tail -60 $(VENV)/coverage.txt; exit 1; }
	@$(BIN)/coverage report --fail-under=100 --include=$(CRUCIAL) >$(VENV)/crucial.txt || \
	  { echo "every branch of what pays, claims and delivers has to be covered:"; cat $(VENV)/crucial.txt; exit 1; }
COVERAGE_MIN := 80
CRUCIAL := orchestrator/store/journal.py,orchestrator/stages/submit.py,orchestrator/stages/reconcile.py,orchestrator/stages/deliver.py,orchestrator/stages/recognise.py,orchestrator/spool/claim.py,orchestrator/spool/delivered.py

.PHONY: image-check
image-check: $(VENV)/.dev  ## The image: built where docker or podman answers, else its steps done here
	@$(BIN)/python -m tests.deploy.image_check

.PHONY: untried
untried: $(VENV)/.dev
	@$(BIN)/python -m tests.deploy.untried

.PHONY: booted
booted: $(VENV)/.dev  ## The guide's commands in a booted machine and a container (root, a few minutes)
	@$(BIN)/pytest -q -m soak tests/deploy

.PHONY: quick
quick: $(VENV)/.dev  ## The fast tests only
	@$(BIN)/pytest -q -n $(JOBS) -m "not slow and not soak" tests

.PHONY: fmt
fmt: $(VENV)/.dev  ## Format and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: check
check: $(VENV)/.dev  ## Supply chain: known vulnerabilities, careless code
	@$(BIN)/bandit -q -r orchestrator -c pyproject.toml
	@$(BIN)/pip-audit --progress-spinner off --require-hashes --disable-pip -r requirements.lock \
	  >$(VENV)/audit.txt 2>&1; code=$$?; cat $(VENV)/audit.txt; \
	if grep -q "^Found .* known vulnerabilit" $(VENV)/audit.txt; then exit 1; fi; \
	if [ $$code != 0 ] || grep -q "could not be audited" $(VENV)/audit.txt; then \
	  echo "known vulnerabilities: NOT CHECKED, the vulnerability service cannot be had" >&2; fi

.PHONY: fuzz
fuzz: $(VENV)/.dev  ## Ten minutes of fuzzing the parsers
	@$(PIP) install --no-deps --require-hashes --only-binary :all: -r tests/fuzz/requirements.txt \
	  2>$(VENV)/atheris.log || echo "atheris cannot be had for this Python: see $(VENV)/atheris.log" >&2
	@$(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),10)

.PHONY: soak
soak: $(VENV)/.dev  ## Hours of weather: worlds, syscall sweeps, power cuts, a simulated month
	@rm -f $(VENV)/sweeps.jsonl
	@$(BIN)/python -m tests.simulation.soak --worlds $(or $(WORLDS),10000)
	@$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),25) --sets $(or $(SETS),300) --into docs; \
	month=$$?; HYPOTHESIS_PROFILE=soak $(BIN)/pytest -q -n $(JOBS) -m soak tests; \
	code=$$?; $(BIN)/python -m tests.crash.tally && exit $$((code + month))

.PHONY: bench
bench: $(VENV)/.dev  ## Speed and memory, each beside its limit of the same run
	@$(BIN)/python -m benchmarks

.PHONY: lock
lock: $(BIN)/python  ## Pin all dependencies by hash
	@$(PIP) install uv
	@$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-header -o requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --group dev --group check --group bench -o requirements-dev.lock

.PHONY: man
man: $(VENV)/.dev  ## The manual page, from the commands' own help
	@$(BIN)/python docs/man/render.py >docs/man/orchestrator.1

.PHONY: dist
dist: $(VENV)/.dev man  ## Wheel, source archive and a list of what is in them
	@rm -rf dist && $(BIN)/python -m build --no-isolation --outdir dist . >/dev/null
	@$(BIN)/cyclonedx-py requirements requirements.lock --output-reproducible -o dist/sbom.json
	@ls -l dist

.PHONY: clean
clean:  ## Remove what was made here
	@rm -rf $(VENV) dist build demo .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
