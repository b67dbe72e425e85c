# `make demo` and `make test` need python3 (3.11 or later) with venv, and nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EDGE := $(BIN)/fmnist-edge
READY := $(VENV)/.ready
DEMO := build/demo
PLAN ?= quick
IMAGES ?= 500
MODELS := tiny_resnet tiny_googlenet
OLD := $(VENV)-tflite-runtime
OLD_READY := $(OLD)/.ready
SHIPPED := tiny_resnet tiny_resnet_edge tiny_googlenet tiny_googlenet_edge compact_cnn tuned_cnn

.PHONY: help data demo test lint types bench report exported matrix compat aarch64 emulate estimate microcontroller lock wheel clean
.DELETE_ON_ERROR:

help:  ## list the targets
	@sed -n 's/^\([a-z0-9]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | column -t -s '|'

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	@echo "installing locked dependencies into $(VENV) (about 2 GB on disk, some minutes the first time)"
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --progress-bar on --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

data: $(READY)  ## find or fetch Fashion-MNIST
	@$(EDGE) data 2>/dev/null || PATH="$(abspath $(BIN)):$$PATH" sh scripts/get-data.sh

demo: $(READY) data  ## load -> export -> parity -> latency -> classify, on the two headline models
	$(EDGE) export $(MODELS) --precision float32 --precision dynamic_int8 --precision int8 --out $(DEMO)
	$(EDGE) check $(DEMO) --record --report $(DEMO)/parity.json
	$(EDGE) bench $(DEMO) --plan demo --engine litert --engine onnxruntime --parity $(DEMO)/parity.json --out $(DEMO)/bench
	$(EDGE) classify $(DEMO)/tiny_resnet/int8.tflite examples/images/*.png
	$(EDGE) classify $(DEMO)/tiny_googlenet/float32.onnx examples/images/*.png

test: $(READY) data  ## all tests
	$(BIN)/python -m pytest

lint: $(READY)  ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## static types
	$(BIN)/mypy

bench: $(READY) data  ## time what is in exported/ on this machine, by the quick plan; PLAN=standard by another
	$(EDGE) bench exported --plan $(PLAN)

report: $(READY)  ## show what is in benchmarks/results, in reports/ and in README's tables
	$(EDGE) report --readme README.md

exported: $(READY) data  ## make again what ships in exported/
	$(EDGE) export $(SHIPPED) --format onnx --precision float32
	$(EDGE) export $(SHIPPED) --format tflite --precision int8

$(OLD_READY):
	$(PYTHON) -m venv $(OLD)
	$(OLD)/bin/python -m pip install --disable-pip-version-check --quiet tflite-runtime==2.14.0 'numpy<2'
	@touch $@

matrix: $(READY) $(OLD_READY) data  ## what is in exported/ in every engine: the same answers?
	$(EDGE) matrix exported --tflite-runtime $(OLD)/bin/python

compat: $(READY) $(OLD_READY) data wheel  ## the wheel and the shipped int8 artifacts in tflite-runtime 2.14 and NumPy 1: the same answers?
	mkdir -p build
	$(OLD)/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --force-reinstall dist/fmnist_edge_runtime-*.whl
	$(OLD)/bin/python scripts/readme_example.py exported/*/int8.tflite
	PYTHONPATH=. $(OLD)/bin/python scripts/compat.py run litert build/old.json
	$(BIN)/python scripts/compat.py run litert-builtin build/builtin.json
	$(BIN)/python scripts/compat.py run litert build/xnnpack.json
	$(BIN)/python scripts/compat.py compare build/xnnpack.json build/old.json
	$(BIN)/python scripts/compat.py same build/builtin.json build/old.json

emulate: $(READY) data  ## what is in exported/ on emulated Cortex-A53, A72 and A76: answers, instructions (needs qemu-user, gcc)
	$(EDGE) emulate exported --images $(IMAGES)

estimate: $(READY)  ## latency of what is in exported/ on Raspberry Pi boards, estimated; needs no emulator
	$(EDGE) estimate exported --report benchmarks/estimated/estimates.json

aarch64: $(READY) wheel  ## the wheel for devices and what is in exported/ on the same emulated cores (needs qemu-user)
	PYTHON=$(BIN)/python sh scripts/aarch64.sh build/emulation dist/fmnist_edge_runtime-*.whl exported/*/int8.tflite exported/*/float32.onnx

microcontroller: $(READY) data  ## c-array sources, cross-compiled and read by emulated Cortex-M (needs gcc-arm-none-eabi, qemu-system-arm)
	$(BIN)/python -m pytest tests/test_c_array.py

wheel: $(READY)  ## build dist/*.whl: everything, and the runtime alone for devices
	rm -rf build/lib dist
	$(BIN)/python -m build --no-isolation --wheel
	$(BIN)/python scripts/runtime_wheel.py dist

lock:  ## choose dependency versions anew (needs uv)
	uv pip compile --no-strip-markers --python-version 3.11 --no-header --no-annotate --generate-hashes --extra dev pyproject.toml --upgrade -o requirements.lock

clean:  ## remove what make made
	rm -rf $(VENV) $(OLD) build dist reports runs *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
