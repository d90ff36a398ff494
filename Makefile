# Needs Python >= 3.11, pip and make. Everything else goes into .venv.
#
#   make demo    the whole life of a small model: data, training, GGUF, serving, evaluation, card
#   make test    every test, on real engines and the embedded model
#   make test-vllm   the engines' contract on a real vLLM, in an environment of its own (some GB)
#   make test-browser  the pages, by clicks, in a real Chromium (Debian's, installed if it is missing)
#   make lint    ruff and mypy --strict
#   make bench   the speed tables of benchmarks/

PYTHON ?= python3
# The CPU build of torch is enough for everything here; on a GPU machine set TORCH to another one.
TORCH ?= torch==2.13.0
BIN := .venv/bin
INSTALLED := .venv/.installed
# On a machine with a GPU: make test-vllm VLLM=vllm
VLLM ?= --no-deps --requirement tests/vllm/requirements.txt
VLLM_INSTALLED := .venv-vllm/.installed
LITELLM ?= litellm[mcp]==1.106.2
LITELLM_INSTALLED := .venv-litellm/.installed

# Root needs no sudo, and a container may have none.
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
CHROMIUM := $(or $(FORMOSA_CHROMIUM),$(shell command -v chromium || command -v google-chrome))

# Those that need nothing but this environment; the others say what they want with --help.
BENCHMARKS := parser bfcl_checker data_prepare training_speed sampling adapter_speed gateway eval_speed web_log

# llama.cpp and torch share two cores here: waiting threads spin for microseconds, then sleep.
export OMP_WAIT_POLICY ?= passive
export GOMP_SPINCOUNT ?= 1000
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-vllm test-browser chromium lint bench clean

demo: $(INSTALLED)
	$(BIN)/formosa run recipes/mini.yaml

test: $(INSTALLED) $(LITELLM_INSTALLED)
	FORMOSA_LITELLM_PYTHON=$(CURDIR)/.venv-litellm/bin/python $(BIN)/python -m pytest

test-vllm: $(INSTALLED) $(VLLM_INSTALLED)
	FORMOSA_VLLM_PYTHON=$(CURDIR)/.venv-vllm/bin/python \
		$(BIN)/python -m pytest tests/test_engines_vllm.py tests/test_engines_contract.py \
		tests/test_export_served.py -k vllm

test-browser: $(INSTALLED) chromium
	$(BIN)/python -m pytest tests/browser -m browser

# Its own sandbox and Chinese letters come with it; nothing is done where one is there.
chromium:
ifeq ($(CHROMIUM),)
	$(SUDO) apt-get update --quiet
	$(SUDO) apt-get install --quiet --yes --no-install-recommends chromium fonts-noto-cjk
endif

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED)
	for name in $(BENCHMARKS); do $(BIN)/python benchmarks/$$name.py || exit 1; done

# The stamp is written last, so an interrupted installation is done again.
$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet '$(TORCH)'
	$(BIN)/python -m pip install --quiet --editable '.[data,train,llama,mcp,eval,dev]'
	touch $(INSTALLED)

# LiteLLM wants older versions of the openai client and the hub library.
$(LITELLM_INSTALLED): Makefile
	$(PYTHON) -m venv .venv-litellm
	.venv-litellm/bin/python -m pip install --quiet '$(LITELLM)'
	touch $(LITELLM_INSTALLED)

# vLLM pins its own torch and a hundred other packages: apart from ours.
$(VLLM_INSTALLED): tests/vllm/requirements.txt
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --quiet '$(TORCH)'
	.venv-vllm/bin/python -m pip install --quiet $(VLLM)
	touch $(VLLM_INSTALLED)

clean:
	rm -rf .venv .venv-vllm .venv-litellm build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
