"""The oldest ONNX Runtime that runs a file."""

import pytest
from onnx import helper

from fmnist_edge.errors import ExportError
from fmnist_edge.exporters.minimum import runs_in
from fmnist_edge.exporters.onnx_runtimes import obstacles_in


def file_of(opset, ir_version, domain=""):
    node = helper.make_node("Relu", ["x"], ["y"], domain=domain)
    values = [helper.make_tensor_value_info(name, 1, [1]) for name in "xy"]
    graph = helper.make_graph([node], "graph", values[:1], values[1:])
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 99)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version).SerializeToString()


def oldest(content):
    return runs_in("onnx", obstacles_in(content))["onnxruntime"]


@pytest.mark.parametrize(
    ("opset", "ir_version", "release"),
    [(7, 3, "1.0"), (11, 6, "1.0"), (13, 7, "1.6"), (13, 8, "1.9"), (17, 8, "1.12"), (17, 9, "1.16"),
     (21, 10, "1.18"), (22, 10, None), (17, 11, None)],
)  # fmt: skip
def test_the_ir_version_and_the_opset_both_count(opset, ir_version, release):
    assert oldest(file_of(opset, ir_version)) == release


def test_ops_of_another_domain_have_versions_of_their_own():
    assert oldest(file_of(17, 8, "com.microsoft")) is None


def test_another_file_is_refused():
    with pytest.raises(ExportError, match="reading the ONNX file failed"):
        obstacles_in(b"TFL3")
