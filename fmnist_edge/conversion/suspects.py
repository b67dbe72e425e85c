"""Find the layer that a converter crashes on, by converting shorter and shorter beginnings of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fmnist_edge.aliases import JsonObject
from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.conversion.child import inputs_of
from fmnist_edge.conversion.job import Job
from fmnist_edge.errors import FmnistEdgeError
from fmnist_edge.worker.calls import call
from fmnist_edge.worker.endings import Status

if TYPE_CHECKING:
    import keras

__all__ = ["convert_beginning", "crashing_layer"]

TASK = "fmnist_edge.conversion.suspects:convert_beginning"


def crashing_layer(
    job: Job, index: int, environment: Mapping[str, str], progress: Callable[[int, int, str], None]
) -> str | None:
    """The name and class of the first layer with which precision `index` of a job crashes; None if it is not found.

    Bisects: each step converts a beginning of the model in a child, which takes about as long as one export.
    """

    def run(layer: int | None) -> Any:
        return call(TASK, {"job": asdict(job), "precision": index, "layer": layer}, environment=environment)

    listed = run(None)
    if listed.status is not Status.DONE or not listed.value:
        return None
    layers = listed.value
    first, last = 0, len(layers) - 1  # the crash is at one of these and those between them
    steps = last.bit_length()
    while first < last:
        progress(steps - (last - first).bit_length(), steps, "finding the layer that it crashed on")
        middle = (first + last) // 2
        if run(middle).status is Status.CRASHED:
            last = middle
        else:
            first = middle + 1
    return str(layers[last])


def convert_beginning(request: JsonObject, progress: object) -> list[str]:
    """Runs in the child: convert the part of a model that ends with one of its layers.

    Args:
        request: {"job": fields of a Job, "precision": its index, "layer": index of the last layer, None for no part}.

    Returns names and classes of the layers that can be last. A refusal by the converter is no error here.
    """
    job = Job.from_json(request["job"])
    checkpoint, _, contract, calibration = inputs_of(job)
    layers = last_layers(checkpoint.model)
    if request["layer"] is not None:
        precision = job.options.applied_to(job.selected()[request["precision"]])
        images = calibration.prepared(contract) if calibration else None
        with suppress(FmnistEdgeError):
            convert(checkpoint.model, layers[request["layer"]], job, precision, images)
    return [f"{checkpoint.shown_name(layer.name)!r} ({type(layer).__name__})" for layer in layers]


def convert(model: keras.Model, last: keras.layers.Layer, job: Job, precision: Any, images: Any) -> None:
    import keras

    from fmnist_edge.exporters.lowering import lower

    beginning = keras.Model(model.inputs, last.output, name=model.name)
    lowered = lower(beginning, precision, images)
    FORMATS[precision.format].exporter().convert(lowered.model, precision, job.batch, images)


def last_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers that a beginning of `model` can end with, in order: called once, with one tensor as output."""
    import keras

    return [
        layer
        for layer in model.layers
        if type(layer).__name__ != "InputLayer"
        and len(layer._inbound_nodes) == 1
        and isinstance(layer.output, keras.KerasTensor)
    ]
