# Marquee: every target is a thin call of the command line or of one tool.
PYTHON ?= python3.11
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup run test lint bench lock docker-run docker-test docker-down clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP)  ## create .venv from the lock

$(STAMP): requirements.lock training/sharding.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25,<27"
	$(BIN)/pip install --progress-bar on -c requirements.lock -e ".[dev]"
	# for `embedding_tables: sharded`; it asks for CUDA packages by name: docs/decisions/0008
	$(BIN)/pip install --quiet --no-deps -r training/sharding.lock
	@touch $@

run: setup  ## run the whole pipeline and keep the pages up (ARGS=--once to run and exit)
	$(BIN)/marquee run $(ARGS)

test: setup  ## run the whole test suite
	tests/chromium.sh
	$(BIN)/python -m pytest $(ARGS)

lint: setup  ## format check, lint, types, SQL, import contracts, dead code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture
	$(BIN)/sqlfluff lint dbt_project/models
	DBT_MARQUEE_HOST=none DBT_MARQUEE_PORT=5432 DBT_MARQUEE_USER=none DBT_MARQUEE_DBNAME=none \
	    $(BIN)/dbt --quiet --warn-error --log-path var/dbt/lint parse --project-dir dbt_project \
	    --profiles-dir dbt_project --target-path "$(CURDIR)/var/dbt/lint"

bench: setup  ## measure speed and quality beside their peers and limits
	$(BIN)/marquee bench $(ARGS)

lock:  ## resolve pyproject.toml into requirements.lock
	$(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install --quiet uv
	.venv-lock/bin/uv pip compile pyproject.toml --extra dev --python-version 3.11 --universal --upgrade \
	    --no-annotate --no-header --quiet -o .venv-lock/resolved
	# CPU and GPU machines share this lock, so the CUDA packages stay out of it: docs/decisions/0001
	grep -vE '^(nvidia-|cuda-|triton)' .venv-lock/resolved > requirements.lock
	rm -rf .venv-lock

docker-run:  ## build and start the compose stack, and run the pipeline there
	docker/stack.sh up
	docker/stack.sh trigger

docker-test:  ## the same, and look at what it made
	docker/stack.sh test

docker-down:  ## stop the compose stack (ARGS=--volumes deletes its data)
	docker/stack.sh down $(ARGS)

clean:  ## stop the embedded services and delete var/
	-$(BIN)/marquee down
	rm -rf var
