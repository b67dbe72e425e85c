"""A model's C form on an emulated core: cross-compiled for this core, and run without Python or a userland."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.artifact import Artifact
from fmnist_edge.boards.emulation import profile
from fmnist_edge.boards.emulation.c_guest import version_on
from fmnist_edge.boards.emulation.host import Host
from fmnist_edge.catalog.boards import Core
from fmnist_edge.errors import ArtifactError
from fmnist_edge.parity.c_form.scores import tflite_beside
from fmnist_edge.parity.c_form.targets import TARGETS

__all__ = ["CHost", "is_c_form"]

C_FORM, REFERENCE = ".c", "numpy"
GUEST = "fmnist_edge.boards.emulation.c_guest:count"


def is_c_form(artifact: Artifact) -> bool:
    return artifact.path.suffix == C_FORM


class CHost(Host):
    """A folder of C. The expected scores are the numpy engine's for the `.tflite` file beside it.

    Without that file they are those of the same sources, compiled for this machine.
    """

    piece = 10_000  # each is compiled anew, and an image takes some hundredths of a second

    def __init__(self, artifact: Artifact, images: Path, count: int) -> None:
        super().__init__(artifact, images, count)
        try:
            self.compared = tflite_beside(artifact.path, artifact.model_sha256)
        except ArtifactError:
            return
        self.reference = REFERENCE

    def version(self, core: Core) -> str:
        return version_on(TARGETS[core.name])

    def scores_on(self, core: Core, folder: Path, images: Path, count: int) -> np.ndarray:
        return self.scores(self.task(self.artifact.path, core.name, images, count), sys.executable)

    def profiles(self, core: Core, folder: Path, library: Path, calls: int) -> tuple[list[profile.Profile], JsonObject]:
        task = profile.task_for(self.artifact.path, core.name, self.images, calls)
        return profile.collect(task, sys.executable, library, GUEST)
