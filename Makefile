# Few verbs. `make demo` and `make test` are all a newcomer needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
# Two workers: what the smallest machine we promise has. WORKERS=0 runs in one process.
WORKERS ?= 2
# The quantization figures that say nothing of this machine's speed.
QUICK_FIGURES := channels,ad,logits,int16x8,mixed

.PHONY: help demo test test-all bench bench-quantize bench-mobile lint types install install-test install-all clean

help:
	@echo "make demo      digits model -> C -> virtual STM32F746 -> per-layer table and accuracy"
	@echo "make test      lint, types and tests; under 20 minutes on 2 cores, no TensorFlow"
	@echo "make test-all  the same with the heavy frameworks, the slow tests and the figures"
	@echo "make bench     the four MLPerf Tiny models on every virtual board, beside the peer's figures"
	@echo "make bench-quantize  what quantizing, pruning and searching reach, and their targets"
	@echo "make bench-mobile  the four models as packages for phones' GPUs: GPU against CPU"
	@echo "make clean     removes what builds made, the environment included"

# One stamp an extra, so that nothing is installed twice and nothing inside a test.
$(VENV)/.made:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	touch $@

$(VENV)/.%: $(VENV)/.made pyproject.toml
	@echo "installing edge-autoglm[$*] into $(VENV)"
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	touch $@

install: $(VENV)/.demo
install-test: $(VENV)/.test
install-all: $(VENV)/.test $(VENV)/.train $(VENV)/.keras

demo: $(VENV)/.demo
	$(BIN)/python examples/digits/demo.py

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test
	$(BIN)/python -m mypy

test: lint types
	$(PYTEST) -n $(WORKERS) -m "not slow" $(PYTEST_ARGS)

test-all: install-all lint types
	$(PYTEST) -n $(WORKERS) $(PYTEST_ARGS)
	$(BIN)/python tools/bench.py --check $(BENCH_ARGS)
	$(BIN)/python tools/bench_quantize.py --check --only $(QUICK_FIGURES) $(BENCH_ARGS)
	$(BIN)/python tools/bench_mobile.py --check $(BENCH_ARGS)

bench-quantize: install-all
	$(BIN)/python tools/bench_quantize.py $(BENCH_ARGS)

bench-mobile: $(VENV)/.test
	$(BIN)/python tools/bench_mobile.py $(BENCH_ARGS)

bench: $(VENV)/.test
	$(BIN)/python tools/bench.py $(BENCH_ARGS)

clean:
	rm -rf $(VENV) build out .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
