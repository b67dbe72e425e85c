"""A float32 ONNX graph in fewer bits. Interfaces stay float32. The model that is given is used up.

Speeds below are those of compact_cnn / tiny_resnet / tiny_googlenet, relative to float32: ONNX Runtime 1.31 on an
x86-64 CPU with VNNI, one thread, batch 1, the files' calls interleaved. `fmnist-edge bench` measures another device.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fmnist_edge.errors import ExportError
from fmnist_edge.export.onnx_names import layer_of
from fmnist_edge.worker.temporary import temporary_folder

__all__ = ["to_dynamic_int8", "to_float16", "to_int8"]

LARGEST = 127  # symmetric int8, so that zero is exact and -128 is never used
REQUANTIZED = ("Conv", "ConvTranspose", "Gemm")


def to_float16(model: Any) -> Any:
    """Weights and compute in float16, by ONNX Runtime's converter, which knows the ops that must stay float32.

    Half the size. ONNX Runtime has next to no float16 kernels for x86-64: it computes in float32 there, between casts
    (0.98 / 0.95 / 0.99). float16 is for GPUs, NPUs and ARMv8.2. Its largest value is 65504.
    """
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers.float16 import convert_float_to_float16

    converted = ONNXModel(convert_float_to_float16(model, keep_io_types=True))
    converted.topological_sort()  # it leaves the casts of input and output at the end
    return converted.model


def to_int8(model: Any, images: np.ndarray | None, keep_float: Collection[str] = ()) -> Any:
    """Static quantisation in QDQ form: uint8 activations, int8 weights with a scale per output channel.

    Args:
        images: calibration images, float32 (n, *input_shape), whose extremes become the activations' ranges.
        keep_float: layers that compute in float.

    Chosen by measurement (1.3 / 1.55 / 1.95):

    - Every op that has an integer kernel is quantised. Of LRN in its composed form only Sqrt and Reciprocal have none
      and stay float islands. All of LRN in float is slower (tiny_resnet 1.2), so is its fitted form, without islands
      but with more ops (1.3 / 1.95), and so is a first convolution in float (compact_cnn 0.8).
    - Weights use 7 of their 8 bits. Without VNNI, x86-64 adds u8·s8 products in pairs of 16 bits that saturate: with
      8 bits an AVX2 machine (emulated) lost 1.9 pp on compact_cnn and changed 5 % of the answers. With 7 nothing
      saturates and it answers with the same bits as a VNNI machine, which does not notice: accuracy is the same
      within 0.1 pp, provided that each output channel has its own scale.
    - Activations are uint8. int8 keeps ONNX Runtime from fusing on x86-64 (tiny_resnet 0.5). uint8 weights do not
      saturate either and are slower (1.1 / 1.0).
    - Ranges are extremes. Entropy and percentiles came out within 0.05 pp and keep a histogram of every tensor.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    if images is None:
        raise ExportError("ONNX int8 needs calibration images and got none")
    name, batch = input_of(model)

    def quantize(source: str, target: str) -> None:
        quantize_static(
            source,
            target,
            Feed(name, images, batch or 1),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=nodes_of(keep_float, model.graph),
            extra_options={"ForceQuantizeNoInputCheck": True},  # else a Reshape in front of all stays in float
        )

    quantized = through_files(model, quantize)
    bar_requantization(quantized.graph, keep_float)
    return quantized


def bar_requantization(graph: Any, keep_float: Collection[str]) -> None:
    """Put a Sum of one tensor in front of each Conv and Gemm of these layers, in place.

    Where such an op stands between DequantizeLinear and QuantizeLinear, ONNX Runtime takes float weights for an
    oversight and quantises them at load, with one scale for all channels. It leaves the Sum alone.
    """
    from onnx import helper

    dequantized = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    for index, node in reversed(list(enumerate(graph.node))):
        if node.op_type in REQUANTIZED and layer_of(node) in keep_float and node.input[0] in dequantized:
            barrier = helper.make_node("Sum", [node.input[0]], [f"{node.name}/barred"], f"{node.name}/Sum")
            node.input[0] = barrier.output[0]
            graph.node.insert(index, barrier)


def to_dynamic_int8(model: Any, keep_float: Collection[str] = ()) -> Any:
    """int8 weights with a scale per output channel, and no calibration.

    Dense layers quantise their input by the extremes that they find in it, over the whole batch, and compute in
    integers. Convolutions compute in float: ONNX Runtime's ConvInteger is far slower than its float convolution (with
    it 0.3-0.8 / 0.2-0.65). Their weights are stored in int8 and become float once, at load: a quarter of the size at
    the speed of float32 (1.0 / 1.04 / 1.0).

    Args:
        keep_float: layers whose weights stay float32.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.onnx_model import ONNXModel

    wrapped = ONNXModel(model)
    wrapped.replace_gemm_with_matmul()  # of the two, only MatMul has a dynamic form

    def quantize(source: str, target: str) -> None:
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=["MatMul"],
            nodes_to_exclude=nodes_of(keep_float, wrapped.model.graph),
            per_channel=True,
            reduce_range=True,  # as in `to_int8`
            weight_type=QuantType.QInt8,
        )

    quantized = through_files(wrapped.model, quantize)
    store_convolutions_in_int8(quantized.graph, keep_float)
    return quantized


def nodes_of(layers: Collection[str], graph: Any) -> list[str]:
    return [node.name for node in graph.node if layer_of(node) in layers]


def store_convolutions_in_int8(graph: Any, keep_float: Collection[str]) -> None:
    """Replace the weights of every Conv but these layers' by int8 ones and the Cast and Mul that undo it, in place.

    Not by DequantizeLinear: ONNX Runtime folds that into a constant at load only where its fusing of quantised ops is
    switched off, and otherwise computes it in every call (0.60 on tiny_resnet).
    """
    from onnx import TensorProto, helper, numpy_helper

    stored = {item.name: item for item in graph.initializer}
    restored: dict[str, str] = {}
    nodes = []
    for node in graph.node:
        name = node.input[1] if node.op_type == "Conv" and layer_of(node) not in keep_float else ""
        if name in stored and stored[name].data_type == TensorProto.FLOAT and name not in restored:
            weights, scale = per_channel(numpy_helper.to_array(stored[name]))
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


def per_channel(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int8 of the same shape and float32 scales (out, 1, ...), so that weights ≈ int8 · scale; channels come first."""
    extremes = np.abs(weights).max(axis=tuple(range(1, weights.ndim)), keepdims=True)
    scale = (np.where(extremes > 0, extremes, 1) / LARGEST).astype(np.float32)
    return np.clip(np.rint(weights / scale), -LARGEST, LARGEST).astype(np.int8), scale


class Feed:
    """The images as a CalibrationDataReader: one model input a call, None when there are no more.

    A model of a fixed batch gets the first images again to fill the last one: that moves no extreme.
    """

    def __init__(self, name: str, images: np.ndarray, batch: int) -> None:
        self.name = name
        calls = math.ceil(len(images) / batch)
        filled = np.resize(images, (calls * batch, *images.shape[1:]))
        self.batches = iter(filled.reshape(calls, batch, *images.shape[1:]))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        return None if batch is None else {self.name: batch}


def input_of(model: Any) -> tuple[str, int | None]:
    """The input's name and its batch, None where that is open."""
    item = model.graph.input[0]
    return item.name, item.type.tensor_type.shape.dim[0].dim_value or None


def through_files(model: Any, quantize: Callable[[str, str], None]) -> Any:
    """What `quantize(source, target)` makes of the model. Given models instead of files, the quantisers change them."""
    import onnx

    with unlogged(), temporary_folder() as folder:
        source, target = (str(folder / name) for name in ("source.onnx", "target.onnx"))
        onnx.save(model, source)
        quantize(source, target)
        result = onnx.load(target)
    del result.metadata_props[:]  # notes of the quantiser to itself
    return result


@contextmanager
def unlogged() -> Iterator[None]:
    """Keep the quantisers' advice, given on the root logger, off the terminal.

    It is to let ONNX Runtime optimise the model first: measured, that changes nothing but the names.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
