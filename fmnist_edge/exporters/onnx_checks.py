"""Check an ONNX model before it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.errors import ExportError
from fmnist_edge.exporters.exporter import IN_NO_FORMAT
from fmnist_edge.exporters.onnx_conversion import layer_of_op, way_out
from fmnist_edge.exporters.onnx_names import STANDARD_DOMAINS, all_nodes, path_of
from fmnist_edge.exporters.several import Samples, answers, parts
from fmnist_edge.runtime.engines.onnx_session import SILENT, import_onnxruntime

if TYPE_CHECKING:
    import keras
    import onnx

__all__ = ["check_conversion", "check_model", "check_ops_known"]

LIMIT = 2e-3  # largest difference of a score, relative to the largest score: far above rounding


def check_ops_known(proto: onnx.ModelProto, model: keras.Model) -> None:
    """Raises ExportError for the first op that is not in ONNX, bodies included, and for functions.

    tf2onnx leaves TensorFlow ops in the graph that it cannot convert. Call this while nodes have tf2onnx's names, from
    which the Keras layer follows.
    """
    from onnx import defs

    opset = next(item.version for item in proto.opset_import if item.domain in STANDARD_DOMAINS)
    for node in all_nodes(proto.graph):
        known = node.domain in STANDARD_DOMAINS and defs.has(node.op_type, opset)
        if not known:
            what = layer_of_op(model, path_of(node), node.name)
            advice = f"replace {what}; TFLite lacks it too" if node.op_type in IN_NO_FORMAT else way_out(what)
            raise ExportError(f"{what} needs {node.op_type}, which ONNX opset {opset} does not have; {advice}")
    if proto.functions:
        raise ExportError(f"the ONNX graph calls a function, {proto.functions[0].name!r}; try another format")


def check_conversion(proto: onnx.ModelProto, model: keras.Model, images: Samples | None) -> None:
    """Raises ExportError when a float32 ONNX model gives other scores than its Keras model.

    For precisions with integers: their files differ from Keras by their quantisation, so that a wrong conversion would
    not show.

    Args:
        images: preprocessed, float32 (n, *input_shape); the first is compared. None means noise.
    """
    onnxruntime = import_onnxruntime()

    size = proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1
    if images is None:
        rng = np.random.default_rng(0)
        images = tuple(rng.random((1, *tuple(item.shape)[1:]), dtype=np.float32) for item in model.inputs)
    batch = [np.repeat(array[:1], size, axis=0) for array in parts(images)]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = SILENT
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed = {item.name: array for item, array in zip(proto.graph.input, batch, strict=True)}
    for found, tensor in zip(session.run(None, feed), answers(model, batch), strict=True):
        check_output(found, np.asarray(tensor))


def check_output(found: np.ndarray, expected: np.ndarray) -> None:
    """Raises ExportError when an output is another one than Keras's."""
    if not np.isfinite(expected).all():
        return
    difference, limit = float(np.abs(found - expected).max()), LIMIT * float(np.abs(expected).max())
    if not difference <= limit:
        raise ExportError(
            f"the ONNX graph gives other scores than the Keras model: {difference:.2g} apart, expected at most "
            f"{limit:.2g}; the conversion is wrong, so the file is not kept; try another format"
        )


def check_model(proto: onnx.ModelProto, model: keras.Model) -> None:
    """Check structure, types and shapes, the latter with constants propagated. Raises what onnx.checker does.

    Raises ExportError if it has other numbers of inputs or outputs than the Keras model.
    """
    import onnx

    counts = len(proto.graph.input), len(proto.graph.output)
    expected = len(model.inputs), len(model.outputs)
    if counts != expected:
        raise ExportError(
            f"the ONNX graph has {counts[0]} inputs and {counts[1]} outputs; expected {expected[0]} and {expected[1]}; "
            "try another format"
        )
    onnx.checker.check_model(proto, full_check=True)
    onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
