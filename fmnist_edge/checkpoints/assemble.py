"""A clean config -> one flat Keras model: nested models are unfolded, and each layer is made once."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from fmnist_edge.checkpoints.channels import Channels
from fmnist_edge.checkpoints.contents import shown
from fmnist_edge.checkpoints.dtypes import check_input_type
from fmnist_edge.checkpoints.graph import Call, Ref, references
from fmnist_edge.checkpoints.names import safe
from fmnist_edge.checkpoints.parts import Part, Plan, leaves_of
from fmnist_edge.checkpoints.refusals import ConfigRefusedError
from fmnist_edge.checkpoints.tf_operations import translated
from fmnist_edge.checkpoints.tf_settings import node_call

if TYPE_CHECKING:
    import keras

__all__ = ["assembled"]

MAX_CALLS = 20_000  # models that hold models twice grow by doubling


class Assembly:
    """Makes the layers of a plan and calls them."""

    def __init__(self, channels: Channels) -> None:
        self.channels = channels

    def run(self, part: Part, tensors: list[keras.KerasTensor]) -> list[keras.KerasTensor]:
        """The outputs of a model that is called with `tensors`."""
        return self.run_graph(part, tensors) if part.graph is not None else self.run_chain(part, tensors)

    def run_chain(self, part: Part, tensors: list[keras.KerasTensor]) -> list[keras.KerasTensor]:
        for inner in part.parts or ():
            if inner.node["class_name"] != "InputLayer":
                tensors = self.call(inner, Call(tensors if len(tensors) == 1 else [tensors], {}))
        return tensors

    def run_graph(self, part: Part, tensors: list[keras.KerasTensor]) -> list[keras.KerasTensor]:
        graph = part.graph
        by_name = {inner.name: inner for inner in part.parts or ()}
        if graph is None or len(graph.inputs) != len(tensors):
            raise ConfigRefusedError(f"model {shown(part.name)} is called with {len(tensors)} tensors")
        made: dict[tuple[str, int], list[keras.KerasTensor]] = {
            (ref.layer, ref.call): [tensor] for ref, tensor in zip(graph.inputs, tensors, strict=True)
        }
        waiting = [(name, index, call) for name in graph.order for index, call in enumerate(graph.calls[name])]
        while waiting:
            later = []
            for name, index, call in waiting:
                needed = references([call.args, call.kwargs])
                if all((ref.layer, ref.call) in made for ref in needed):
                    ready = Call(filled(call.args, made), filled(call.kwargs, made))
                    made[name, index] = self.call(by_name[name], ready)
                else:
                    later.append((name, index, call))
            if len(later) == len(waiting):
                raise ConfigRefusedError(f"layer {shown(later[0][0])} of model {shown(part.name)} is never reached")
            waiting = later
        return [filled(ref, made) for ref in graph.outputs]

    def call(self, part: Part, call: Call) -> list[keras.KerasTensor]:
        """The outputs of one layer."""
        import keras

        tensors = [item for item in keras.tree.flatten(call.args) if isinstance(item, keras.KerasTensor)]
        if part.is_model:
            return self.run(part, tensors)
        if not tensors and not any(isinstance(item, keras.KerasTensor) for item in keras.tree.flatten(call.kwargs)):
            # Keras would compute it at once, however large the constants say that the answer is.
            raise ConfigRefusedError(f"layer {shown(part.name)} is called with constants alone")
        if part.node["module"] == "tensorflow":
            said = Call(self.channels.all_as_said(call.args), self.channels.all_as_said(call.kwargs))
            return keras.tree.flatten(self.call_tensorflow(part, said))
        config, args, moved = self.channels.settle(part, call.args)
        if part.layer is None:
            part.layer, part.lies_last = layer_from({**part.node, "config": config}, part.label), moved
        if part.class_name == "GetItem" and len(args) == 2 and isinstance(args[1], list):
            args = [args[0], tuple(args[1])]
        outputs = keras.tree.flatten(part.layer(*args, **self.channels.all_as_said(call.kwargs)))
        return [self.channels.mark(output) if moved else output for output in outputs]

    def call_tensorflow(self, part: Part, call: Call) -> keras.KerasTensor:
        config, args, kwargs = part.node["config"], call.args, call.kwargs
        symbol = config.get("function")
        if part.class_name == "TensorFlowOpLayer":
            symbol, kwargs = node_call(config, args, part.name)
            args = []
        row, settings, called = translated(symbol, args, kwargs, part.name)
        if row.operation == "numpy.GetItem" and isinstance(called[1], list):
            called[1] = tuple(called[1])
        called = [as_array(value) for value in called]
        home, _, class_name = row.operation.partition(".")
        name = part.label if not part.called else f"{part.label}.{part.called}"
        part.called += 1
        node = {"module": f"keras.src.ops.{home}", "class_name": class_name, "registered_name": None}
        if home == "layers":
            node["module"] = "keras.layers"
        if class_name == "LocalResponseNormalization":
            node |= {"module": "fmnist_edge.models.layers", "registered_name": f"fmnist_edge>{class_name}"}
        return layer_from({**node, "config": settings}, name)(*called)


def as_array(value: Any) -> Any:
    """A constant tensor, which Keras 2 writes as lists of numbers."""
    import keras

    numbers = keras.tree.flatten(value) if isinstance(value, list) else []
    if not numbers or not all(isinstance(number, (bool, int, float)) for number in numbers):
        return value
    return np.asarray(value, "float32" if any(isinstance(number, float) for number in numbers) else "int32")


def filled(value: Any, made: dict[tuple[str, int], list[keras.KerasTensor]]) -> Any:
    """`value` with each Ref replaced by the tensor it means."""
    if isinstance(value, Ref):
        outputs = made[value.layer, value.call]
        if not 0 <= value.tensor < len(outputs):
            raise ConfigRefusedError(f"layer {shown(value.layer)} has no output {value.tensor}")
        return outputs[value.tensor]
    if isinstance(value, slice):
        return slice(*(filled(item, made) for item in (value.start, value.stop, value.step)))
    if isinstance(value, dict):
        return {key: filled(item, made) for key, item in value.items()}
    return type(value)(filled(item, made) for item in value) if isinstance(value, (list, tuple)) else value


def layer_from(node: dict[str, Any], label: str) -> keras.Layer | keras.Operation:
    """The Keras layer or operation of a clean config, under its label."""
    import keras

    config = {**copy.deepcopy(node["config"]), "name": label}  # some of Keras's from_config take it apart
    what = {"module": node["module"], "class_name": node["class_name"], "registered_name": node["registered_name"]}
    return keras.saving.deserialize_keras_object({**what, "config": config}, safe_mode=True)


def calls_in(part: Part) -> int:
    """How many layers are called when a layer or model is called once."""
    if part.parts is None:
        return 1
    times = {name: len(calls) for name, calls in part.graph.calls.items()} if part.graph is not None else {}
    return sum(times.get(inner.name, 1) * calls_in(inner) for inner in part.parts)


def assembled(plan: Plan) -> keras.Model:
    """A functional Keras model, uncompiled and with fresh weights. Its layers are left in the plan's parts."""
    import keras

    root = plan.root
    if calls_in(root) > MAX_CALLS:
        raise ConfigRefusedError(f"it calls more than {MAX_CALLS:,} layers")
    for leaf in leaves_of(root):
        leaf.layer, leaf.called = None, 0
    channels = Channels(root)
    inputs = [channels.mark(input_from(part, root, channels)) for part in inputs_of(root)]
    outputs = [channels.as_said(output) for output in Assembly(channels).run(root, inputs)]
    name = safe(root.name, "model") if root.name else None
    return keras.Model(
        inputs[0] if len(inputs) == 1 else inputs, outputs[0] if len(outputs) == 1 else outputs, name=name
    )


def inputs_of(root: Part) -> list[Part]:
    """The parts that give the shapes of a model's inputs, in order."""
    if root.graph is not None:
        by_name = {part.name: part for part in root.parts or ()}
        return [by_name[ref.layer] for ref in root.graph.inputs]
    first = next(iter(root.parts or ()), None)
    if first is not None and first.node["class_name"] == "InputLayer":
        return [first]
    if first is not None and first.is_model:
        return inputs_of(first)
    raise ConfigRefusedError(
        "it does not say which shape it takes",
        "call the model once on a batch, or give it keras.Input, and save it again",
    )


def input_from(part: Part, root: Part, channels: Channels) -> keras.KerasTensor:
    """A float32 input, whatever the file's is: where layers cast it, the same whole numbers arrive as float32."""
    import keras

    config = part.node["config"]
    check_input_type(part, root)
    shape = config.get("batch_shape")
    if not isinstance(shape, list) or not shape:
        raise ConfigRefusedError(f"input {shown(part.name)} has no shape")
    name = part.label or safe(part.name, "image")
    return keras.Input(batch_shape=channels.input_shape([None, *shape[1:]]), dtype="float32", name=name)
