# `make demo` and `make test` need only python3 (3.11 or later) with venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EDGE := $(BIN)/fmnist-edge
READY := $(VENV)/.ready
DEMO := build/demo
GPU := build/gpu
PLAN ?= quick
LIMIT ?= 500
MODELS := tiny_resnet tiny_googlenet
# Two processes on two cores: were each to take both, they would wait for one another.
ALONE := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
# Tests start hundreds of processes, which are faster with compiled modules.
unexport PYTHONDONTWRITEBYTECODE
PYTEST := $(ALONE) $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder
OLD := $(VENV)-tflite-runtime
OLD_READY := $(OLD)/.ready
FUZZER := $(VENV)-fuzz
TORTURE := PYTHONPATH=.:tests $(BIN)/python -m torture
TOOLS := $(VENV)-release
TOOLS_READY := $(TOOLS)/.ready
LOCKS := requirements.lock requirements-runtime.lock requirements-tflite-runtime.lock requirements-release.lock requirements-fuzz.lock requirements-pyinstaller.lock requirements-mediapipe.lock
# Installs only packages that a lock file names, with one of its hashes.
INSTALL := -m pip install --disable-pip-version-check --quiet --no-deps --require-hashes
SERVED := exported/tiny_resnet/int8.tflite
WEB := build/web
NPM := build/npm
IN_BROWSER := build/browser
BROWSER_MODELS := tiny_resnet_edge compact_cnn
MODEL ?= tiny_resnet_edge
PORT ?= 8000
SHIPPED := tiny_resnet tiny_resnet_edge tiny_googlenet tiny_googlenet_edge compact_cnn tuned_cnn
PAGES := compact_cnn tiny_googlenet tiny_resnet

.PHONY: help data demo web npm web-bench test test-all test-long sshd torture coverage-table lint types docs bench gpu report exported matrix c-matrix compat aarch64 emulate emulate-c instructions estimate boards npu microcontroller firmware-sizes soak audit licences release lock wheel clean
.DELETE_ON_ERROR:

help:  ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | column -t -s '|'

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	@echo "installing locked dependencies into $(VENV) (about 2 GB on disk, some minutes the first time)"
	$(BIN)/python $(INSTALL) --progress-bar on -r requirements.lock
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

web: $(READY) data  ## export MODEL as a web page and serve it at http://localhost:8000 (needs clang and lld)
	$(EDGE) export $(MODEL) --format web --out $(WEB)
	@echo "http://localhost:$(PORT)/ has the page; end with Ctrl-C"
	$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory $(WEB)/$(MODEL)/int8_only.web

npm: $(READY)  ## install ONNX Runtime Web and LiteRT.js, peers in the browser, into build/npm (185 MB)
	@npm install --prefix $(NPM) --no-audit --no-fund --ignore-scripts --loglevel=error \
		$$($(BIN)/python -c 'from fmnist_edge.runtime.engines.browser import npm_packages; print(npm_packages())') \
		|| echo "no npm packages: the tests of peers in the browser will be skipped" >&2

web-bench: $(READY) data npm  ## measure BROWSER_MODELS in a headless Chromium, beside ONNX Runtime Web and LiteRT.js
	$(EDGE) export $(BROWSER_MODELS) --format web --out $(IN_BROWSER)
	$(EDGE) export $(BROWSER_MODELS) --format onnx --precision float32 --precision int8 --out $(IN_BROWSER)
	$(EDGE) export $(BROWSER_MODELS) --format tflite --precision float32 --precision dynamic_int8 --out $(IN_BROWSER)
	$(EDGE) bench $(IN_BROWSER) --target browser --npm $(NPM) --plan $(PLAN)

test: $(READY) data sshd  ## the tests, without those marked slow
	$(PYTEST) -m "not slow"

test-all: $(READY) data sshd npm  ## what CI runs: also torture, soak, fresh environments, real studies
	$(PYTEST) -m "not long"

test-long: $(READY) data  ## what CI has no time for: all of keras.applications, 10,000 images through each C form
	$(PYTEST) -m long

sshd:  # for the tests of `bench --on`, which are skipped without it
	@sh scripts/get-sshd.sh || echo "no sshd: the tests of bench --on will be skipped" >&2

torture: $(READY) $(FUZZER)/.ready data  ## test hostile files, kills, full disks, numerical edges, fuzzing; write docs/reliability.md (an hour)
	$(TORTURE) hostile
	$(TORTURE) interrupt
	$(TORTURE) refusals
	$(TORTURE) edges
	PYTHONPATH=.:tests $(FUZZER)/bin/python -m torture fuzz
	$(TORTURE) report

coverage-table: $(READY)  ## export a small model around every layer in every precision, compare; write docs/coverage.md (an hour; resumes)
	$(ALONE) PYTHONPATH=.:tests $(BIN)/python -m coverage_table $(if $(ONLY),--only $(ONLY)) $(if $(APPLICATIONS),--applications)

$(FUZZER)/.ready:
	$(PYTHON) -m venv $(FUZZER)
	$(FUZZER)/bin/python $(INSTALL) -r requirements-fuzz.lock
	@touch $@

lint: $(READY)  ## check the style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## check static types
	$(BIN)/mypy

docs: $(READY)  ## write docs/cli.md from the parsers of the commands
	$(BIN)/python -m fmnist_edge.commands.reference docs/cli.md

bench: $(READY) data  ## measure the latency of exported/ on this machine, with plan quick; choose another with PLAN=standard
	$(EDGE) bench exported --plan $(PLAN)

gpu: $(READY) data  ## measure the latency of MODELS on this machine's GPU, in batches of 1, 8, 32 and 128 (docs/gpu.md)
	$(EDGE) export $(MODELS) --format onnx --precision float32 --precision float16 --batch dynamic --out $(GPU)/onnx
	for batch in 1 8 32 128; do \
	    $(EDGE) export $(MODELS) --format tflite --precision float32 --precision float16 --batch $$batch --out $(GPU)/batch$$batch || exit; \
	done
	-$(EDGE) export $(MODELS) --format ncnn --out $(GPU)/batch1
	$(EDGE) bench $(GPU) --target gpu

report: $(READY)  ## show what is in benchmarks/results, in reports/ and in the tables of README and docs/
	$(EDGE) report
	grep -l '^<!-- report:' *.md docs/*.md | while read -r page; do $(EDGE) report --readme $$page >/dev/null || exit; done

exported: $(READY) data  ## export again the shipped files in exported/ (needs clang and lld)
	$(EDGE) export $(SHIPPED) --format onnx --precision float32
	$(EDGE) export $(SHIPPED) --format tflite --precision int8
	$(EDGE) export $(PAGES) --format web
	$(EDGE) confidence $(SHIPPED:%=exported/%/float32.onnx) $(SHIPPED:%=exported/%/int8.tflite) $(PAGES:%=exported/%/int8_only.web)

$(OLD_READY): requirements-tflite-runtime.lock
	$(PYTHON) -m venv $(OLD)
	$(OLD)/bin/python $(INSTALL) -r $<
	@touch $@

$(TOOLS_READY): requirements-release.lock
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python $(INSTALL) -r $<
	@touch $@

matrix: $(READY) $(OLD_READY) data  ## check that exported/ gives the same answers in every engine
	$(EDGE) matrix exported --tflite-runtime $(OLD)/bin/python

c-matrix: $(READY) data  ## compare the C form of every model: Python, C here, C on emulated cores, C as WebAssembly
	$(EDGE) export $(notdir $(wildcard exported/*)) --format tflite --precision int8_only --out build/c-form
	$(EDGE) export $(notdir $(wildcard exported/*)) --format c --out build/c-form
	$(EDGE) matrix build/c-form/*/int8_only.c --emulated

compat: $(READY) $(OLD_READY) data wheel  ## check that the wheel and the shipped int8 artifacts give the same answers in tflite-runtime 2.14 and NumPy 1
	mkdir -p build
	$(OLD)/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --force-reinstall dist/fmnist_edge_runtime-*.whl
	$(OLD)/bin/python scripts/readme_example.py exported/*/int8.tflite
	PYTHONPATH=. $(OLD)/bin/python scripts/compat.py run litert build/old.json
	$(BIN)/python scripts/compat.py run litert-builtin build/builtin.json
	$(BIN)/python scripts/compat.py run litert build/xnnpack.json
	$(BIN)/python scripts/compat.py compare build/xnnpack.json build/old.json
	$(BIN)/python scripts/compat.py same build/builtin.json build/old.json

emulate: $(READY) data  ## run exported/ on emulated Cortex-A53, A72 and A76: answers, instructions (needs qemu-user, gcc)
	$(EDGE) emulate exported --limit $(LIMIT)

emulate-c: $(READY) data  ## count the instructions of the C form of every model on the same cores (needs gcc-aarch64-linux-gnu too)
	$(EDGE) export $(notdir $(wildcard exported/*)) --format tflite --precision int8_only --out build/c-form
	$(EDGE) export $(notdir $(wildcard exported/*)) --format c --out build/c-form
	$(EDGE) emulate build/c-form/*/int8_only.c --limit 100

instructions: $(READY) data  ## fail when an artifact of exported/ takes over 1 % more instructions than is committed (needs qemu-user, gcc)
	$(EDGE) emulate exported --limit 1 --out build/emulated --baseline benchmarks/emulated --fail-if-more 1%

estimate: $(READY)  ## estimate the latency of exported/ on Raspberry Pi boards; needs no emulator
	$(EDGE) estimate exported --report benchmarks/estimated/estimates.json

boards: $(READY)  ## tell on which boards the shipped models fit; write docs/boards.md
	$(EDGE) fit exported/*/int8.tflite --page docs/boards.md

npu: $(READY)  ## compile the shipped models for an Ethos-U, and hold them to lists of ops; write the table in docs/npu.md
	-$(EDGE) npu exported/*/int8.tflite --target ethos-u55-128 --target ethos-u85-256 --target edge-tpu --target nnapi --out build/npu --page docs/npu.md

aarch64: $(READY) wheel  ## test the wheel for devices and exported/ on the same emulated cores (needs qemu-user)
	PYTHON=$(BIN)/python sh scripts/aarch64.sh build/emulation dist/fmnist_edge_runtime-*.whl exported/*/int8.tflite exported/*/float32.onnx

microcontroller: $(READY) data  ## cross-compile c-array sources and read them on an emulated Cortex-M (needs gcc-arm-none-eabi, qemu-system-arm)
	$(BIN)/python -m pytest tests/exporters/test_c_array.py

firmware-sizes: $(READY)  ## print what firmwares with the C form take on each Cortex-M (needs gcc-arm-none-eabi)
	$(EDGE) export $(SHIPPED) --format c --out build/c-form
	$(BIN)/python -m fmnist_edge.parity.c_form.firmware_sizes $(SHIPPED:%=build/c-form/%/int8_only.c)

wheel: $(READY)  ## build two wheels in dist/: the whole package, and the runtime alone for devices
	rm -rf build/lib dist
	$(BIN)/python -m build --no-isolation --wheel
	$(BIN)/python scripts/runtime_wheel.py dist

soak: $(READY)  ## test the example service: 10 minutes at twice its capacity, and 10,000 malformed requests
	$(BIN)/python scripts/soak_service.py $(SERVED)
	$(BIN)/python scripts/malformed_requests.py $(SERVED)

audit: $(TOOLS_READY)  ## list known vulnerabilities of all locked packages, with pip-audit (asks pypi.org)
	$(TOOLS)/bin/python scripts/audit.py $(LOCKS)

licences: $(READY) $(TOOLS_READY)  ## write the table in docs/licences.md from the installed packages
	$(TOOLS)/bin/python scripts/licences.py $(BIN)/python

release: export SOURCE_DATE_EPOCH = $(shell git log -1 --format=%ct 2>/dev/null || echo 315532800)
release: wheel $(TOOLS_READY)  ## build build/release: wheels, their SBOMs, licences, lock files, and SHA256SUMS of all of these
	rm -rf build/release
	mkdir -p build/release
	cp dist/*.whl LICENSE docs/licences.md $(LOCKS) build/release
	$(TOOLS)/bin/python scripts/sbom.py $(BIN)/python build/release dist/*.whl
	cd build/release && LC_ALL=C sha256sum * >../SHA256SUMS && mv ../SHA256SUMS . && sha256sum --check --strict --quiet SHA256SUMS
	@echo "build/release is complete; to check it, cd there and run: sha256sum --check SHA256SUMS"

COMPILE = $(TOOLS)/bin/uv pip compile --no-strip-markers --python-version 3.11 --no-header --no-annotate --generate-hashes --upgrade
lock: $(TOOLS_READY)  ## choose dependency versions again, and write every lock file
	$(COMPILE) --extra dev pyproject.toml -o requirements.lock
	$(COMPILE) --extra litert --extra onnx -c requirements.lock pyproject.toml -o requirements-runtime.lock
	$(COMPILE) --group tflite-runtime -o requirements-tflite-runtime.lock
	$(COMPILE) --group release -o requirements-release.lock
	$(COMPILE) --group fuzz -o requirements-fuzz.lock
	$(COMPILE) --group mediapipe -o requirements-mediapipe.lock
	$(COMPILE) --group pyinstaller -c requirements.lock -o requirements-pyinstaller.lock

clean:  ## remove everything that make created
	rm -rf $(VENV) $(OLD) $(TOOLS) $(FUZZER) build dist reports runs *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
