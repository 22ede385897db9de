# make weekly   the whole weekly job against the local tournament (or, by one setting, Numerai)
# make ui       Dagster's UI and daemon with the local tournament beside them
# make test     lint, format, types, definitions, tests; the slowest ten tests are printed
# make quick    the tests that are neither whole rounds nor long: for use while working
# make durations   all tests; how long each file took is written to numerai_assets_tests/durations.json
# make benchmarks  what the project does against named peers, as a table (docs/benchmarks.md)
# make chaos    a year of rounds with everything going wrong (docs/reliability.md); WEEKS=4 SEED=1 for another
# make weekly MARKET=prices PRICES=panel.parquet   the same on a price panel of your own

PYTHON ?= python3
BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

ifdef MARKET
export NUMERAI_SANDBOX__MARKET := $(MARKET)
endif
ifdef PRICES
export NUMERAI_SANDBOX__PRICES := $(abspath $(PRICES))
endif
ifdef SIZE
export NUMERAI_SANDBOX__SIZE := $(SIZE)
# A market of that size is for trying things out: a fit takes seconds and proves that everything is connected, nothing else.
ifeq ($(SIZE),tiny)
export NUMERAI_METHODS__BENCHMARK__PROFILE ?= smoke
endif
endif

.PHONY: weekly ui test checks tests quick durations chaos benchmarks browser clean

weekly: .venv/installed
	$(BIN)/numerai weekly --with-sandbox

ui: .venv/installed
	$(BIN)/numerai ui

test: checks tests

checks: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	DAGSTER_HOME=$(CURDIR) DAGSTER_STORAGE_DIR=$(CURDIR)/data/validate $(BIN)/dg check defs

PYTEST := $(BIN)/pytest -n 2 --dist worksteal

tests: .venv/installed-test browser
	$(PYTEST)

quick: .venv/installed-test
	$(PYTEST) -m 'not slow'

durations: .venv/installed-test browser
	$(PYTEST) --keep-durations

WEEKS ?= 52
SEED ?= 0
chaos: .venv/installed
	$(BIN)/python -m rehearsals.chaos --weeks $(WEEKS) --seed $(SEED)

benchmarks: .venv/installed-test
	$(BIN)/python -m benchmarks.run --out docs/benchmarks.md

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP_INSTALL) -e .
	touch $@

.venv/installed-test: .venv/installed
	$(PIP_INSTALL) -e '.[test]'
	touch $@

# The tests of the UI drive a real Chromium; on a build machine it is installed, elsewhere they skip without one.
browser:
	@if [ -n "$$CI" ] && ! command -v chromium >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; fi

clean:
	rm -rf .venv data build *.egg-info
