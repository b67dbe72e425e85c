"""What `loop` needs to time a model with the task `tensor`, which has no images but named arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Union

import numpy as np

from fmnist_edge.errors import ArtifactError
from fmnist_edge.runtime.classifier import Classifier
from fmnist_edge.runtime.model import Model
from fmnist_edge.runtime.tasks import TENSOR

__all__ = ["Loaded", "groups_of", "load", "packed"]

NOISE_EXAMPLES = 16

Loaded = Union[Classifier, Model]


def load(artifact: str, threads: int, engine: str) -> Loaded:
    """The artifact as a Classifier, or as a Model if its manifest says that its task is tensor.

    Raises ArtifactError for such a model on a GPU, whose answers `bench` first compares with the CPU's.
    """
    from fmnist_edge.benchmark.cells import manifest_of

    manifest = manifest_of(Path(artifact))
    if manifest is None or manifest.contract.task != TENSOR:
        return Classifier.load(artifact, threads=threads, engine=engine)
    model = Model.load(artifact, threads=threads, engine=engine)
    if model.engine.placement is not None:
        model.close()
        raise ArtifactError(
            f"{artifact}: its task is tensor, and `bench` compares answers with the CPU's by their labels before it "
            "times a GPU; time it on the CPU"
        )
    return model


def packed(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Examples of a model of tensors, name -> (n, *shape), as one array of n records, which a .npy file can hold."""
    count = min(map(len, arrays.values()))
    found = np.zeros(count, [(name, np.float32, array.shape[1:]) for name, array in arrays.items()])
    for name, array in arrays.items():
        found[name] = array[:count]
    return found


def groups_of(model: Model, records: np.ndarray, batch: int) -> tuple[list[Mapping[str, np.ndarray]], str]:
    """Batches, name -> float32 (batch, *shape), and where they are from: see `images.images_for`.

    `records`: of `packed`; images of other models, or records that do not fit, give the artifact's own examples.
    """
    names = {item.name: tuple(item.shape) for item in model.inputs}
    fields: Mapping[str, Any] = records.dtype.fields or {}
    if len(records) and {name: field[0].shape for name, field in fields.items()} == names:
        arrays, source = {name: records[name] for name in names}, "given"
    elif model.golden_inputs is not None:
        arrays, source = dict(model.golden_inputs), "golden"
    else:
        return noise_groups(model, NOISE_EXAMPLES, batch), "noise"
    count = len(next(iter(arrays.values())))
    return [
        {name: array.take(range(i, i + batch), axis=0, mode="wrap") for name, array in arrays.items()}
        for i in range(count)
    ], source


def noise_groups(model: Model, count: int, batch: int) -> list[Mapping[str, np.ndarray]]:
    """`count` batches of noise: name -> float32 (batch, *shape)."""
    rng = np.random.default_rng(0)
    return [
        {item.name: rng.normal(size=(batch, *item.shape)).astype(np.float32) for item in model.inputs}
        for _ in range(count)
    ]
