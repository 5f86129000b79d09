# `make demo`, `make test` and `make bench` set up everything they need in a virtual environment of their own.
PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
BIN := $(VENV)/bin

BENCH ?=

.PHONY: demo test slow bench bench-ops bench-compile lint types lit pytest docs qemu browser sshd clean

demo: qemu
	$(BIN)/python test/demo.py

test: lint types lit pytest

# What takes minutes and is not in `make test`: all values of float32, more of torch.compile, thousands of random kernels, the runtime under
# sanitizers, long runs; with GGML=CHECKOUT, GGML's kernels beside ours.
slow: qemu
	$(BIN)/python -m pytest -q -rs -n $(JOBS) -m slow $(if $(GGML),--ggml $(abspath $(GGML)))

# Table, plot and JSON in build/bench; options in BENCH, such as BENCH='--quick --rows softmax'.
bench: qemu sshd
	PYTHONPATH=test $(BIN)/python -m perf $(BENCH)

# Operators of the library beside PyTorch's, one thread and two; options in BENCH, such as BENCH='--rows gelu --write'.
bench-ops: $(VENV)/installed
	PYTHONPATH=test $(BIN)/python -m perf.operators $(BENCH)

# Models under torch.compile beside Inductor's C++ and eager PyTorch, one thread; options in BENCH, such as BENCH='--rows GPT'.
bench-compile: $(VENV)/installed
	PYTHONPATH=test $(BIN)/python -m perf.inductor $(BENCH)

lint: $(VENV)/installed
	$(BIN)/ruff check .

# mypy finds packages by folder: link ours together as an installation would.
types: $(VENV)/installed
	mkdir -p build/types/triton_spacemit
	@for package in backend dialect passes ops ops/integrations; do ln -sfn ../../../$$package build/types/triton_spacemit/$${package##*/}; done
	$(BIN)/mypy -p triton_spacemit

lit: $(VENV)/installed
	$(BIN)/lit -q test

# -rs: what could not run is named, with the reason.
pytest: qemu browser sshd
	$(BIN)/python -m pytest -q -rs -n $(JOBS)

# What is generated from docstrings and definitions; tests fail where it is stale.
docs: $(VENV)/installed
	$(BIN)/python -m triton_spacemit.dialect.abi > backend/runtime/abi.h
	$(BIN)/python -m triton_spacemit.backend.protocol > backend/runtime/protocol.h
	$(BIN)/python -m triton_spacemit.backend.estimate.protocol > backend/runtime/tracing.h
	$(BIN)/python -m triton_spacemit.backend.wire > backend/runtime/wire.h
	$(BIN)/python -m triton_spacemit.dialect.ime > backend/runtime/ime_table.h
	$(BIN)/python -m triton_spacemit.dialect.reference > docs/dialect.md
	$(BIN)/python -m triton_spacemit.passes.reference > docs/passes.md
	$(BIN)/python -m triton_spacemit.ops.reference docs/operators.json > docs/operators.md

# The distribution's QEMU where it is recent enough, else one of our own.
qemu: $(VENV)/installed
	@$(BIN)/python -m triton_spacemit.backend.tools.fetch_qemu --if-needed

# Boards behind OpenSSH's server are tested with the system's, or with Debian's, unpacked beside QEMU; where it cannot be had, they are not.
sshd: $(VENV)/installed
	@$(BIN)/python test/ssh_server.py

# The tests of the inspector's page look at it in Debian's chromium, where this may install it; elsewhere they say that they did not run.
browser:
	@command -v chromium > /dev/null && command -v chromedriver > /dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null \
	&& apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium chromium-driver > /dev/null; } \
	|| echo "no chromium, and it cannot be installed here: the inspector's page will not be looked at"

# PyTorch first: as a dependency of a dependency, pip would take its newest build with a GPU's libraries.
$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q torch==2.13.0
	$(BIN)/pip install -q -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
