"""A classifier under load, in small; `scripts/soak.py` is the whole of it."""

import subprocess
import sys

import numpy as np
import pytest
from support import ROOT

from fmnist_edge.runtime import Classifier
from fmnist_edge.worker.calls import child_environment

sys.path.insert(0, str(ROOT / "scripts"))
import soak

MODEL = {"litert": "int8.tflite", "onnxruntime": "float32.onnx"}


def run(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "scripts/soak.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=child_environment(), check=False)


@pytest.mark.slow
@pytest.mark.parametrize("engine", MODEL)
@pytest.mark.parametrize(("calls", "threads"), [(5000, 1), (500, 8)])
def test_memory_is_flat_and_answers_stay(engine, calls, threads):
    path = str(ROOT / "exported/compact_cnn" / MODEL[engine])
    done = run(path, "--calls", str(calls), "--threads", str(threads), "--engine", engine)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{threads} x {calls:,} calls: 0 wrong answers" in done.stdout


class Leaky(Classifier):
    held: list = []  # noqa: RUF012

    def __call__(self, images, *, invert="never"):
        self.held.append(np.ones(100_000, np.uint8))
        return super().__call__(images, invert=invert)


class Forgetful(Classifier):
    """What a buffer that is shared without a lock does."""

    calls = 0

    def __call__(self, images, *, invert="never"):
        self.calls += 1
        return super().__call__(images if self.calls != 300 else images // 2, invert=invert)


def test_a_leak_and_a_wrong_answer_are_seen():
    path = str(ROOT / "exported/compact_cnn/int8.tflite")
    with Leaky.load(path, threads=1) as leaky:
        wrong, memory = soak.soak(leaky, 1000, 1)
        assert not wrong and max(memory) - memory[0] > 5e6
    with Forgetful.load(path, threads=1) as forgetful:
        assert soak.soak(forgetful, 500, 1)[0] == 1
