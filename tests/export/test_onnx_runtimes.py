"""The oldest ONNX Runtime that runs a file."""

import pytest
from onnx import helper

from fmnist_edge.errors import ExportError
from fmnist_edge.export.onnx_runtimes import RELEASES, runs_in


def file_of(opset, ir_version, domain=""):
    node = helper.make_node("Relu", ["x"], ["y"], domain=domain)
    values = [helper.make_tensor_value_info(name, 1, [1]) for name in "xy"]
    graph = helper.make_graph([node], "graph", values[:1], values[1:])
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 99)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version).SerializeToString()


@pytest.mark.parametrize(
    ("opset", "ir_version", "oldest"),
    [(7, 3, "0.1"), (9, 3, "0.3"), (13, 7, "1.6"), (13, 8, "1.9"), (17, 8, "1.12"), (17, 9, "1.16"), (21, 10, "1.18"),
     (22, 10, None), (17, 11, None)],
)  # fmt: skip
def test_the_ir_version_and_the_opset_both_count(opset, ir_version, oldest):
    assert runs_in(file_of(opset, ir_version)) == oldest


def test_ops_of_another_domain_have_versions_of_their_own():
    assert runs_in(file_of(17, 8, "com.microsoft")) is None


def test_later_releases_implement_more():
    assert list(RELEASES) == sorted(RELEASES, key=lambda item: (item.opset, item.ir_version))
    assert len({(item.opset, item.ir_version) for item in RELEASES}) == len(RELEASES)


def test_another_file_is_refused():
    with pytest.raises(ExportError, match="reading the ONNX file failed"):
        runs_in(b"TFL3")
