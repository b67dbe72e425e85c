"""The scores of artifacts on an emulated core, for `check --on emulated:…`; an interrupted run continues."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from fmnist_edge.artifact import Artifact
from fmnist_edge.benchmark.remote.scores import MachineScores
from fmnist_edge.benchmark.suite import save_images
from fmnist_edge.boards.emulation import userland
from fmnist_edge.boards.emulation.suite import host_of, needs_userland
from fmnist_edge.catalog.boards import Core
from fmnist_edge.parity.matrix.suite import name_of
from fmnist_edge.worker.temporary import temporary_folder

__all__ = ["emulated_scores"]


def emulated_scores(
    artifacts: Sequence[Artifact],
    images: np.ndarray,
    core: Core,
    folder: Path,
    progress: Callable[[int, int, str], None],
) -> dict[str, MachineScores]:
    """SHA-256 of each artifact -> its scores on all images, as the engine's aarch64 wheel computes them on `core`.

    `folder`: of the userland, which is made where it is missing. An interrupted run continues. Raises UnavailableError
    without QEMU, and what the engine raises.
    """
    if needs_userland(artifacts):
        progress(0, len(artifacts), "making the userland")
        userland.make(folder)
    found = {}
    with temporary_folder("emulation") as temporary:
        file = save_images(temporary / "images.npy", images)
        for number, artifact in enumerate(artifacts):
            progress(number, len(artifacts), name_of(artifact))
            host = host_of(artifact, file, len(images))
            scores = host.emulated(core, folder, again=False)
            found[artifact.manifest.sha256] = MachineScores(scores, f"{host.engine}, aarch64", f"emulated {core.name}")
    return found
