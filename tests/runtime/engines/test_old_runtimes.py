"""Old runtimes: what they compute wrongly is refused by name, and what they lack is said with its remedy."""

from types import SimpleNamespace

import numpy as np
import pytest
from support import ROOT
from support.linear import with_manifest

from fmnist_edge.errors import ArtifactError
from fmnist_edge.runtime import Classifier, Contract
from fmnist_edge.runtime.engines import litert, onnxruntime
from fmnist_edge.runtime.engines.onnx_session import reason
from fmnist_edge.runtime.engines.tflite_faults import known_fault, missing_op

PER_CHANNEL = ROOT / "exported/compact_cnn/int8.tflite"
CONTENT = PER_CHANNEL.read_bytes()


@pytest.mark.parametrize("version", ["tflite-runtime 2.7.0", "tflite-runtime 2.9.1", "tensorflow 2.9.3"])
def test_dense_with_one_scale_per_channel_is_wrong_until_2_9(version):
    fault = known_fault(CONTENT, version)
    package, release = version.rpartition(".")[0].split()
    assert fault.startswith("computes Dense layers with one scale per channel wrongly; use 2.10 or later")
    assert fault.endswith(f"--oldest {package}-{release}")


@pytest.mark.parametrize("version", ["tflite-runtime 2.10.0", "tensorflow 2.21.0", "ai-edge-litert 1.0.1", "unknown"])
def test_later_ones_are_right(version):
    assert known_fault(CONTENT, version) is None


def test_a_release_that_export_does_not_know_gets_another_remedy():
    assert known_fault(CONTENT, "tflite-runtime 2.5.0").endswith("--per-tensor")


def test_a_damaged_file_is_left_to_the_interpreter():
    for cut in range(8, 4000, 61):
        known_fault(CONTENT[:cut], "tflite-runtime 2.7.0")
        known_fault(CONTENT[:cut] + bytes(64), "tflite-runtime 2.7.0")


def test_load_refuses_it_with_and_without_a_manifest(tmp_path, monkeypatch):
    """As in tflite-runtime 2.7, which gave 0 of 20 right answers for this file."""
    real = litert.provider(("ai_edge_litert",))[0]
    monkeypatch.setattr(litert, "provider", lambda packages: (real, "tflite-runtime 2.7.0"))
    monkeypatch.setattr("fmnist_edge.runtime.loading.try_load", lambda path, engine, **_: None)
    with pytest.raises(ArtifactError, match=r"int8\.tflite: tflite-runtime 2\.7\.0 computes Dense layers .* wrongly"):
        Classifier.load(PER_CHANNEL)
    (tmp_path / "x.tflite").write_bytes(CONTENT)
    with pytest.raises(ArtifactError, match=r"x\.tflite: tflite-runtime 2\.7\.0 computes Dense layers .* wrongly"):
        Classifier.load(tmp_path / "x.tflite")


def test_an_op_version_that_is_missing_has_a_remedy(monkeypatch):
    text = "Didn't find op for builtin opcode 'FULLY_CONNECTED' version '12'. An older version of this builtin might be"
    refusal = missing_op(ValueError(text), "tflite-runtime 2.14.0")
    assert refusal == (
        "does not have FULLY_CONNECTED version 12, which the file needs; upgrade it, or export the model again with "
        "--oldest tflite-runtime-2.14"
    )
    assert missing_op(ValueError("something else"), "tflite-runtime 2.14.0") is None

    def interpreter(**settings):
        raise ValueError(text)

    module = SimpleNamespace(Interpreter=interpreter)
    monkeypatch.setattr(litert, "provider", lambda packages: (module, "tflite-runtime 2.14.0"))
    with pytest.raises(ArtifactError, match=r"int8\.tflite: tflite-runtime 2\.14\.0 does not have FULLY_CONNECTED ver"):
        Classifier.load(PER_CHANNEL)


IR = (
    "[ONNXRuntimeError] : 1 : FAIL : Load model from /a/very long/path (1)/m.onnx failed:/onnxruntime_src/onnxruntime/"
    "core/graph/model.cc:256 onnxruntime::Model::Model(onnx::ModelProto&&, const onnxruntime::PathString&, const "
    "onnxruntime::IOnnxRuntimeOpSchemaRegistryList*, const onnxruntime::logging::Logger&, const onnxruntime::"
    "ModelOptions&) Unsupported model IR version: 10, max supported IR version: 8\n"
)
OPSET = (
    "[ONNXRuntimeError] : 1 : FAIL : /onnxruntime_src/onnxruntime/core/graph/model_load_utils.h:46 void onnxruntime::"
    "model_load_utils::ValidateOpsetForDomain(const std::unordered_map<std::__cxx11::basic_string<char>, int>&, bool) "
    "ONNX Runtime only *guarantees* support for models stamped with official released onnx opset versions. Opset 18 is "
    "under development and support for this is limited. Current official support for domain ai.onnx is till opset 17.\n"
)
INVALID = (
    'This is an invalid model. In Node, ("", Foo, "", -1), Error No Op registered for Foo with domain_version of 17'
)
ADVICE = "upgrade it, or export the model again with --oldest onnxruntime-1.12"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (IR, f"the file has IR version 10, and onnxruntime 1.12.1 knows 8 at most; {ADVICE}"),
        (OPSET, f"the file has opset 18, and onnxruntime 1.12.1 knows 17 at most; {ADVICE}"),
        ("[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Load model from /x/y.onnx failed:Protobuf parsing failed.",
         "Protobuf parsing failed."),
        (f"[ONNXRuntimeError] : 10 : INVALID_GRAPH : {INVALID}", INVALID),
        ("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : /src/core/graph/graph.cc:12 void onnxruntime::Graph::Foo(int, "
         "const std::string&) const The weights are gone",
         "The weights are gone"),
        ("", "Exception"),
    ],
)  # fmt: skip
def test_the_reason_of_onnx_runtime_is_kept(message, expected):
    assert reason(Exception(message), "onnxruntime 1.12.1") == expected


def test_a_file_that_is_too_new_for_onnx_runtime(tmp_path):
    from onnx import helper

    node = helper.make_node("Relu", ["x"], ["y"])
    values = [helper.make_tensor_value_info(name, 1, [1, 2]) for name in "xy"]
    graph = helper.make_graph([node], "graph", values[:1], values[1:])
    opsets = [helper.make_opsetid("", 17)]
    content = helper.make_model(graph, opset_imports=opsets, ir_version=99).SerializeToString()
    path = with_manifest(tmp_path / ("a long name" * 12 + ".onnx"), content, Contract((2, 1, 1), "logits", ("a", "b")))
    with pytest.raises(
        ArtifactError, match=r"ONNX Runtime refuses the file \(the file has IR version 99, and onnxrunt"
    ):
        onnxruntime.OnnxRuntimeEngine(str(path))


def test_scales_of_integers_in_an_onnx_file_are_validated(tmp_path):
    from fmnist_edge.runtime.interface import Scaling, interface_text, read_interface

    text = interface_text(Scaling(float(np.float32(1 / 255)), 0), Scaling(0.5, 12))
    assert read_interface(text, "x")["output"] == (0.5, 12) and read_interface(None, "x") == {}
    for damaged in ("{", "[]", '{"input": {"scale": "1", "zero_point": 0}}', '{"input": {"scale": 1e999}}', "[" * 5000):
        with pytest.raises(ArtifactError, match=r"^x: "):
            read_interface(damaged, "x")
