"""Names that resolve to code when they are used, so that listing them imports nothing.

A new model, export format or engine is one new file and one line here.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import Any

from fmnist_edge.errors import UnknownNameError

__all__ = ["EMBEDDERS", "ENGINES", "EXPORTERS", "GPU_ENGINES", "LOADERS", "MODELS", "PROBES", "TARGETS", "resolve"]

MODELS = {
    "tiny_resnet": "fmnist_edge.models.tiny_resnet:SPEC",
    "tiny_googlenet": "fmnist_edge.models.tiny_googlenet:SPEC",
    "tiny_resnet_edge": "fmnist_edge.models.tiny_resnet:EDGE_SPEC",
    "tiny_googlenet_edge": "fmnist_edge.models.tiny_googlenet:EDGE_SPEC",
    "wrn_16_2": "fmnist_edge.models.wrn_16_2:SPEC",
    "wrn_16_2_20k": "fmnist_edge.models.wrn_16_2:SPEC_20K",
    "compact_cnn": "fmnist_edge.models.compact_cnn:SPEC",
    "tuned_cnn": "fmnist_edge.models.tuned_cnn:SPEC",
    "wide_cnn": "fmnist_edge.models.wide_cnn:SPEC",
}

EXPORTERS = {
    "tflite": "fmnist_edge.export.tflite:EXPORTER",
    "onnx": "fmnist_edge.export.onnx:EXPORTER",
    "ncnn": "fmnist_edge.export.ncnn:EXPORTER",
    "mnn": "fmnist_edge.export.mnn:EXPORTER",
    "keras": "fmnist_edge.export.keras:EXPORTER",
    "c-array": "fmnist_edge.export.c_array:EXPORTER",
}

# What writes the contract into a file, where its format has a place for it.
EMBEDDERS = {
    "tflite": "fmnist_edge.export.tflite_metadata:embed",
    "onnx": "fmnist_edge.export.onnx_metadata:embed",
}

ENGINES = {
    "litert": "fmnist_edge.runtime.engines.litert:LiteRTEngine",
    "litert-builtin": "fmnist_edge.runtime.engines.litert:LiteRTBuiltinEngine",
    "litert-reference": "fmnist_edge.runtime.engines.litert:LiteRTReferenceEngine",
    "litert-compiled": "fmnist_edge.runtime.engines.compiled_model:CompiledModelEngine",
    "tflite-runtime": "fmnist_edge.runtime.engines.litert:TFLiteRuntimeEngine",
    "tflite-micro": "fmnist_edge.runtime.engines.tflite_micro:TFLiteMicroEngine",
    "numpy": "fmnist_edge.runtime.engines.numpy.engine:NumpyEngine",
    "onnxruntime": "fmnist_edge.runtime.engines.onnxruntime:OnnxRuntimeEngine",
    "onnxruntime-extended": "fmnist_edge.runtime.engines.onnxruntime:OnnxRuntimeExtendedEngine",
    "onnxruntime-basic": "fmnist_edge.runtime.engines.onnxruntime:OnnxRuntimeBasicEngine",
    "onnxruntime-disabled": "fmnist_edge.runtime.engines.onnxruntime:OnnxRuntimeDisabledEngine",
    "openvino": "fmnist_edge.runtime.engines.openvino:OpenVINOEngine",
    "ncnn": "fmnist_edge.runtime.engines.ncnn:NcnnEngine",
    "mnn": "fmnist_edge.runtime.engines.mnn:MNNEngine",
    "keras-predict": "fmnist_edge.runtime.engines.keras:KerasPredictEngine",
    "keras-call": "fmnist_edge.runtime.engines.keras:KerasCallEngine",
    "keras-function": "fmnist_edge.runtime.engines.keras:KerasFunctionEngine",
}

# They run on a GPU, by a driver that may be software, and only where they are named.
GPU_ENGINES = {
    "onnxruntime-cuda": "fmnist_edge.runtime.engines.onnxruntime_cuda:OnnxRuntimeCudaEngine",
    "onnxruntime-cuda-graph": "fmnist_edge.runtime.engines.onnxruntime_cuda:OnnxRuntimeCudaGraphEngine",
    "onnxruntime-webgpu": "fmnist_edge.runtime.engines.onnxruntime_webgpu:OnnxRuntimeWebGpuEngine",
    "litert-gpu": "fmnist_edge.runtime.engines.compiled_model:LiteRTGpuEngine",
    "ncnn-vulkan": "fmnist_edge.runtime.engines.ncnn:NcnnVulkanEngine",
}

LOADERS = {
    "keras": "fmnist_edge.checkpoints:load",
}

PROBES = {
    "tflite": "fmnist_edge.explain.tflite:TFLiteProbe",
    "onnx": "fmnist_edge.explain.onnx:OnnxProbe",
}

TARGETS = {
    "ssh": "fmnist_edge.bench.remote.ssh:SshTarget",
}


def resolve(kind: str, table: dict[str, str], name: str) -> Any:
    """Import what `table[name]` points at.

    Raises UnknownNameError, which lists the choices, when `name` is not in `table`.

    >>> resolve("model", MODELS, "tiny_resnet").parameters
    1204048
    """
    if name not in table:
        close = difflib.get_close_matches(name, table, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise UnknownNameError(f"unknown {kind} {name!r}; choose from: {', '.join(table)}.{hint}")
    module, _, attribute = table[name].partition(":")
    return getattr(import_module(module), attribute)
