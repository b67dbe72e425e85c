"""The table of runtimes: later releases have what earlier ones have, and what was measured stays in it."""

import itertools
import json

import pytest

from fmnist_edge.catalog.runtimes import SIXTEEN_BITS, SIXTEEN_BITS_LATER, TFLITE_OPS, get_runtime, releases_of
from fmnist_edge.errors import UnknownNameError

OPS = json.loads(TFLITE_OPS.read_text())["ops"]


@pytest.mark.parametrize("family", ["tflite-runtime", "tensorflow", "ai-edge-litert"])
def test_later_releases_have_more(family):
    releases = releases_of("tflite")[family]
    for before, after in itertools.pairwise(releases):
        assert before.order < after.order
        assert all(before.op_version(op) <= after.op_version(op) for op in OPS)


def test_later_releases_of_onnx_runtime_implement_more():
    (releases,) = releases_of("onnx").values()
    capable = [(item.opset, item.ir_version) for item in releases]
    assert capable == sorted(capable) and capable[0] == (11, 6) and capable[-1] == (21, 10)


@pytest.mark.parametrize(
    ("name", "op", "version"),
    [("tflite-runtime-2.14", "FULLY_CONNECTED", 10), ("tflite-runtime-2.12", "FULLY_CONNECTED", 9),
     ("tensorflow-2.16", "FULLY_CONNECTED", 11), ("tensorflow-2.17", "FULLY_CONNECTED", 12),
     ("tensorflow-2.9", "CONV_2D", 6), ("tflite-runtime-2.7", "GELU", 0), ("ai-edge-litert-1.0", "NO_SUCH_OP", 0)],
)  # fmt: skip
def test_what_was_measured(name, op, version):
    assert get_runtime(name).op_version(op) == version


def test_old_releases_compute_some_files_wrongly():
    assert not get_runtime("tflite-runtime-2.9").per_channel_dense and get_runtime("tensorflow-2.10").per_channel_dense
    assert get_runtime("ai-edge-litert-1.0").per_channel_dense
    assert not get_runtime("tflite-runtime-2.8").computes_16_bits("CONV_2D")
    assert get_runtime("tflite-runtime-2.10").computes_16_bits("CONV_2D")
    assert not get_runtime("tflite-runtime-2.14").computes_16_bits("GELU"), "the file's op version says otherwise"
    assert get_runtime("ai-edge-litert-1.3").computes_16_bits("GELU")
    assert not get_runtime("ai-edge-litert-2.3").computes_16_bits("NO_SUCH_OP")
    assert set(OPS) >= SIXTEEN_BITS | set(SIXTEEN_BITS_LATER) and SIXTEEN_BITS.isdisjoint(SIXTEEN_BITS_LATER)


def test_an_unknown_name_shows_what_there_is():
    with pytest.raises(UnknownNameError, match=r"tensorflow-2\.7 to 2\.21, .* onnxruntime-1\.0 to 1\.\d+$"):
        get_runtime("tflite-runtime-2.14.0")
