"""Contents -> a checked model: rebuilt from its config, or recognised as one of the zoo."""

from __future__ import annotations

import contextlib
import json
import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from fmnist_edge.catalog.models import MODELS
from fmnist_edge.checkpoints.config import ConfigRefusedError, clean, head_of
from fmnist_edge.checkpoints.contents import Contents, printable
from fmnist_edge.checkpoints.recognise import recognise
from fmnist_edge.errors import CheckpointError, FileError, one_line

__all__ = ["check_model", "model_of", "output_of"]

Model = Any  # keras.Model, whose import costs seconds
FREE_ELEMENTS = 1 << 20
LARGEST_OUTPUT = 1 << 25  # of a layer, for one image: 134 MB
FIX = "build it from built-in layers and save it again with model.save('model.keras')"


def model_of(contents: Contents) -> Model:
    """The model in `contents`, uncompiled. Raises CheckpointError saying why it is neither ours nor rebuildable."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras's advice to who wrote the file
        if contents.config is None:
            reason = "it holds weights without a model config"
        else:
            try:
                return rebuilt(contents)
            except ConfigRefusedError as error:
                reason = str(error)
            except FileError:  # no fault of the model: its weights found no room on their way to Keras
                raise
            except Exception as error:  # whatever a layer makes of settings that nobody checked
                reason = f"Keras cannot rebuild it: {cause_of(error)}"
        model = recognise(contents)
    if model is None:
        raise CheckpointError(f"{printable(reason)}, and its weights are not those of {', '.join(MODELS)}; {FIX}")
    return with_head(model, contents.head if contents.config is None else head_of(contents.config))


def rebuilt(contents: Contents) -> Model:
    import keras

    import fmnist_edge.models.layers  # noqa: F401  registers our LRN

    if contents.keras_2 and '"hard_sigmoid"' in json.dumps(contents.config):
        raise ConfigRefusedError("it uses Keras 2's hard_sigmoid, which is another function in Keras 3")
    check_size(clean(contents.config), contents.elements)
    model = keras.saving.deserialize_keras_object(clean(contents.config), safe_mode=True)
    contents.load(model)
    return model


def check_size(config: dict[str, Any], elements: int) -> None:
    """Refuse a config that asks for many more numbers than its file holds, before memory is taken for them."""
    import keras
    from keras.src.backend.common import global_state  # the only way to forget variables that were never made

    key = "uninitialized_variables"
    before = list(global_state.get_global_attribute(key) or [])
    with contextlib.suppress(Exception), keras.StatelessScope(initialize_variables=False):
        keras.saving.deserialize_keras_object(config, safe_mode=True)  # the real thing will raise what this raises
    planned = (global_state.get_global_attribute(key) or [])[len(before) :]
    global_state.set_global_attribute(key, before)
    asked = sum(math.prod(variable.shape) for variable in planned)
    if asked > 2 * elements + FREE_ELEMENTS:
        raise ConfigRefusedError(f"its config asks for {asked:,} weights, but the file holds {elements:,}")


def cause_of(error: Exception) -> str:
    """The end of Keras's message where it wraps a whole config around what a layer said."""
    return one_line(ValueError(str(error).rpartition("Exception encountered: ")[2]), 160)


def with_head(model: Model, activation: str) -> Model:
    """A zoo model, which ends in logits, with the last activation that the file had."""
    import keras

    heads = {"softmax": keras.layers.Softmax, "relu": keras.layers.ReLU}
    if activation in heads:
        return keras.Model(model.inputs, heads[activation](name=activation)(model.outputs[0]), name=model.name)
    if activation != "linear":
        raise CheckpointError(f"its weights are those of {model.name}, but it ends in no activation we know; {FIX}")
    return model


def check_model(model: Model) -> None:
    """Raises CheckpointError unless `model` is one classifier with finite weights."""
    inputs, outputs = getattr(model, "inputs", None) or [], getattr(model, "outputs", None) or []
    if len(inputs) != 1 or len(outputs) != 1:
        raise CheckpointError(f"has {len(inputs)} inputs and {len(outputs)} outputs; expected one of each; save a part")
    shape, answer = tuple(inputs[0].shape), tuple(outputs[0].shape)
    if len(shape) < 2 or None in shape[1:]:
        raise CheckpointError(f"takes inputs {shape}; expected a shape known but for the batch; give keras.Input() one")
    if len(answer) != 2 or answer[1] is None:
        raise CheckpointError(f"answers with {answer}; expected (batch, classes); end it in Flatten and Dense")
    for kind, tensor in (("takes", inputs[0]), ("answers with", outputs[0])):
        if str(tensor.dtype) != "float32":
            raise CheckpointError(f"{kind} {tensor.dtype}; expected float32; save it with float32 input and last layer")
    for name, output in outputs_of(model):
        values = math.prod(size for size in output[1:] if size is not None)
        if values > LARGEST_OUTPUT:
            what = f"layer {printable(name)!r} answers with {output}, {values:,} values an image"
            raise CheckpointError(f"{what}; expected at most {LARGEST_OUTPUT:,}: no device has room for more")
    for weight in model.weights:
        if not np.isfinite(np.asarray(weight)).all():
            raise CheckpointError(f"weight {weight.path} holds NaN or infinity; train it again from a finite state")


def outputs_of(model: Model) -> Iterator[tuple[str, tuple[int | None, ...]]]:
    """(name, shape) of what each layer answers with, those of models inside it too."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from outputs_of(layer)
        else:
            shape = getattr(getattr(layer, "output", None), "shape", None)  # a layer with several has a list
            if shape is not None:
                yield layer.name, tuple(shape)


def output_of(model: Model) -> str:
    """'probabilities' when `model` ends in softmax or sigmoid, else 'logits'."""
    operation = model.outputs[0]._keras_history.operation
    while True:
        kind = type(operation).__name__
        activation = getattr(getattr(operation, "activation", None), "__name__", "")
        if kind in ("Softmax", "Sigmoid") or activation in ("softmax", "sigmoid"):
            return "probabilities"
        if kind in ("Functional", "Sequential"):
            operation = operation.outputs[0]._keras_history.operation
        elif kind in ("Dropout", "Flatten", "Identity", "Reshape") or (kind == "Activation" and activation == "linear"):
            operation = operation._inbound_nodes[0].input_tensors[0]._keras_history.operation
        else:
            return "logits"
