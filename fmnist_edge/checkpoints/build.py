"""Contents -> a checked model: rebuilt from its config, or recognised as one of the zoo."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.checkpoints.assemble import assembled
from fmnist_edge.checkpoints.config import clean, head_of
from fmnist_edge.checkpoints.contents import Contents, printable
from fmnist_edge.checkpoints.parts import Plan, plan_of
from fmnist_edge.checkpoints.recognise import nearest, recognise
from fmnist_edge.checkpoints.refusals import AGAIN, REBUILD, ConfigRefusedError, cause_of
from fmnist_edge.errors import CheckpointError, FileError

if TYPE_CHECKING:
    import keras

__all__ = ["check_model", "head_activation", "model_of", "output_of"]

FREE_ELEMENTS = 1 << 20
LARGEST_OUTPUT = 1 << 25  # of a layer, for one image: 134 MB


def model_of(contents: Contents) -> tuple[keras.Model, dict[str, str]]:
    """The model in `contents`, uncompiled, and its layers' names in the file where they differ.

    Raises CheckpointError saying why it is neither ours nor rebuildable.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras's advice to who wrote the file
        if contents.config is None:
            refusal = ConfigRefusedError(*contents.no_config)
        else:
            try:
                return rebuilt(contents)
            except ConfigRefusedError as error:
                refusal = error
            except FileError:  # no fault of the model: its weights found no room on their way to Keras
                raise
            except RecursionError:
                refusal = ConfigRefusedError("its config is nested deeper than any model that Keras loads")
            except Exception as error:  # whatever a layer makes of settings that nobody checked
                refusal = ConfigRefusedError(f"Keras cannot rebuild it: {cause_of(error)}", AGAIN)
        model = recognise(contents)
    if model is None:
        near = nearest(contents)
        told = f"; its weights are nearly those of {near}, but not in order and shape" if near else ""
        raise CheckpointError(printable(f"{refusal}{told}; {refusal.way_out}"))
    return with_head(model, contents.head if contents.config is None else head_of(contents.config)), {}


def rebuilt(contents: Contents) -> tuple[keras.Model, dict[str, str]]:
    import fmnist_edge.models.layers  # noqa: F401  registers our LRN

    plan = plan_of(clean(contents.config, contents.keras_2))
    check_size(plan, contents.elements)
    model = assembled(plan)
    contents.load(plan.root)
    return model, plan.labels.originals


def check_size(plan: Plan, elements: int) -> None:
    """Refuse a config that asks for many more numbers than its file holds, before memory is taken for them."""
    import keras
    from keras.src.backend.common import global_state  # the only way to forget variables that were never made

    key = "uninitialized_variables"
    before = list(global_state.get_global_attribute(key) or [])
    with contextlib.suppress(Exception), keras.StatelessScope(initialize_variables=False):
        assembled(plan)  # the real thing will raise what this raises
    planned = (global_state.get_global_attribute(key) or [])[len(before) :]
    global_state.set_global_attribute(key, before)
    asked = sum(math.prod(variable.shape) for variable in planned)
    if asked > 2 * elements + FREE_ELEMENTS:
        raise ConfigRefusedError(f"its config asks for {asked:,} weights, but the file holds {elements:,}", AGAIN)


def with_head(model: keras.Model, activation: str) -> keras.Model:
    """A zoo model, which ends in logits, with the last activation that the file had."""
    import keras

    heads = {"softmax": keras.layers.Softmax, "relu": keras.layers.ReLU}
    if activation in heads:
        return keras.Model(model.inputs, heads[activation](name=activation)(model.outputs[0]), name=model.name)
    if activation != "linear":
        raise CheckpointError(f"its weights are those of {model.name}, but it ends in no activation we know; {REBUILD}")
    return model


def check_model(model: keras.Model, names: dict[str, str] | None = None) -> None:
    """Raises CheckpointError unless `model` takes and gives float32 arrays of known shapes, with finite weights.

    `names`: layers' in the file.
    """
    inputs, outputs = getattr(model, "inputs", None) or [], getattr(model, "outputs", None) or []
    if not inputs or not outputs:
        raise CheckpointError(f"has {len(inputs)} inputs and {len(outputs)} outputs; expected at least one of each")
    for tensor in inputs:
        shape = tuple(tensor.shape)
        if len(shape) < 2 or None in shape[1:]:
            raise CheckpointError(
                f"takes inputs {shape}; expected a shape known but for the batch; give keras.Input() one"
            )
    for tensor in outputs:
        answer = tuple(tensor.shape)
        if not answer or None in answer[1:]:
            raise CheckpointError(
                f"answers with {answer}; expected a shape known but for the batch; give its layers known shapes"
            )
    for kind, tensor in (*(("takes", item) for item in inputs), *(("answers with", item) for item in outputs)):
        if str(tensor.dtype) != "float32":
            raise CheckpointError(f"{kind} {tensor.dtype}; expected float32; save it with float32 input and last layer")
    for name, output in outputs_of(model):
        values = math.prod(size for size in output[1:] if size is not None)
        if values > LARGEST_OUTPUT:
            what = (
                f"layer {printable((names or {}).get(name, name))!r} answers with {output}, {values:,} values an image"
            )
            raise CheckpointError(f"{what}; expected at most {LARGEST_OUTPUT:,}: no device has room for more")
    for weight in model.weights:
        if not np.isfinite(np.asarray(weight)).all():
            raise CheckpointError(f"weight {weight.path} holds NaN or infinity; train it again from a finite state")


def outputs_of(model: keras.Model) -> Iterator[tuple[str, tuple[int | None, ...]]]:
    """(name, shape) of what each layer answers with, those of models inside it too."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from outputs_of(layer)
        else:
            shape = getattr(getattr(layer, "output", None), "shape", None)  # a layer with several has a list
            if shape is not None:
                yield layer.name, tuple(shape)


def output_of(model: keras.Model) -> str:
    """'probabilities' when `model` ends in softmax or sigmoid, else 'logits'."""
    return "probabilities" if head_activation(model) in ("softmax", "sigmoid") else "logits"


def head_activation(model: keras.Model) -> str:
    """What computes the first output of `model`: an activation, such as "softmax" or "linear", or a layer."""
    operation = model.outputs[0]._keras_history.operation
    while True:
        kind = type(operation).__name__
        activation = getattr(getattr(operation, "activation", None), "__name__", "")
        if kind in ("Softmax", "Sigmoid", "ReLU"):
            return kind.lower()
        if kind in ("Functional", "Sequential"):
            operation = operation.outputs[0]._keras_history.operation
        elif kind in ("Dropout", "Flatten", "Identity", "Reshape") or (kind == "Activation" and activation == "linear"):
            operation = operation._inbound_nodes[0].input_tensors[0]._keras_history.operation
        else:
            return activation or kind
