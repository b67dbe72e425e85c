"""Run an artifact with the task `tensor` and its Keras reference on the same examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fmnist_edge.artifact import Artifact
from fmnist_edge.catalog.gates import TENSOR_GATES
from fmnist_edge.checkpoints import Checkpoint
from fmnist_edge.console import Track
from fmnist_edge.errors import InputError
from fmnist_edge.exporters.several import answers
from fmnist_edge.parity.evaluation import Evaluation
from fmnist_edge.parity.tensors import TensorReport, compare_tensors
from fmnist_edge.runtime import Contract, Model
from fmnist_edge.runtime.tensor_runner import named_inputs

__all__ = ["check_tensor_artifact", "keras_outputs"]

CHUNK = 500
Outputs = dict[str, np.ndarray]


def examples_of(evaluation: Evaluation, contract: Contract) -> list[np.ndarray]:
    """The model's inputs, float32 (n, *shape) each. Raises InputError when the examples are those of another model."""
    if evaluation.arrays is None:
        given: Mapping[str, np.ndarray] = {contract.inputs[0].name: evaluation.images}
    else:
        given = evaluation.arrays
    try:
        return named_inputs(given, contract)[0]
    except InputError as error:
        raise InputError(f"{evaluation.source}: {error}; check one model at a time") from None


def keras_outputs(checkpoint: Checkpoint, contract: Contract, evaluation: Evaluation, track: Track) -> Outputs:
    """The Keras model's outputs for all examples: name -> float32 (n, *shape)."""
    given = examples_of(evaluation, contract)
    found = []
    for rows in track(places(given), f"{checkpoint.name} Keras reference"):
        outputs = answers(checkpoint.model, [array[rows] for array in given])
        found.append([np.asarray(output) for output in outputs])
    names = [tensor.name for tensor in contract.outputs]
    return {name: np.concatenate(parts) for name, parts in zip(names, zip(*found, strict=True), strict=True)}


def check_tensor_artifact(
    artifact: Artifact, reference: Outputs, evaluation: Evaluation, track: Track
) -> tuple[TensorReport, str]:
    """(the comparison, the engine's version). Raises what `Model.load` raises."""
    names = [tensor.name for tensor in artifact.contract.inputs]
    given = examples_of(evaluation, artifact.contract)
    found = []
    with Model.load(artifact.path) as model:
        for rows in track(places(given), f"{artifact.model} {artifact.path.name}"):
            found.append(model({name: array[rows] for name, array in zip(names, given, strict=True)}))
        version = model.engine.version
    outputs = {name: np.concatenate([part[name] for part in found]) for name in reference}
    return compare_tensors(reference, outputs, TENSOR_GATES[artifact.manifest.kind]), version


def places(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The indices of the examples, in chunks."""
    count = len(arrays[0])
    return [np.arange(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
