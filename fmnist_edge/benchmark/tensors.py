"""What `loop` needs to time a model with the task `tensor`, which has no images but named arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Union

import numpy as np

from fmnist_edge.errors import ArtifactError
from fmnist_edge.runtime.classifier import Classifier
from fmnist_edge.runtime.model import Model
from fmnist_edge.runtime.tasks import TENSOR

__all__ = ["Loaded", "load", "noise_groups"]

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


def noise_groups(model: Model, count: int, batch: int) -> list[Mapping[str, np.ndarray]]:
    """`count` batches of noise: name -> float32 (batch, *shape)."""
    rng = np.random.default_rng(0)
    return [
        {item.name: rng.normal(size=(batch, *item.shape)).astype(np.float32) for item in model.inputs}
        for _ in range(count)
    ]
