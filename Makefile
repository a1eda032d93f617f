# Everything that a user does with mlubench. `make eval` and `make test` set up what they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SHELL := /bin/bash

# Options of `make eval` and `make nightly`, passed on where make's own command line gives them (a
# variable of that name in the environment is none): make eval MODEL=sample DEVICES="cpu:0 cpu:1"
OPTIONS := MODEL DATASET PROTOTXT CAFFEMODEL ONNX INPUT_SIZE RESIZE RESIZE_SIZE LABEL_ORDER IMAGE_DIR \
           LABEL_FILE LABEL_FILE_ORDER CALIBRATION_DIR CALIBRATION_NUM BATCH_SIZE DYNAMIC_SHAPE \
           IMAGE_NUM ENGINE SHARDS RUNNER SCHEDULER TUNE MAX_CORRUPT MAX_DROP OUT ARTIFACTS INPUT_WIDTH INPUT_HEIGHT RGB2BGR \
           CALIBRATION_ALGO WEIGHT_QUANT_GRANULARITY ACTIVATION_QUANT_ALGO FILE_LIST \
           CALIBRATION_DATA_PATH COMPUTATION_PREFERENCE TYPE64TO32_CONVERSION CONV_SCALE_FOLD \
           TOOLCHAIN_PATH RPC_SERVER BUILD_CONFIG QUANT_MODE SHAPE_MUTABLE CAFFE_MODEL DEVICE_ID
# Those that take several values, apart by spaces.
LISTS := MEANS VARS PRECISION DEVICES CONF INPUT_DIMS DIM_RANGE_MIN DIM_RANGE_MAX INPUT_LAYOUT \
         INPUT_DTYPES OUTPUT_LAYOUT OUTPUT_DTYPES RANDOM_CALIB_RANGE MLU_ARCH CLUSTER_NUM PLUGIN KEEP_FLOAT
lower = $(shell echo '$(1)' | tr A-Z a-z)
given = $(foreach option,$(1),$(if $(filter command,$(firstword $(origin $(option)))),--$(call lower,$(option)) $(call $(2),$($(option)))))
quoted = '$(subst ','\'',$(1))'
plain = $(1)
GIVEN = $(call given,$(OPTIONS),quoted) $(call given,$(LISTS),plain)

# Options of `make bench`: those that say what is compiled, and its own.
BENCH_OPTIONS := $(filter-out DATASET IMAGE_DIR LABEL_FILE LABEL_FILE_ORDER IMAGE_NUM SHARDS RUNNER SCHEDULER MAX_CORRUPT \
                 MAX_DROP BATCH_SIZE DYNAMIC_SHAPE SHAPE_MUTABLE,$(OPTIONS)) \
                 THREADS INFER_DEPTH ROUNDS WARMUP DURATION ITERATIONS
BENCH_LISTS := $(LISTS) BATCH_SIZE DYNAMIC_SHAPE
GIVEN_BENCH = $(call given,$(BENCH_OPTIONS),quoted) $(call given,$(BENCH_LISTS),plain)

# Prefect: no telemetry, its database with the other artifacts, time to start on a small machine.
export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS := 120
export PREFECT_HOME ?= $(CURDIR)/artifacts/prefect
PREFECT_SERVER_API_PORT ?= 4200

.DEFAULT_GOAL := help
.PHONY: help setup eval bench nightly run server deploy test test-long test-postgres smoke bench-pipeline bench-crosscheck bench-rivals \
        bench-cold bench-growth bench-night bench-selfcheck bench-decoders bench-importing bench-reporting bench-overlap bench-startup \
        bench-orchestration bench-memory \
        chaos soak lint format diagram proto clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/ready  ## make the environment, .venv

eval: $(VENV)/ready  ## judge a network in three precisions (default: the embedded sample)
	@$(BIN)/mlubench eval $(GIVEN)

bench: $(VENV)/ready  ## measure throughput and latency in three precisions: perf.sh
	@$(BIN)/mlubench bench $(GIVEN_BENCH)

# The samples' run.sh: one network in one precision, with the samples' defaults and file names.
run: MODEL ?= senet50
run: PRECISION ?= force_float32
run: DYNAMIC_SHAPE ?= true
run: BATCH_SIZE ?= 1
run: IMAGE_NUM ?= 1000
run: IMAGE_DIR ?= $(ILSVRC2012_DATASETS_PATH)
# Folders and names of wnids, and Parquet shards, tell the classes without a list.
run: LABEL_FILE ?= $(shell ls '$(IMAGE_DIR)/ILSVRC2012_val.txt' 2>/dev/null)
run: LABEL_FILE_ORDER ?= 2012
run: OUT ?= artifacts
run: MODE = $(PRECISION)_$(DYNAMIC_SHAPE)_$(BATCH_SIZE)
run: RESULTS = $(OUT)/output/infer_cpp_output_$(MODE)
run: $(VENV)/ready  ## fetch, compile, infer and score one network in one precision: run.sh
	$(BIN)/mlubench fetch '$(MODEL)' --out '$(OUT)'
	$(BIN)/mlubench compile --model '$(MODEL)' --precision $(PRECISION) --out '$(OUT)' \
	    --dynamic_shape $(DYNAMIC_SHAPE) --batch_size $(BATCH_SIZE) \
	    $(if $(CALIBRATION_DIR),--calibration_dir '$(CALIBRATION_DIR)') \
	    --magicmind_model '$(OUT)/models/$(MODEL)_model_$(MODE)'
	$(BIN)/mlubench infer --magicmind_model '$(OUT)/models/$(MODEL)_model_$(MODE)' --out '$(OUT)' \
	    --image_dir '$(IMAGE_DIR)' --image_num $(IMAGE_NUM) --batch_size $(BATCH_SIZE) \
	    $(if $(LABEL_FILE),--label_file '$(LABEL_FILE)' --label_file_order $(LABEL_FILE_ORDER)) \
	    --result_file '$(RESULTS)/infer_result.txt' \
	    --result_label_file '$(RESULTS)/eval_labels.txt' \
	    --result_top1_file '$(RESULTS)/eval_result_1.txt' \
	    --result_top5_file '$(RESULTS)/eval_result_5.txt'
	$(BIN)/mlubench accuracy --result_label_file '$(RESULTS)/eval_labels.txt' \
	    --result_1_file '$(RESULTS)/eval_result_1.txt' \
	    --result_5_file '$(RESULTS)/eval_result_5.txt' \
	    --top1andtop5_file '$(RESULTS)/eval_result.txt'

nightly: SUITE ?= nightly
nightly: $(VENV)/ready  ## run a suite and judge it: SUITE=smoke, seed, nightly or your own
	@$(BIN)/mlubench nightly $(call quoted,$(SUITE)) $(call given,ONLY,quoted) $(GIVEN)

server: $(VENV)/ready  ## Prefect's server, UI, worker and deployments on 127.0.0.1, until Ctrl-C
	@PREFECT_SERVER_API_PORT=$(PREFECT_SERVER_API_PORT) exec $(BIN)/python -m flows.service

deploy: $(VENV)/ready  ## tell the running server of prefect.yaml and of the alert
	@PREFECT_SERVER_API_PORT=$(PREFECT_SERVER_API_PORT) $(BIN)/python -m flows.service.deploy

# In the order of tests/conftest.py: pytest-xdist's own begins with the files of the most tests.
PYTEST = $(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

test: $(VENV)/ready-dev  ## all tests but the long ones, files side by side on all cores
	$(PYTEST)

test-long: export MLUBENCH_TEST_LONG := 1
test-long: $(VENV)/ready-dev  ## the long ones: large networks, several hosts, PostgreSQL, tuning
	$(PYTEST) -m long

test-postgres: $(VENV)/ready-dev  ## Prefect on a real PostgreSQL, eight evaluations at once
	$(BIN)/pytest -m long tests/flows/test_postgres.py

# A subset, in an environment of its own: NEWEST names another Python.
NEWEST ?= $(shell .ci/newest-python)
smoke:  ## the packages and a part of the tests on the newest Python at hand
	.ci/smoke '$(NEWEST)'

# CHAOS_SEED, CHAOS_MINUTES and CHAOS_ONLY, SOAK_MINUTES: docs/reliability.md.
chaos: $(VENV)/ready-dev  ## faults of every kind, 15 minutes of them: CHAOS_MINUTES=5 CHAOS_SEED=1
	$(BIN)/python -m tests.chaos

soak: $(VENV)/ready-dev  ## evaluations for 30 minutes; nothing may grow: SOAK_MINUTES=5
	$(BIN)/python -m tests.chaos.soak

bench-pipeline: $(VENV)/ready-dev  ## how much of the engine's own rate an evaluation reaches
	$(BIN)/python -m benchmarks.pipeline

# What runs under the engine's interpreter is Python 3.7. Annotations are not evaluated there.
GUESTS := mlubench/__init__.py mlubench/errors.py mlubench/store.py mlubench/worker mlubench/engines

bench-crosscheck: $(VENV)/ready-dev  ## speeds against MLPerf's LoadGen and OpenVINO's benchmark_app
	$(BIN)/python -m benchmarks.crosscheck

bench-cold: $(VENV)/ready-dev  ## a cold evaluation over what cannot be avoided
	$(BIN)/python -m benchmarks.cold

bench-growth: $(VENV)/ready-dev  ## what the host does for an image, with 1 to 16 cards
	$(BIN)/python -m benchmarks.growth

bench-night: $(VENV)/ready-dev  ## a night on 1 to 256 cards, simulated
	$(BIN)/python -m benchmarks.night

bench-rivals: $(VENV)/ready-dev  ## an evaluation against the scripts that people write by hand
	$(BIN)/python -m benchmarks.rivals

bench-selfcheck: $(VENV)/ready-dev  ## whether comparisons of speed raise false alarms and see a loss
	$(BIN)/python -m benchmarks.selfcheck

bench-decoders: $(VENV)/ready-dev  ## decoders of JPEGs: pixels against cv2.imread, and speed
	$(BIN)/python -m benchmarks.decoders

bench-importing: $(VENV)/ready-dev  ## seconds and memory of importing a 112 MB caffemodel
	$(BIN)/python -m benchmarks.importing

bench-reporting: $(VENV)/ready-dev  ## seconds and memory of merging, judging and writing a run
	$(BIN)/python -m benchmarks.reporting

bench-overlap: $(VENV)/ready-dev  ## what a cold run gains by inferring while it decodes
	$(BIN)/python -m benchmarks.overlap

bench-orchestration: $(VENV)/ready-dev  ## what Prefect costs an evaluation
	$(BIN)/python -m benchmarks.orchestration

bench-memory: $(VENV)/ready-dev  ## what an evaluation holds, with few images and with many
	$(BIN)/python -m benchmarks.memory

bench-startup: $(VENV)/ready-dev  ## what is waited for before anything is computed
	$(BIN)/python -m benchmarks.startup

lint: $(VENV)/ready-dev  ## style, types, Python 3.7 where it must be, containers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/vermin --target=3.7- --no-eval-annotations --violations --quiet $(GUESTS)
	$(BIN)/hadolint containers/*.Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec containers/compose.yaml

format: $(VENV)/ready-dev  ## mend the style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

diagram: $(VENV)/ready-dev  ## draw docs/architecture.md's diagram again, from the imports
	$(BIN)/python -m tests.support.architecture

proto: $(VENV)/ready-dev  ## regenerate the reader of Caffe's format
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. mlubench/networks/caffe/caffe.proto

clean:  ## remove the environment and what tools left; artifacts stay
	rm -rf $(VENV) *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "mlubench needs Python 3.11 or later, $(PYTHON) is $$($(PYTHON) -V); name one: make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/ready: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "setting up $(VENV): about a minute"
	@$(PIP) --editable .
	@touch $@

$(VENV)/ready-dev: $(VENV)/ready
	@echo "setting up what the tests need"
	@$(PIP) --editable '.[dev]'
	@touch $@
