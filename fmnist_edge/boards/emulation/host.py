"""An artifact, with its scores on this machine and on an emulated core, and the instructions it takes there."""

from __future__ import annotations

import hashlib
import io
import sys
from pathlib import Path

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.artifact import Artifact
from fmnist_edge.benchmark.suite import save_images
from fmnist_edge.boards.emulation import profile, userland
from fmnist_edge.catalog.boards import Core
from fmnist_edge.errors import FmnistEdgeError
from fmnist_edge.files import write_atomic
from fmnist_edge.parity.matrix import cell
from fmnist_edge.runtime.engine_catalog import engines_for

__all__ = ["Host"]

STALL_S = 290  # enough for a piece in the slowest emulated engine


class Host:
    """An artifact and its scores on this machine, which are computed once and only if needed.

    Attributes:
        engine: runs the artifact, here and on a core.
        reference: the engine that computes the expected scores, here.
        piece: images for which a process on a core is started; they take some seconds to half a minute.
    """

    piece = 100

    def __init__(self, artifact: Artifact, images: Path, count: int) -> None:
        self.artifact, self.images, self.count = artifact, images, count
        self.engine = self.reference = engines_for(artifact.path)[0]
        self.compared = artifact.path  # what `reference` loads
        self._scores: np.ndarray | None = None

    def version(self, core: Core) -> str | None:
        """What counts on a core depend on besides the artifact, as the results' "engine_version"; None if nothing."""
        return None

    def scores(self, task: cell.Task, python: str) -> np.ndarray:
        """Scores, float32 (n, classes), computed by `python` in a child process.

        Raises FmnistEdgeError with the engine's reason.
        """
        answer = Path(task.scores)
        answer.unlink(missing_ok=True)
        reply = cell.run(task, python, lambda done: None, STALL_S)
        if reply["status"] != "ran":
            raise FmnistEdgeError(reply["reason"])
        return np.load(answer, allow_pickle=False)

    def task(self, path: Path, engine: str, images: Path, count: int) -> cell.Task:
        return cell.Task(str(path.resolve()), engine, str(images), count, str(images.with_name("scores.npy")), 1)

    @property
    def expected(self) -> np.ndarray:
        if self._scores is None:
            task = self.task(self.compared, self.reference, self.images, self.count)
            self._scores = self.scores(task, sys.executable)
        return self._scores

    def emulated(self, core: Core, folder: Path, again: bool) -> np.ndarray:
        """Scores on a core, float32 (count, classes). Pieces are kept in `folder`, so an interrupted run continues."""
        images, found = np.load(self.images, mmap_mode="r", allow_pickle=False), []
        for start in range(0, self.count, self.piece):
            piece = np.array(images[start : start + self.piece])
            made_by = self.artifact.manifest.sha256 + (self.version(core) or "")
            of = hashlib.sha256(made_by.encode() + piece.tobytes()).hexdigest()
            kept = folder / "answers" / core.name / f"{of}.npy"
            if again or not kept.is_file():
                file = save_images(self.images.with_name("piece.npy"), piece)
                content = io.BytesIO()
                np.save(content, self.scores_on(core, folder, file, len(piece)))
                write_atomic(kept, content.getvalue())
            found.append(np.load(kept, allow_pickle=False))
        return np.concatenate(found)

    def scores_on(self, core: Core, folder: Path, images: Path, count: int) -> np.ndarray:
        task = self.task(self.artifact.path, self.engine, images, count)
        return self.scores(task, userland.interpreter(folder, core))

    def profiles(self, core: Core, folder: Path, library: Path, calls: int) -> tuple[list[profile.Profile], JsonObject]:
        """A profile of `calls` inferences for each section of one process, and the process's reply."""
        task = profile.task_for(self.artifact.path, self.engine, self.images, calls)
        return profile.collect(task, userland.interpreter(folder, core), library)
