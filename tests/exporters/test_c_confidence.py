"""The confidence of a C model: Python's probabilities, and the same answers unknown."""

import ctypes
import dataclasses
import subprocess

import numpy as np
import pytest
from support import ROOT
from support.c_compiler import c_compiler, needs_c_compiler
from support.c_models import STRICT

from fmnist_edge.artifact import Artifact
from fmnist_edge.cli import main
from fmnist_edge.data import fashion_mnist
from fmnist_edge.errors import ArtifactError, ExportError
from fmnist_edge.exporters.c.confidence import confidence_files, with_confidence
from fmnist_edge.runtime.confidence import Confidence
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.manifest import Manifest

SHAPE = (4, 5, 1)
CLASSES = 6
FITTED = Confidence(1.4, 0.55, (2.5, 1.0, 0.5, 4.0, 2.0, 1.5), 40.0, abstain=False, coverage=0.95, images=9, source="x")


def manifest(output="logits", scale=0.08, zero_point=20):
    contract = Contract(SHAPE, output, tuple("abcdef"))
    tensor = {"name": "scores", "shape": [1, CLASSES], "dtype": "int8", "scale": scale, "zero_point": zero_point}
    sections = {"sha256": "0", "contract": contract.as_dict(), "outputs": [tensor]}
    return Manifest.of("int8_only.c", {**sections, "model": {"name": "my_net", "sha256": "0", "parameters": 1}})


HEADER = """#include <stdint.h>
#define MY_NET_CLASSES 6
#define MY_NET_INPUT_LENGTH 20
#define MY_NET_OUTPUT_SCALE {scale:.9g}f
#define MY_NET_OUTPUT_ZERO_POINT ({zero_point})
#define MY_NET_OUTPUT_IS_LOGITS {is_logits}
"""


def answers(found, confidence, folder, scores, pixels):
    """Probabilities, and which are known, by the C code."""
    (output,), is_logits = found.outputs, found.contract.output == "logits"
    for name, text in confidence_files(found, confidence).items():
        (folder / name).write_text(text)
    header = HEADER.format(scale=output.scale, zero_point=output.zero_point, is_logits=int(is_logits))
    (folder / "my_net.h").write_text(header)
    command = [c_compiler(), *STRICT, "-O2", "-shared", "-fPIC", "my_net_confidence.c", "-o", "answer.so"]
    subprocess.run(command, cwd=folder, check=True)
    answer = ctypes.CDLL(str(folder / "answer.so")).my_net_answer
    probabilities, known = np.empty_like(scores), np.empty(len(scores), np.int32)
    for row, image, out, is_known in zip(scores, pixels, probabilities, np.split(known, len(known)), strict=True):
        given = [np.ascontiguousarray(array).ctypes.data for array in (row, image)]
        assert answer(*map(ctypes.c_void_p, [*given, out.ctypes.data, is_known.ctypes.data])) == row.argmax()
    return probabilities, known.astype(bool)


@needs_c_compiler()
@pytest.mark.parametrize(("output", "scale", "zero_point"), [("logits", 0.08, 20), ("probabilities", 1 / 256, -128)])
def test_answers_as_the_runtime(output, scale, zero_point, tmp_path):
    rng = np.random.default_rng(0)
    steps = (
        rng.integers(-60, 100, (400, CLASSES)) if output == "logits" else -128 + 255 * rng.random((400, CLASSES)) ** 9
    )
    steps = np.asarray(steps, int)
    steps[:4] = [[-128] * CLASSES, [127] * CLASSES, [127, *[-128] * (CLASSES - 1)], [-128] * 5 + [-127]]
    scores = ((steps - zero_point) * np.float64(scale)).astype(np.float32)
    pixels = (rng.integers(0, 256, (400, *SHAPE)) * rng.random((400, 1, 1, 1))).astype(np.uint8)
    confidence = FITTED if output == "logits" else dataclasses.replace(FITTED, energies=None)
    probabilities, known = answers(manifest(output, scale, zero_point), confidence, tmp_path, scores, pixels)
    expected = confidence.known(scores, output, pixels)
    assert np.abs(probabilities - confidence.probabilities(scores, output)).max() < 1e-5
    assert 0.02 < expected.mean() < 0.9 and np.array_equal(known, expected)


def test_scores_too_far_apart_are_refused():
    with pytest.raises(ExportError, match="too far apart for float32"):
        confidence_files(manifest(scale=1.0), dataclasses.replace(FITTED, temperature=0.5))


@needs_c_compiler()
@pytest.mark.slow
def test_the_command_writes_it_into_the_folder(tmp_path, capsys):
    trained = str(ROOT / "trained_model")
    export = ["export", "compact_cnn", "--format", "c", "--trained", trained, "--out", str(tmp_path)]
    assert main(export) == 0
    path = tmp_path / "compact_cnn/int8_only.c"
    before = Artifact.open(path)
    assert main(["confidence", str(path)]) == 0
    after = Artifact.open(path)
    assert set(after.manifest.files) - set(before.manifest.files) == {
        "compact_cnn_confidence.h", "compact_cnn_confidence.c"
    }  # fmt: skip
    assert main(["check", str(path), "--limit", "500", "--trained", trained]) == 0
    assert main(["reproduce", str(path), "--trained", trained]) == 0
    sources = ["compact_cnn.c", "compact_cnn_weights.c", "compact_cnn_confidence.c"]
    library = tmp_path / "net.so"
    subprocess.run([c_compiler(), *STRICT, "-O1", "-shared", "-fPIC", *sources, "-o", library], cwd=path, check=True)
    net, image = ctypes.CDLL(str(library)), fashion_mnist.load("test").images[0]
    scores, probabilities, known = (ctypes.c_float * 10)(), (ctypes.c_float * 10)(), ctypes.c_int()
    pixels, arena = ctypes.c_void_p(image.ctypes.data), ctypes.create_string_buffer(1 << 20)
    net.compact_cnn_classify(pixels, scores, arena)
    index = net.compact_cnn_answer(scores, pixels, probabilities, ctypes.byref(known))
    assert index == 9 and known.value == 1
    expected = after.manifest.confidence.probabilities(np.array([scores], np.float32), "logits")[0]
    assert np.abs(np.array(probabilities) - expected).max() < 1e-5
    (path / "README.md").write_text("other")
    with pytest.raises(ArtifactError, match="differs from its manifest"):
        with_confidence(after, after.manifest.confidence)
