"""Say in one line which layer TensorFlow's converter refuses, why, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fmnist_edge.catalog.precisions import Precision
from fmnist_edge.errors import ExportError, one_line
from fmnist_edge.exporters.exporter import IN_NO_FORMAT, OpLayers
from fmnist_edge.exporters.layer_names import LayerNames, operation_names
from fmnist_edge.exporters.tflite_operators import WRONG, operators

if TYPE_CHECKING:
    import keras

__all__ = ["check_runs", "explained", "named_layers", "not_integer_only", "too_wide"]

# loc(callsite(fused["Erfinv:", "model_1/erfinv/Erfinv@__inference_7"] at …)): … 'tf.Erfinv' op is neither a custom …
UNKNOWN_OP = re.compile(r"loc\(([^\n]*)\): (?:error: )?'(tfl?)\.(\w+)' op is neither a custom op nor a flex op")
OP_PATH = re.compile(r'"[\w.]+:", "([^"@]+)')
NO_16_BITS = re.compile(r"Quantization to 16x8-bit not yet supported for op: '(\w+)'")
NODE = re.compile(r"Node number \d+ \((\w+)\) failed to (?:prepare|invoke)")
NO_RANGE = re.compile(r"Max and min for dynamic tensors should be recorded during calibration: Failed for tensor (\S+)")
# TensorFlow's op -> what to change in the model, where that is known to be enough.
REMEDIES = {
    "Conv2DBackpropInput": "leave its dilation_rate at 1",
    "Conv3DBackpropInputV2": "leave its dilation_rate at 1",
}
LARGEST_STEP = 1e3
REPLACE = "write it with other operations"

LayersOf = Callable[[str], Iterable[str]]  # a TFLite op, such as "ELU" -> the layers that have it


def explained(error: Exception, model: keras.Model, precision: Precision, layers_of: LayersOf) -> ExportError | None:
    """The refusal of `model` in our words; None when the message is not one of those that are known.

    Args:
        layers_of: called for messages that name an op and not its place.
    """
    text = str(error)
    if found := list(UNKNOWN_OP.finditer(text)):
        places = {item[3]: places_of(item[1], model) for item in found}
        op, layers = next(iter(places.items()))
        return ExportError(f"TFLite has no kernel for {needed(op, layers)}; {remedy(op)}")
    if match := NO_16_BITS.search(text):
        op = match[1]
        return ExportError(
            f"TFLite has no 16-bit kernel for {needed(op, tuple(layers_of(op)))}; export it as tflite int8, "
            "which keeps such ops in float"
        )
    if match := NO_RANGE.search(text):
        layers = LayerNames(operation_names(model), [match[1]], model.name).of(match[1])
        return ExportError(
            f"TFLite {precision.name}: no calibration image reaches {match[1].rpartition('/')[2]}{of_layers(layers)}, "
            "so it has no range; export it as tflite dynamic_int8, which needs none"
        )
    if match := NODE.search(text):
        return node_refused(text, match, tuple(layers_of(match[1])), precision)
    return None


def remedy(op: str) -> str:
    """What to do about an op of TensorFlow's that TFLite lacks."""
    return REMEDIES.get(
        op, f"{REPLACE}; ONNX lacks it too" if op in IN_NO_FORMAT else f"{REPLACE}, or try --format onnx"
    )


def node_refused(text: str, match: re.Match[str], layers: Sequence[str], precision: Precision) -> ExportError:
    """A kernel that does not take what the converter wrote; the message has the reason in front of the op."""
    reason = text[: match.start()].rpartition(".cc")[2].strip(" .:0123456789") or "no reason given"
    others = "--format onnx" if precision.weights == "float32" else "tflite float32 or --format onnx"
    return ExportError(
        f"TFLite's kernel does not compute {needed(match[1], layers)} ({one_line(ValueError(reason), 120)}); "
        f"{REPLACE}, or try {others}"
    )


def check_runs(content: bytes, model: keras.Model, precision: Precision, made_by: OpLayers) -> None:
    """Run a file once, on zeros, or on ones if it does not compute these: a division by 0 is no fault of its kernel.

    Raises ExportError, which names op and layer, when the runtime refuses what the converter wrote, or has a kernel
    that is known to be wrong.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    wrong = WRONG.get(precision.activations, ()) if precision.integer_only else ()
    ops = list(operators(content))
    for op in ops:
        if op.kind in wrong and not op.computes_in_float:
            found = needed(op.kind, made_by.get(op.name, ()))
            raise ExportError(f"TFLite's {precision.activations} kernel is wrong for {found}; export it as tflite int8")
        if precision.activations == "int16" and any(map(is_too_wide, op.outputs)):
            made = made_by.get(op.name, ())
            where = named_layers(made) if made else f"operation {op.kind}"
            raise ExportError(
                f"{where} has values too far apart for 16 bits, as masks of -1e9; export it as tflite int8"
            )
    try:
        interpreter = Interpreter(
            model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        )
        interpreter.allocate_tensors()
        run_on(interpreter, 0.0, 1.0)
    except (ValueError, RuntimeError) as error:
        match = NODE.search(str(error))
        if match is None:
            raise
        layers = dict.fromkeys(layer for op in ops if op.kind == match[1] for layer in made_by.get(op.name, ()))
        raise node_refused(str(error), match, tuple(layers), precision) from None


def run_on(interpreter: Any, *values: float) -> None:
    """Run an interpreter on the first of these constants that it computes. Raises what it raises for the last."""
    read = interpreter.get_input_details()[0]
    scale, zero_point = read["quantization"]
    for value in values:
        number = np.clip(round(value / scale) + zero_point, *limits(read["dtype"])) if scale else value
        interpreter.set_tensor(read["index"], np.full(read["shape"], number, read["dtype"]))
        try:
            return interpreter.invoke()
        except (ValueError, RuntimeError):
            if value == values[-1]:
                raise


def limits(dtype: type) -> tuple[int, int]:
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def is_too_wide(tensor: Any) -> bool:
    """Whether one step of a TensorT's scale is larger than what any layer answers with on purpose."""
    scale = None if tensor.quantization is None else tensor.quantization.scale
    return scale is not None and len(scale) > 0 and float(np.max(scale)) > LARGEST_STEP


def not_integer_only(name: str, float_ops: Mapping[str, Sequence[str]]) -> ExportError:
    """The refusal of a model in which these ops, each with its layers, have no integer kernel."""
    ops = ", ".join(f"{op} ({named_layers(layers)})" if layers else op for op, layers in list(float_ops.items())[:5])
    return ExportError(
        f"{name} cannot be integer-only: no integer kernel for {ops}; export it as tflite int8, which keeps such ops "
        "in float"
    )


def too_wide(ops: Mapping[str, Sequence[str]]) -> ExportError:
    """The refusal of an integer-only file with these ops, by output, each with its layers; see `float_islands`."""
    layers = tuple(dict.fromkeys(layer for made in ops.values() for layer in made))
    where = named_layers(layers) if layers else f"operation {next(iter(ops)).rpartition('/')[2]}"
    return ExportError(
        f"the model cannot be integer-only: {where} divides, or has values too far apart for eight bits; export it as "
        "tflite int8, which keeps such ops in float, or leave constant images out of the calibration"
    )


def places_of(location: str, model: keras.Model) -> tuple[str, ...]:
    """The layers in an MLIR location; none for an operation that is not in a layer."""
    paths = [path for path in OP_PATH.findall(location) if "PartitionedCall" not in path]
    names = LayerNames(operation_names(model), paths, model.name)
    return tuple(dict.fromkeys(layer for path in paths for layer in names.of(path)))


def needed(op: str, layers: Sequence[str]) -> str:
    return f"{op}, which {named_layers(layers)} needs" if layers else f"{op}, an operation of the model"


def named_layers(layers: Sequence[str], most: int = 3) -> str:
    """
    >>> named_layers(["a"]), named_layers(["a", "b", "c", "d", "e"])
    ("layer 'a'", "layer 'a', 'b', 'c' and 2 more")
    """
    more = f" and {len(layers) - most} more" if len(layers) > most else ""
    return f"layer {', '.join(map(repr, layers[:most]))}{more}"


def of_layers(layers: Sequence[str]) -> str:
    return f" of {named_layers(layers)}" if layers else ""
