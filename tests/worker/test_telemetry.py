"""ONNX Runtime's telemetry is off in every process of ours."""

import ast
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request

import pytest
from support import ROOT

from fmnist_edge.worker import telemetry
from fmnist_edge.worker.calls import child_environment

VARIABLE = "ORT_DISABLE_TELEMETRY"
MODEL = ROOT / "exported/compact_cnn/float32.onnx"
# Loads a model in the parent, as `gunicorn --preload` does, and uses it in a forked child.
PRELOAD = """
import json, os, sys
import numpy as np
from fmnist_edge.runtime import Classifier
classify = Classifier.load(sys.argv[1], threads=1)
image = np.zeros((28, 28), np.uint8)
classify(image)
pid = os.fork()
if not pid:
    classify(image)
    sys.exit(7)
_, status = os.waitpid(pid, 0)
print(json.dumps({"threads": len(os.listdir("/proc/self/task")), "child": os.waitstatus_to_exitcode(status)}))
"""
APP = """
import json
import numpy as np
from fmnist_edge.runtime import Classifier
classify = Classifier.load({model!r}, threads=1)
def app(environ, start_response):
    start_response("200 OK", [])
    return [classify(np.zeros((28, 28), np.uint8)).label.encode()]
"""


def environment_without(home) -> dict[str, str]:
    """Our children's environment as an app has it: telemetry is not turned off, and `home` is empty."""
    kept = {name: value for name, value in child_environment().items() if name not in (VARIABLE, "XDG_CACHE_HOME")}
    return {**kept, "HOME": str(home)}


def test_children_get_the_variable():
    assert child_environment()[VARIABLE] == "1"


def test_the_command_line_sets_it(monkeypatch):
    from fmnist_edge.cli import main

    monkeypatch.setenv(VARIABLE, "0")
    assert main(["models"]) == 0
    assert os.environ[VARIABLE] == "1"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("onnxruntime", "OnnxRuntimeEngine"),
        ("onnxruntime_cuda", "OnnxRuntimeCudaEngine"),
        ("onnxruntime_webgpu", "OnnxRuntimeWebGpuEngine"),
    ],
)
def test_engines_set_it_before_the_import(tmp_path, module, name):
    (tmp_path / "onnxruntime.py").write_text(
        f"import os\nraise SystemExit('it is ' + os.environ.get('{VARIABLE}', '-'))"
    )
    code = f"from fmnist_edge.runtime.engines.{module} import {name}; {name}('no-file.onnx', threads=1)"
    environment = environment_without(tmp_path)
    environment["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{environment['PYTHONPATH']}"
    end = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert end.stderr.strip() == "it is 1"


def imports_of_onnxruntime():
    """(file, line, code of the function before that line) of each import of ONNX Runtime that runs."""
    for path in sorted((ROOT / "fmnist_edge").rglob("*.py")):
        text = path.read_text()
        for function in ast.walk(ast.parse(text)):
            if not isinstance(function, ast.FunctionDef):
                continue
            for node in ast.walk(function):
                names = [item.name for item in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
                if any(re.match(r"onnxruntime(\.|$)", name) for name in names):
                    before = text.splitlines()[function.lineno - 1 : node.lineno - 1]
                    yield path.relative_to(ROOT).as_posix(), node.lineno, "\n".join(before)


@pytest.mark.slow
def test_every_import_turns_it_off_first():
    found = list(imports_of_onnxruntime())
    assert len(found) > 4
    # benchmark/bare.py imports nothing of ours. It runs in children, which get the variable from `child_environment`.
    wrong = [
        item[:2]
        for item in found
        if "telemetry.turn_off()" not in item[2] and item[0] != "fmnist_edge/benchmark/bare.py"
    ]
    assert wrong == []


def test_no_file_no_thread_and_forks_end(tmp_path):
    """Fails without `turn_off` from ONNX Runtime 1.32 on; earlier versions have no telemetry."""
    pytest.importorskip("onnxruntime")
    call = [sys.executable, "-c", PRELOAD, str(MODEL)]
    end = subprocess.run(
        call, env=environment_without(tmp_path), capture_output=True, text=True, timeout=120, check=True
    )
    assert json.loads(end.stdout) == {"threads": 1, "child": 7}
    assert not (tmp_path / ".cache/Microsoft").exists()


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("gunicorn") is None, reason="gunicorn is not installed")
def test_gunicorn_with_preload_ends_cleanly(tmp_path):
    (tmp_path / "app.py").write_text(APP.format(model=str(MODEL)))
    log = tmp_path / "log"
    call = [sys.executable, "-m", "gunicorn", "--preload", "-w", "2", "-b", "127.0.0.1:0", "app:app"]
    environment = {**environment_without(tmp_path), "PYTHONSAFEPATH": ""}
    with log.open("w") as stream, subprocess.Popen(call, cwd=tmp_path, env=environment, stderr=stream) as process:
        end = time.monotonic() + 60
        while not (found := re.search(r"Listening at: (\S+)", log.read_text())) and time.monotonic() < end:
            time.sleep(0.1)
        assert found, log.read_text()
        with urllib.request.urlopen(found[1], timeout=60) as answer:
            assert answer.read()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert "Worker" not in log.read_text().split("Handling signal")[1].replace("Worker exiting", "")


def test_the_variable_is_told_once():
    assert telemetry.VARIABLES == {VARIABLE: "1"}
