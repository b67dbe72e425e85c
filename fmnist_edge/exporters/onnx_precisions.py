"""Convert a float32 ONNX model to fewer bits. Inputs and outputs stay float32. The functions may modify their argument.

Speeds below are of compact_cnn / tiny_resnet / tiny_googlenet, relative to float32: ONNX Runtime 1.31 on an x86-64 CPU
with VNNI, one thread, batch 1, calls of the files interleaved. `fmnist-edge bench` measures another device.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.errors import ExportError
from fmnist_edge.exporters.exporter import batches
from fmnist_edge.exporters.onnx_activations import (
    depthwise_weights,
    float_functions,
    fuse_hard_activations,
    softmax_at_output,
)
from fmnist_edge.exporters.onnx_float16 import opset_of
from fmnist_edge.exporters.onnx_islands import Ranges, float_islands, measure
from fmnist_edge.exporters.onnx_names import layer_of
from fmnist_edge.exporters.several import Samples
from fmnist_edge.worker import telemetry
from fmnist_edge.worker.temporary import temporary_folder

if TYPE_CHECKING:
    import onnx

__all__ = ["to_dynamic_int8", "to_int8"]

MAX_INT8 = 127  # symmetric int8: zero is exact and -128 is not used
REQUANTIZED_OPS = ("Conv", "ConvTranspose", "Gemm")


def to_int8(
    model: onnx.ModelProto,
    images: Samples | None,
    keep_float: Collection[str] = (),
    *,
    per_channel: bool = True,
    float_output: bool = True,
) -> onnx.ModelProto:
    """Static quantisation in QDQ form: uint8 activations, int8 weights.

    Args:
        images: calibration images, float32 (n, *input_shape); their extremes become the activations' ranges.
        keep_float: layers that compute in float.
        per_channel: whether each output channel of a weight tensor has a scale of its own.
        float_output: whether a Softmax at the output computes in float.

    Raises ExportError without images. The settings were chosen by measurement (1.3 / 1.55 / 1.95):

    - Every op that has an integer kernel is quantised. In composed LRN, only Sqrt and Reciprocal have no integer kernel
      and stay float islands. Other choices are slower: all of LRN in float (tiny_resnet 1.2), fitted LRN, which has no
      islands but more ops (1.3 / 1.95), and the first convolution in float (compact_cnn 0.8).
    - Weights use 7 of their 8 bits. Without VNNI, x86-64 adds u8·s8 products in 16-bit pairs, which saturate: with
      8 bits an (emulated) AVX2 machine lost 1.9 pp on compact_cnn and changed 5 % of the top classes. With 7 bits
      nothing saturates, and its scores equal those of a VNNI machine bit for bit. On VNNI, 7 bits cost less than
      0.1 pp of accuracy if each output channel has its own scale. Depthwise convolutions use 8 bits: their kernel adds
      with 32 bits on every CPU, and with nine weights a channel each bit counts.
    - Activations are uint8. With int8, ONNX Runtime does not fuse on x86-64 (tiny_resnet 0.5). uint8 weights do not
      saturate either, but are slower (1.1 / 1.0).
    - Ranges are extremes. Entropy and percentiles gave the same accuracy within 0.05 pp, but need a histogram of every
      tensor.
    """
    telemetry.turn_off()
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    if images is None:
        raise ExportError("ONNX int8 needs calibration images; got none")
    names, batch = inputs_of(model)
    fuse_hard_activations(model.graph, opset_of(model))
    ranges = measure(model, iter(CalibrationReader(names, images, batch or 1).get_next, None))
    excluded = {
        *node_names(keep_float, model.graph),
        *nodes_without_range(model.graph),
        *float_functions(model.graph),
        *(softmax_at_output(model.graph) if float_output else ()),
        *float_islands(model.graph, ranges),
    }

    axis = {"axis": 0} if per_channel else {}

    def quantize(source: str, target: str) -> None:
        quantize_static(
            source,
            target,
            CalibrationReader(names, images, batch or 1),
            quant_format=QuantFormat.QDQ,
            per_channel=per_channel,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=sorted(excluded),
            extra_options={
                "ForceQuantizeNoInputCheck": True,  # otherwise a Reshape at the input stays in float
                "TensorQuantOverrides": {
                    weight: [{**axis, "reduce_range": False}] for weight in depthwise_weights(model.graph)
                },
            },
        )

    try:
        result = quantize_files(model, quantize)
    except Exception:  # its message for a range that is not finite is "scale issue" or about axes
        check_finite(model.graph, ranges)
        raise
    prevent_requantization(result.graph, keep_float)
    return result


def check_finite(graph: onnx.GraphProto, ranges: Mapping[str, Ranges]) -> None:
    """Raises ExportError for the first node that gives NaN or infinity for a calibration image."""
    for node in graph.node:
        for name in node.output:
            found = ranges.get(name)
            if found is not None and not np.isfinite([found.low, found.high]).all():
                raise ExportError(
                    f"ONNX int8 needs finite values, and {node.name} (layer/op) gives NaN or infinity for the "
                    "calibration images; replace the layer, or choose another precision"
                ) from None


def nodes_without_range(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes that read a constant with NaN or infinity, which no integer can be."""
    from onnx import numpy_helper

    arrays = ((item.name, numpy_helper.to_array(item)) for item in graph.initializer)
    found = {name for name, array in arrays if array.dtype.kind == "f" and not np.isfinite(array).all()}
    return [node.name for node in graph.node if not found.isdisjoint(node.input)]


def prevent_requantization(graph: onnx.GraphProto, keep_float: Collection[str]) -> None:
    """Insert a Sum of one tensor in front of each Conv, ConvTranspose and Gemm of these layers, in place.

    ONNX Runtime quantises the float weights of such an op between DequantizeLinear and QuantizeLinear when it loads the
    file, with one scale for all channels. It does not if a Sum precedes the op.
    """
    from onnx import helper

    dequantized = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    for index, node in reversed(list(enumerate(graph.node))):
        if node.op_type in REQUANTIZED_OPS and layer_of(node) in keep_float and node.input[0] in dequantized:
            barrier = helper.make_node("Sum", [node.input[0]], [f"{node.name}/barred"], f"{node.name}/Sum")
            node.input[0] = barrier.output[0]
            graph.node.insert(index, barrier)


def to_dynamic_int8(
    model: onnx.ModelProto, keep_float: Collection[str] = (), *, per_channel: bool = True
) -> onnx.ModelProto:
    """int8 weights, without calibration.

    Dense layers compute in integers: they quantise their input at run time by its extremes over the whole batch.
    Convolutions compute in float, because ONNX Runtime's ConvInteger is far slower than its float convolution (with it
    0.3-0.8 / 0.2-0.65). Their weights are stored in int8 and converted to float once, at load: a quarter of the size at
    the speed of float32 (1.0 / 1.04 / 1.0).

    Args:
        keep_float: layers whose weights stay float32.
        per_channel: whether each output channel of a weight tensor has a scale of its own.
    """
    telemetry.turn_off()
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.onnx_model import ONNXModel

    wrapped = ONNXModel(model)
    wrapped.replace_gemm_with_matmul()  # only MatMul has a dynamic form

    def quantize(source: str, target: str) -> None:
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=["MatMul"],
            nodes_to_exclude=node_names(keep_float, wrapped.model.graph),
            per_channel=per_channel,
            reduce_range=True,  # as in `to_int8`
            weight_type=QuantType.QInt8,
        )

    result = quantize_files(wrapped.model, quantize)
    store_convolutions_in_int8(result.graph, keep_float, per_channel)
    return result


def node_names(layers: Collection[str], graph: onnx.GraphProto) -> list[str]:
    return [node.name for node in graph.node if layer_of(node) in layers]


def store_convolutions_in_int8(graph: onnx.GraphProto, keep_float: Collection[str], per_channel: bool) -> None:
    """Store the weights of every Conv in int8, with a Cast and a Mul that restore them; changes `graph` in place.

    Layers in `keep_float` keep their float32 weights. DequantizeLinear would be slower (0.60 on tiny_resnet): ONNX
    Runtime computes it in every call, and only folds it into a constant if its fusion of quantised ops is off.
    """
    from onnx import TensorProto, helper, numpy_helper

    stored = {item.name: item for item in graph.initializer}
    restored: dict[str, str] = {}
    nodes = []
    for node in graph.node:
        name = node.input[1] if node.op_type == "Conv" and layer_of(node) not in keep_float else ""
        if name in stored and stored[name].data_type == TensorProto.FLOAT and name not in restored:
            weights, scale = quantized(numpy_helper.to_array(stored[name]), per_channel)
            restored[name] = f"{name}_restored"
            graph.initializer.append(numpy_helper.from_array(weights, f"{name}_int8"))
            graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
            nodes += [
                helper.make_node("Cast", [f"{name}_int8"], [f"{name}_cast"], f"{node.name}/Cast", to=TensorProto.FLOAT),
                helper.make_node("Mul", [f"{name}_cast", f"{name}_scale"], [restored[name]], f"{node.name}/Mul"),
            ]
        changed = type(node).FromString(node.SerializeToString())
        if name in restored:
            changed.input[1] = restored[name]
        nodes.append(changed)
    del graph.node[:]
    graph.node.extend(nodes)


def quantized(weights: np.ndarray, per_channel: bool) -> tuple[np.ndarray, np.ndarray]:
    """Quantise weights (out, ...): int8 of the same shape and float32 scales; weights ≈ int8 · scale.

    The scales are shaped (out, 1, ...), or (1, 1, ...) with one for all channels.
    """
    axes = tuple(range(1 if per_channel else 0, weights.ndim))
    extremes = np.abs(weights).max(axis=axes, keepdims=True)
    scale = (np.where(extremes > 0, extremes, 1) / MAX_INT8).astype(np.float32)
    return np.clip(np.rint(weights / scale), -MAX_INT8, MAX_INT8).astype(np.int8), scale


class CalibrationReader:
    """Gives ONNX Runtime's quantiser one batch of images per call, then None (the CalibrationDataReader protocol).

    If the batch is fixed, the first images are repeated to fill the last batch. That does not change the extremes.
    """

    def __init__(self, names: list[str], images: Samples, batch: int) -> None:
        self.names = names
        self.batches = batches(images, batch)

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        return None if batch is None else dict(zip(self.names, batch, strict=True))


def inputs_of(model: onnx.ModelProto) -> tuple[list[str], int | None]:
    """The inputs' names and their batch size; None if that is open."""
    items = model.graph.input
    return [item.name for item in items], items[0].type.tensor_type.shape.dim[0].dim_value or None


def quantize_files(model: onnx.ModelProto, quantize: Callable[[str, str], None]) -> onnx.ModelProto:
    """Call `quantize(source, target)` on files: the quantisers would modify a model that is passed in memory."""
    import onnx

    with no_warnings(), temporary_folder() as folder:
        source, target = (str(folder / name) for name in ("source.onnx", "target.onnx"))
        onnx.save(model, source)
        quantize(source, target)
        result = onnx.load(target)
    del result.metadata_props[:]  # the quantiser's internal notes
    return result


@contextmanager
def no_warnings() -> Iterator[None]:
    """Suppress the quantisers' warning on the root logger.

    It advises to optimise the model with ONNX Runtime first. Measured, that only changes names.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
