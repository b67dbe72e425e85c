"""Convert TensorFlow ops that tf2onnx cannot convert, or converts wrongly: one function for each kind.

A handler gets a node of tf2onnx's graph and puts ONNX ops in its place. Their names start with the node's, so that its
Keras layer is found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = ["handlers"]

Context = Any  # tf2onnx.graph.Graph
Node = Any  # tf2onnx.graph.Node
Handler = Callable[[Context, Node, str, list[Any]], None]
SPATIAL = {"Conv2D": 2, "Conv3D": 3, "Conv2DBackpropInput": 2, "Conv3DBackpropInputV2": 3}


def handlers() -> dict[str, tuple[Handler, list[Any]]]:
    """TensorFlow op -> handler, as tf2onnx takes them."""
    own = {
        "BitwiseAnd": sign_bit,
        "Bucketize": bucketize,
        "Conv3D": convolution_3d,
        "Conv2DBackpropInput": transposed_convolution,
        "Conv3DBackpropInputV2": transposed_convolution,
        "Cross": cross,
        "Erfc": erfc,
        "Expm1": expm1,
        "Log1p": log1p,
        "ResizeArea": resize_by_matrices,
        "ResizeBicubic": resize_by_matrices,
        "ScaleAndTranslate": resize_by_matrices,
    }
    return {op: (handler, []) for op, handler in own.items()}


class Ops:
    """Adds ONNX ops in the place of `node`."""

    def __init__(self, ctx: Context, node: Node) -> None:
        self.ctx, self.node = ctx, node
        self.type = ctx.get_dtype(node.input[0])

    def __call__(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Add an op; returns the name of its output."""
        made = self.ctx.make_node(op, list(inputs), attr=attributes, name=self.new_name(op))
        return str(made.output[0])

    def constant(self, values: Any, dtype: Any = None) -> str:
        """Add a constant, of the type of the node's first input if `dtype` is None; returns its name."""
        from tf2onnx import utils

        array = np.asarray(values, dtype or utils.map_onnx_to_numpy_type(self.type))
        return str(self.ctx.make_const(self.new_name("constant"), array).output[0])

    def new_name(self, what: str) -> str:
        from tf2onnx import utils

        return str(utils.make_name(f"{self.node.name}/{what}"))

    def replace(self, op: str, *inputs: str, **attributes: Any) -> None:
        """Replace the node by an op with its outputs, shapes and types."""
        node, ctx = self.node, self.ctx
        shapes, dtypes = node.output_shapes, node.output_dtypes
        ctx.remove_node(node.name)
        ctx.make_node(
            op, list(inputs), attr=attributes, outputs=node.output, name=node.name, shapes=shapes, dtypes=dtypes
        )


def erfc(ctx: Context, node: Node, name: str, args: list[Any]) -> None:
    """1 - erf(x)."""
    ops = Ops(ctx, node)
    ops.replace("Sub", ops.constant(1), ops("Erf", node.input[0]))


def expm1(ctx: Context, node: Node, name: str, args: list[Any]) -> None:
    """exp(x) - 1 = tanh(x/2) · (exp(x) + 1), which is exact for small x too."""
    ops = Ops(ctx, node)
    x = node.input[0]
    ops.replace("Mul", ops("Tanh", ops("Mul", x, ops.constant(0.5))), ops("Add", ops("Exp", x), ops.constant(1)))


def log1p(ctx: Context, node: Node, name: str, args: list[Any]) -> None:
    ops = Ops(ctx, node)
    ops.replace("Log", ops("Add", node.input[0], ops.constant(1)))


def cross(ctx: Context, node: Node, name: str, args: list[Any]) -> None:
    """The cross product of the last axes: a[1,2,0]·b[2,0,1] - a[2,0,1]·b[1,2,0]."""
    ops = Ops(ctx, node)
    a, b = node.input
    once, twice = ops.constant([1, 2, 0], np.int64), ops.constant([2, 0, 1], np.int64)

    def product(left: str, right: str) -> str:
        return ops("Mul", ops("Gather", a, left, axis=-1), ops("Gather", b, right, axis=-1))

    ops.replace("Sub", product(once, twice), product(twice, once))


def bucketize(ctx: Context, node: Node, name: str, args: list[Any]) -> None:
    """The number of boundaries that are not above x."""
    from onnx import TensorProto
    from tf2onnx.graph_builder import GraphBuilder

    boundaries = list(node.get_attr("boundaries").floats)
    ops = Ops(ctx, node)
    x, build = node.input[0], GraphBuilder(ctx)
    if ops.type != TensorProto.FLOAT:
        x, ops.type = ops("Cast", x, to=TensorProto.FLOAT), TensorProto.FLOAT
    column = build.make_unsqueeze({"data": x, "axes": [-1 if ctx.opset >= 11 else ctx.get_rank(x)]})
    reached = ops("Cast", ops("Not", ops("Less", column, ops.constant(boundaries))), to=TensorProto.INT32)
    total = build.make_reduce_sum({"data": reached, "axes": [ctx.get_rank(node.input[0])], "keepdims": 0})
    ops.replace("Identity", total)


def sign_bit(ctx: Context, node: Node, name: str, args: list[Any]) -> None:
    """The sign bit of a float: `bitcast(x) & int32.min`, which keras.ops.signbit and argmax compute.

    Zero has one too. Any other `&` becomes ONNX's BitwiseAnd, which opset 18 has.
    """
    from onnx import TensorProto

    lowest = np.iinfo(np.int32).min
    bits = next((item for item in node.inputs if item.type == "Bitcast"), None)
    mask = next((item for item in node.inputs if item.is_const()), None)
    if (
        bits is None
        or mask is None
        or ctx.get_dtype(bits.input[0]) != TensorProto.FLOAT
        or not np.all(mask.get_tensor_value(as_list=False) == lowest)
    ):
        return
    ops = Ops(ctx, bits)
    x, zero = bits.input[0], ops.constant(0)
    negative = ops("Or", ops("Less", x, zero), ops("Less", ops("Div", ops.constant(1), x), zero))
    Ops(ctx, node).replace("Where", negative, ops.constant(lowest, np.int32), ops.constant(0, np.int32))


def convolution_3d(ctx: Context, node: Node, name: str, args: list[Any]) -> None:
    """tf2onnx's conversion, with the groups, which it sets for Conv2D alone."""
    from tf2onnx.onnx_opset.nn import ConvOp

    channels = ctx.get_shape(node.input[0])[-1 if node.get_attr_str("data_format") == "NDHWC" else 1]
    groups = channels // ctx.get_shape(node.input[1])[-2]
    ConvOp.any_version(ctx.opset, ctx, node)
    node.set_attr("group", groups)


def transposed_convolution(ctx: Context, node: Node, name: str, args: list[Any]) -> None:
    """tf2onnx's conversion; where the kernel is smaller than the stride, zeros follow instead of a negative pad."""
    from tf2onnx.onnx_opset.nn import ConvTranspose

    spatial = SPATIAL[node.type]
    ConvTranspose.version_11(ctx, node)
    pads = node.get_attr_value("pads") or [0] * (2 * spatial)
    if min(pads) < 0:
        totals = [pads[axis] + pads[axis + spatial] for axis in range(spatial)]
        starts = [max(pads[axis], 0) if totals[axis] >= 0 else 0 for axis in range(spatial)]
        ends = [max(total, 0) - start for total, start in zip(totals, starts, strict=True)]
        node.set_attr("pads", starts + ends)
        node.set_attr("output_padding", [max(-total, 0) for total in totals])


def resize_by_matrices(ctx: Context, node: Node, name: str, args: list[Any]) -> None:
    """Resizing is linear in each axis: rows · x · columns. TensorFlow computes both matrices, on unit vectors.

    ONNX's cubic Resize differs from TensorFlow's, and it has no Lanczos kernel and no mean over areas.
    """
    ops = Ops(ctx, node)
    _, height, width, channels = ctx.get_shape(node.input[0])
    if min(height, width, channels) < 1 or not node.inputs[1].is_const():
        raise ValueError("the size of the image that is resized is not known")
    target = [int(size) for size in node.inputs[1].get_tensor_value(as_list=False)]
    # TensorFlow computes the scales from the image's shape, if the batch is open.
    scales = np.divide(target, [height, width], dtype=np.float32)
    others = [item.get_tensor_value(as_list=False) for item in node.inputs[2:] if item.is_const()]
    factors = (*([scales] if len(others) == 1 else []), *others)
    rows = resizing_matrix(node, height, target[0], factors, axis=0)
    columns = resizing_matrix(node, width, target[1], factors, axis=1)
    x = node.input[0]
    if ctx.get_dtype(x) != 1:  # these TensorFlow ops return float32 for every input
        x, ops.type = ops("Cast", x, to=1), 1
    flat = reshape(ops, x, [-1, height, width * channels])
    tall = reshape(ops, ops("MatMul", ops.constant(rows), flat), [-1, width, channels])
    wide = ops("MatMul", ops.constant(columns), tall)
    ops.replace("Reshape", wide, ops.constant([-1, *target, channels], np.int64))


def reshape(ops: Ops, x: str, shape: Sequence[int]) -> str:
    return ops("Reshape", x, ops.constant(shape, np.int64))


def resizing_matrix(node: Node, size: int, target: int, factors: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """float32 (target, size): what resizing along one axis of `size` pixels multiplies them with.

    `factors`: the scales and translations of both axes, which ScaleAndTranslate has.
    """
    import tensorflow as tf

    units = np.eye(size, dtype=np.float32).reshape(size, size, 1, 1)  # an image for each pixel
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        if node.type == "ResizeBicubic":
            settings = {key: bool(node.get_attr_value(key, 0)) for key in ("align_corners", "half_pixel_centers")}
            resized = tf.raw_ops.ResizeBicubic(images=units, size=[target, 1], **settings)
        elif node.type == "ResizeArea":
            aligned = bool(node.get_attr_value("align_corners", 0))
            resized = tf.raw_ops.ResizeArea(images=units, size=[target, 1], align_corners=aligned)
        else:
            scales, translations = factors
            resized = tf.raw_ops.ScaleAndTranslate(
                images=units,
                size=[target, 1],
                scale=[float(scales[axis]), 1.0],
                translation=[float(translations[axis]), 0.0],
                kernel_type=node.get_attr_str("kernel_type"),
                antialias=bool(node.get_attr_value("antialias", 1)),
            )
        return np.asarray(session.run(resized)).reshape(size, target).T
