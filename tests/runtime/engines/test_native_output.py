"""Engines' own log lines stay out of an app's stderr, and nothing else does."""

import os
import subprocess
import sys

import pytest
from support import ROOT

ARTIFACT = ROOT / "exported/compact_cnn/int8.tflite"
USE = """
import sys
import numpy as np
from fmnist_edge.runtime import Classifier
with Classifier.load(sys.argv[1], engine=sys.argv[2]) as classify:
    classify(np.zeros((28, 28), np.uint8))
    print(classify.engine.name)
"""
OTHERS = """
import os, sys
from fmnist_edge.runtime.engines.native_output import without_log
with without_log():
    os.write(2, b"INFO: a log line\\nthe app's own line\\n\\xff\\n")
    print("of Python", file=sys.stderr, flush=True)
    subprocess = os.system("echo of a child >&2")
os.write(2, b"after\\n")
"""


def stderr_of(code: str, *arguments: object, **variables: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "FMNIST_EDGE_VERBOSE"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env={**environment, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True, check=True,
    )  # fmt: skip
    return done.stderr.decode(errors="replace")


@pytest.mark.parametrize("engine", ["litert", "litert-builtin", "numpy"])
def test_an_app_has_a_quiet_stderr(engine):
    assert stderr_of(USE, ARTIFACT, engine) == ""


def test_the_switch():
    assert "XNNPACK delegate" in stderr_of(USE, ARTIFACT, "litert", FMNIST_EDGE_VERBOSE="1")


def test_only_log_lines_are_left_out():
    assert stderr_of(OTHERS) == "the app's own line\n\ufffd\nof Python\nof a child\nafter\n"


def test_without_stderr():
    """As in a service whose descriptors are closed."""
    code = f"import os; os.close(2)\n{USE}"
    assert stderr_of(code, ARTIFACT, "litert") == ""
