"""TensorFlow functions that Keras 2 recorded in functional models, and the Keras operations that stand for them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from fmnist_edge.checkpoints.contents import shown
from fmnist_edge.checkpoints.refusals import ConfigRefusedError

__all__ = ["FUNCTIONS", "NODES", "Row", "row_of", "translated"]


@dataclass(frozen=True)
class Row:
    """What stands for a TensorFlow function.

    Attributes:
        operation: "module.Class" below keras.src.ops, or "layers.Class".
        takes: TensorFlow's names of what the operation is called with, in order; `?` marks one that may be left out.
        settings: TensorFlow's names of what its constructor takes -> Keras's names.
        fixed: settings that the function implies.
        ignored: TensorFlow's names -> the values at which they say nothing.
    """

    operation: str
    takes: tuple[str, ...]
    settings: dict[str, str] = field(default_factory=dict)
    fixed: dict[str, Any] = field(default_factory=dict)
    ignored: dict[str, tuple[Any, ...]] = field(default_factory=dict)


def row(operation: str, takes: str, settings: str = "", ignored: dict[str, Any] | None = None, **fixed: Any) -> Row:
    """`settings` are words: "axis", or "perm=axes" where Keras has another name."""
    renamed = {left: right or left for left, _, right in (word.partition("=") for word in settings.split())}
    silent = {key: value if isinstance(value, tuple) else (value,) for key, value in (ignored or {}).items()}
    return Row(operation, tuple(takes.split()), renamed, fixed, silent)


REDUCED = "axis keepdims"
CHANNELS = {"data_format": ("NHWC", "channels_last", None)}
LAST = "channels_last"
LRN = "depth_radius=radius bias alpha beta"
# By TensorFlow's name without its module: `tf.math.add`, `tf.add` and `tf.__operators__.add` are one.
FUNCTIONS: dict[str, Row] = {
    "abs": row("numpy.Absolute", "x"),
    "add": row("numpy.Add", "x y"),
    "add_n": row("layers.Add", "inputs"),
    "argmax": row("numpy.Argmax", "input", "axis"),
    "argmin": row("numpy.Argmin", "input", "axis"),
    "avg_pool2d": row("nn.AveragePool", "input", "ksize=pool_size strides padding", CHANNELS, data_format=LAST),
    "bias_add": row("numpy.Add", "value bias", "", CHANNELS),
    "cast": row("core.Cast", "x", "dtype"),
    "ceil": row("numpy.Ceil", "x"),
    "clip_by_value": row("numpy.Clip", "t", "clip_value_min=x_min clip_value_max=x_max"),
    "concat": row("numpy.Concatenate", "values", "axis"),
    "concatenate": row("numpy.Concatenate", "tensors", "axis", axis=-1),
    "conv2d": row("nn.Conv", "input filters", "strides padding dilations=dilation_rate", CHANNELS, data_format=LAST),
    "cos": row("numpy.Cos", "x"),
    "cumsum": row("numpy.Cumsum", "x", "axis", {"exclusive": False, "reverse": False}, axis=0),
    "depth_to_space": row("nn.DepthToSpace", "input", "block_size", CHANNELS, data_format=LAST),
    "divide": row("numpy.TrueDivide", "x y"),
    "elu": row("nn.Elu", "features", "alpha"),
    "equal": row("numpy.Equal", "x y"),
    "erf": row("math.Erf", "x"),
    "exp": row("numpy.Exp", "x"),
    "expand_dims": row("numpy.ExpandDims", "input", "axis"),
    "floor": row("numpy.Floor", "x"),
    "floordiv": row("numpy.FloorDivide", "x y"),
    "floormod": row("numpy.Mod", "x y"),
    "gather": row("numpy.Take", "params indices", "axis", {"validate_indices": None, "batch_dims": 0}),
    "gelu": row("nn.Gelu", "features", "approximate", approximate=False),
    "getitem": row("numpy.GetItem", "tensor slice_spec", "", {"var": None}),
    "greater": row("numpy.Greater", "x y"),
    "greater_equal": row("numpy.GreaterEqual", "x y"),
    "identity": row("core.StopGradient", "input"),
    "image.resize": row(
        "image.Resize",
        "images",
        "size method=interpolation antialias",
        {"preserve_aspect_ratio": False},
        data_format=LAST,
    ),
    "image.rgb_to_grayscale": row("image.RGBToGrayscale", "images", data_format=LAST),
    "leaky_relu": row("nn.LeakyRelu", "features", "alpha=negative_slope"),
    "less": row("numpy.Less", "x y"),
    "less_equal": row("numpy.LessEqual", "x y"),
    "local_response_normalization": row("layers.LocalResponseNormalization", "input", LRN),
    "log": row("numpy.Log", "x"),
    "log1p": row("numpy.Log1p", "x"),
    "log_softmax": row("nn.LogSoftmax", "logits", "axis"),
    "logical_and": row("numpy.LogicalAnd", "x y"),
    "logical_not": row("numpy.LogicalNot", "x"),
    "logical_or": row("numpy.LogicalOr", "x y"),
    "lrn": row("layers.LocalResponseNormalization", "input", LRN),
    "matmul": row(
        "numpy.Matmul",
        "a b",
        "",
        dict.fromkeys(("transpose_a", "transpose_b", "adjoint_a", "adjoint_b", "a_is_sparse", "b_is_sparse"), (False,))
        | {"output_type": None, "grad_a": False, "grad_b": False},
    ),
    "max_pool2d": row("nn.MaxPool", "input", "ksize=pool_size strides padding", CHANNELS, data_format=LAST),
    "maximum": row("numpy.Maximum", "x y"),
    "minimum": row("numpy.Minimum", "x y"),
    "multiply": row("numpy.Multiply", "x y"),
    "neg": row("numpy.Negative", "x"),
    "negative": row("numpy.Negative", "x"),
    "not_equal": row("numpy.NotEqual", "x y"),
    "pad": row("numpy.Pad", "tensor ?constant_values", "paddings=pad_width mode"),
    "pow": row("numpy.Power", "x y"),
    "reciprocal": row("numpy.Reciprocal", "x"),
    "reduce_all": row("numpy.All", "input_tensor", REDUCED),
    "reduce_any": row("numpy.Any", "input_tensor", REDUCED),
    "reduce_max": row("numpy.Max", "input_tensor", REDUCED),
    "reduce_mean": row("numpy.Mean", "input_tensor", REDUCED),
    "reduce_min": row("numpy.Min", "input_tensor", REDUCED),
    "reduce_prod": row("numpy.Prod", "input_tensor", REDUCED),
    "reduce_std": row("numpy.Std", "input_tensor", REDUCED),
    "reduce_sum": row("numpy.Sum", "input_tensor", REDUCED),
    "reduce_variance": row("numpy.Var", "input_tensor", REDUCED),
    "relu": row("nn.Relu", "features"),
    "relu6": row("nn.Relu6", "features"),
    "repeat": row("numpy.Repeat", "input", "repeats axis"),
    "reshape": row("numpy.Reshape", "tensor", "shape=newshape"),
    "reverse": row("numpy.Flip", "tensor", "axis"),
    "round": row("numpy.Round", "x"),
    "rsqrt": row("math.Rsqrt", "x"),
    "selu": row("nn.Selu", "features"),
    "sigmoid": row("nn.Sigmoid", "x"),
    "sign": row("numpy.Sign", "x"),
    "silu": row("nn.Silu", "features", "", {"beta": 1.0}),
    "sin": row("numpy.Sin", "x"),
    "softmax": row("nn.Softmax", "logits", "axis"),
    "softplus": row("nn.Softplus", "features"),
    "softsign": row("nn.Softsign", "features"),
    "space_to_depth": row("nn.SpaceToDepth", "input", "block_size", CHANNELS, data_format=LAST),
    "split": row("numpy.Split", "value", "num_or_size_splits=indices_or_sections axis", {"num": None}),
    "sqrt": row("numpy.Sqrt", "x"),
    "square": row("numpy.Square", "x"),
    "squeeze": row("numpy.Squeeze", "input", "axis"),
    "stack": row("numpy.Stack", "values", "axis"),
    "stop_gradient": row("core.StopGradient", "input"),
    "subtract": row("numpy.Subtract", "x y"),
    "swish": row("nn.Silu", "features", "", {"beta": 1.0}),
    "tanh": row("numpy.Tanh", "x"),
    "tile": row("numpy.Tile", "input", "multiples=repeats"),
    "transpose": row("numpy.Transpose", "a", "perm=axes", {"conjugate": False}),
    "truediv": row("numpy.TrueDivide", "x y"),
    "unstack": row("core.Unstack", "value", "num axis"),
    "where": row("numpy.Where", "condition x y"),
}
MODULES = re.compile(
    r"^(?:tf\.)?(?:compat\.v[12]\.)?(?:math\.|nn\.|linalg\.|__operators__\.|keras\.(?:backend|activations)\.)?"
)
ALIASES = {"keep_dims": "keepdims", "dim": "axis", "logits": "logits"}
# TensorFlow's own nodes, which Keras up to 2.3 recorded: the function, and the names of the inputs in their order.
NODES: dict[str, tuple[str, tuple[str, ...]]] = {
    "Abs": ("abs", ("x",)),
    "Add": ("add", ("x", "y")),
    "AddN": ("add_n", ("inputs",)),
    "AddV2": ("add", ("x", "y")),
    "AvgPool": ("avg_pool2d", ("input",)),
    "BiasAdd": ("bias_add", ("value", "bias")),
    "Cast": ("cast", ("x",)),
    "Ceil": ("ceil", ("x",)),
    "ClipByValue": ("clip_by_value", ("t", "clip_value_min", "clip_value_max")),
    "DepthToSpace": ("depth_to_space", ("input",)),
    "Elu": ("elu", ("features",)),
    "Equal": ("equal", ("x", "y")),
    "Exp": ("exp", ("x",)),
    "ExpandDims": ("expand_dims", ("input", "axis")),
    "Floor": ("floor", ("x",)),
    "FloorDiv": ("floordiv", ("x", "y")),
    "FloorMod": ("floormod", ("x", "y")),
    "Greater": ("greater", ("x", "y")),
    "GreaterEqual": ("greater_equal", ("x", "y")),
    "Identity": ("identity", ("input",)),
    "LRN": ("lrn", ("input",)),
    "LeakyRelu": ("leaky_relu", ("features",)),
    "Less": ("less", ("x", "y")),
    "LessEqual": ("less_equal", ("x", "y")),
    "Log": ("log", ("x",)),
    "LogSoftmax": ("log_softmax", ("logits",)),
    "MatMul": ("matmul", ("a", "b")),
    "BatchMatMulV2": ("matmul", ("a", "b")),
    "Max": ("reduce_max", ("input_tensor", "axis")),
    "MaxPool": ("max_pool2d", ("input",)),
    "Maximum": ("maximum", ("x", "y")),
    "Mean": ("reduce_mean", ("input_tensor", "axis")),
    "Min": ("reduce_min", ("input_tensor", "axis")),
    "Minimum": ("minimum", ("x", "y")),
    "Mul": ("multiply", ("x", "y")),
    "Neg": ("neg", ("x",)),
    "Pad": ("pad", ("tensor", "paddings")),
    "PadV2": ("pad", ("tensor", "paddings", "constant_values")),
    "Pow": ("pow", ("x", "y")),
    "Prod": ("reduce_prod", ("input_tensor", "axis")),
    "RealDiv": ("truediv", ("x", "y")),
    "Reciprocal": ("reciprocal", ("x",)),
    "Relu": ("relu", ("features",)),
    "Relu6": ("relu6", ("features",)),
    "Reshape": ("reshape", ("tensor", "shape")),
    "ReverseV2": ("reverse", ("tensor", "axis")),
    "Round": ("round", ("x",)),
    "Rsqrt": ("rsqrt", ("x",)),
    "Select": ("where", ("condition", "x", "y")),
    "SelectV2": ("where", ("condition", "x", "y")),
    "Selu": ("selu", ("features",)),
    "Sigmoid": ("sigmoid", ("x",)),
    "Sign": ("sign", ("x",)),
    "Softmax": ("softmax", ("logits",)),
    "Softplus": ("softplus", ("features",)),
    "Softsign": ("softsign", ("features",)),
    "SpaceToDepth": ("space_to_depth", ("input",)),
    "Sqrt": ("sqrt", ("x",)),
    "Square": ("square", ("x",)),
    "Squeeze": ("squeeze", ("input",)),
    "StopGradient": ("stop_gradient", ("input",)),
    "Sub": ("subtract", ("x", "y")),
    "Sum": ("reduce_sum", ("input_tensor", "axis")),
    "Tanh": ("tanh", ("x",)),
    "Tile": ("tile", ("input", "multiples")),
    "Transpose": ("transpose", ("a", "perm")),
}


def row_of(symbol: Any, layer: str) -> tuple[str, Row]:
    """The table's name and row of a TensorFlow function. Raises ConfigRefusedError, which names the layer."""
    name = MODULES.sub("", symbol) if isinstance(symbol, str) else ""
    if name not in FUNCTIONS:
        raise ConfigRefusedError(
            f"layer {shown(layer)} is TensorFlow's function {shown(symbol)}, for which Keras has no operation here",
            f"write {shown(layer)} with layers of keras.layers or with keras.ops, and save the model again",
        )
    return name, FUNCTIONS[name]


def translated(
    symbol: Any, args: list[Any], kwargs: dict[str, Any], layer: str
) -> tuple[Row, dict[str, Any], list[Any]]:
    """What a call of a TensorFlow function is in Keras: the row, the constructor's settings, the arguments."""
    from fmnist_edge.checkpoints.tf_settings import setting

    name, found = row_of(symbol, layer)
    given = {ALIASES.get(key, key): value for key, value in kwargs.items()}
    names = [word.lstrip("?") for word in found.takes]
    order = [*names, *(key for key in found.settings if key not in names)]
    given = {**dict(zip(order, args, strict=False)), **given}
    settings, called = dict(found.fixed), []
    for word in found.takes:
        key = word.lstrip("?")
        if key in given:
            called.append(given.pop(key))
        elif not word.startswith("?"):
            raise ConfigRefusedError(f"layer {shown(layer)} calls tf.{name} without {key}")
    for key, keras_name in found.settings.items():
        if key in given:
            value = setting(name, key, given.pop(key), layer)
            if value is not None:
                settings[keras_name] = value
    for key, value in given.items():
        if value is not None and value not in found.ignored.get(key, ()):
            raise ConfigRefusedError(f"layer {shown(layer)} calls tf.{name} with {key}={shown(value)}")
    return found, settings, called
