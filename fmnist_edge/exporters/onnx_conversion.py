"""Convert a Keras model to a float32 ONNX model with tf2onnx."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fmnist_edge.errors import ExportError, one_line
from fmnist_edge.exporters.layer_names import LayerNames, operation_names
from fmnist_edge.exporters.onnx_handlers import handlers
from fmnist_edge.exporters.onnx_names import all_nodes, subgraphs
from fmnist_edge.exporters.onnx_repair import set_nodes
from fmnist_edge.exporters.several import answers, converted_names, has_several
from fmnist_edge.exporters.tracing import operation_scopes

if TYPE_CHECKING:
    import keras
    import onnx
    import tensorflow as tf

__all__ = ["float_model", "layer_of_op", "way_out"]

FAILURE = "Failed to convert node"  # how tf2onnx's log message begins; it leaves the op half converted and goes on


def float_model(model: keras.Model, batch: int | None, opset: int) -> onnx.ModelProto:
    """The float32 ONNX model of a Keras model, as tf2onnx names it. Its inputs are the model's, in their order.

    Raises ExportError when the model has no graph for this batch, or an op has settings that tf2onnx cannot convert.
    """
    import tensorflow as tf
    import tf2onnx

    names = converted_names(model)
    signature = [
        tf.TensorSpec((batch, *tuple(tensor.shape)[1:]), tf.float32, name=name)
        for name, tensor in zip(names, model.inputs, strict=True)
    ]
    if has_several(model):
        function = tf.function(lambda *inputs: answers(model, inputs), input_signature=signature)
    else:
        function = tf.function(lambda image: model(image, training=False), input_signature=signature)
    concrete = trace(function, signature)
    options: dict[str, Any] = {"opset": opset, "custom_op_handlers": handlers()}
    with failures(model):
        if any(tensor.dtype != tf.resource for tensor in concrete.captured_inputs):
            proto, _ = tf2onnx.convert.from_graph_def(
                frozen_graph(concrete),
                input_names=[f"{name}:0" for name in names],
                output_names=[tensor.name for tensor in concrete.outputs],
                tensors_to_rename={f"{name}:0": name for name in names},
                **options,
            )
        else:
            proto, _ = tf2onnx.convert.from_function(function, input_signature=signature, **options)
    for node in all_nodes(proto.graph):
        if node.op_type == "Resize":
            modernise_resize(node)
    for graph in (proto.graph, *(body for node in all_nodes(proto.graph) for _, body in subgraphs(node))):
        keep_zeros_before_max_pool(graph)
    return proto


def keep_zeros_before_max_pool(graph: onnx.GraphProto) -> None:
    """Put a Concat of one tensor before a MaxPool of padded values, where the maximum may be a zero of the padding.

    ONNX Runtime (1.31 too) gives the padding of a Pad to the MaxPool behind it, which pads with -infinity. Values below
    zero then win over the zeros. Behind a Relu both are the same, and the faster form stays.
    """
    from onnx import helper

    makers = {name: node for node in graph.node for name in node.output}

    def maker(node: onnx.NodeProto) -> onnx.NodeProto | None:
        found = makers.get(node.input[0])
        return maker(found) if found is not None and found.op_type == "Transpose" else found

    nodes = []
    for node in graph.node:
        pad = maker(node) if node.op_type == "MaxPool" else None
        if pad is not None and pad.op_type == "Pad":
            source = maker(pad)
            if source is None or source.op_type != "Relu":
                kept = f"{node.input[0]}/zeros"
                nodes.append(helper.make_node("Concat", [node.input[0]], [kept], name=f"{node.name}/zeros", axis=0))
                node.input[0] = kept
        nodes.append(node)
    if len(nodes) > len(graph.node):
        set_nodes(graph, nodes)


def modernise_resize(node: onnx.NodeProto) -> None:
    """Replace a coordinate mode that ONNX has deprecated, and leave out what a Resize to given sizes does not use.

    The floor of x + 0.5 is x rounded, with halves upwards. tf2onnx writes empty tensors for inputs that are not there;
    as soon as one is computed, by a Cast, the op has both sizes and scales.
    """
    settings = {attribute.name: attribute for attribute in node.attribute}
    mode = settings.get("coordinate_transformation_mode")
    if mode is not None and mode.s == b"tf_half_pixel_for_nn" and settings["nearest_mode"].s == b"floor":
        mode.s, settings["nearest_mode"].s = b"half_pixel", b"round_prefer_ceil"
    if len(node.input) == 4 and node.input[3] and (mode is None or mode.s != b"tf_crop_and_resize"):
        node.input[1] = node.input[2] = ""


def trace(
    function: tf.types.experimental.PolymorphicFunction, signature: list[tf.TensorSpec]
) -> tf.types.experimental.ConcreteFunction:
    """The graph of a model. It is traced once; tf2onnx gets the same.

    Keras compiles some ops, grouped convolutions among them, as functions of their own, which tf2onnx cannot convert.
    TensorFlow inlines these while functions run eagerly.
    """
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        with operation_scopes():
            return function.get_concrete_function(*signature)
    except Exception as error:  # Keras layers raise anything
        found = re.search(r"calling (\w+)\.call\(\)\.\s+(?:\x1b\[1m)?([^\x1b]+)", str(error))
        what, reason = found.groups() if found else ("a layer", str(error))
        raise ExportError(
            f"TensorFlow cannot make a graph of {what} ({one_line(ValueError(reason), 150)}); {way_out('it')}"
        ) from error
    finally:
        tf.config.run_functions_eagerly(before)


def frozen_graph(concrete: tf.types.experimental.ConcreteFunction) -> tf.compat.v1.GraphDef:
    """A graph with its variables and captured tensors as constants.

    A captured tensor is one that a layer or an operation holds and that is no variable, like Normalization's mean.
    TensorFlow passes it to the graph as an input.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    captured = {inside.op.name: outside for outside, inside in concrete.graph.captures if outside.dtype != tf.resource}
    frozen = convert_variables_to_constants_v2(concrete, lower_control_flow=False, aggressive_inlining=True)
    graph = frozen.graph.as_graph_def(add_shapes=True)
    for node in graph.node:
        if node.op == "Placeholder" and node.name in captured:
            value = captured[node.name].numpy()
            node.op = "Const"
            del node.attr["shape"]
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    return graph


@contextmanager
def failures(model: keras.Model) -> Iterator[None]:
    """Raises ExportError if tf2onnx logs that it failed at an op. It would go on with a graph that is wrong."""
    with records_of("tf2onnx") as records, records_of("tensorflow"):
        yield
    for record in records:
        if record.msg.startswith(FAILURE) and isinstance(record.args, tuple):
            reason = record.exc_info[1] if record.exc_info else None
            text = one_line(reason, 120).removeprefix("make_sure failure: ") if reason else "tf2onnx gives no reason"
            what = layer_of_op(model, str(record.args[0]))
            raise ExportError(f"tf2onnx cannot convert {what} ({text}); {way_out(what)}")


@contextmanager
def records_of(name: str) -> Iterator[list[logging.LogRecord]]:
    """Collect the errors that a logger gets; nothing is printed."""
    logger, records = logging.getLogger(name), Records()
    level, propagate, others = logger.level, logger.propagate, logger.handlers[:]
    logger.setLevel(logging.ERROR)
    logger.propagate, logger.handlers = False, [records]
    try:
        yield records.found
    finally:
        logger.setLevel(level)
        logger.propagate, logger.handlers = propagate, others


class Records(logging.Handler):
    """Keeps log records, and prints none."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record)


def layer_of_op(model: keras.Model, path: str, name: str = "") -> str:
    """`layer 'x'` for the path of one of its TensorFlow ops; `operation 'x'` if no layer has it.

    Args:
        path: scopes and name of the op.
        name: what to call the op if it is in no layer; the path without the model's scope if empty.
    """
    layers = LayerNames(operation_names(model), [path]).of(path)
    name = name or path
    return f"layer {layers[0]!r}" if layers else f"operation {(name.partition('/')[2] or name)!r}"


def way_out(what: str) -> str:
    return f"replace {what}, or try another format"
