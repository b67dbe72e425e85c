"""One cell, an artifact in an engine, in a process of its own: a crash or a hang is that cell's reason and no more.

Any Python with NumPy and an engine can be that process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_edge.errors import TemporaryFileError, UnavailableError
from fmnist_edge.runtime.classifier import Classifier
from fmnist_edge.worker.calls import call
from fmnist_edge.worker.endings import Status
from fmnist_edge.worker.temporary import write_temporary

__all__ = ["Task", "classify", "run"]

STALL_S = 180  # without a sign of life; loading and each CHUNK of images give one
CHUNK = 100  # images; 2 s of the slowest engine here
# "crashed" for any other status.
STATUS = {Status.REFUSED: "failed", Status.FAILED: "failed", Status.NOT_STARTED: "unavailable"}


@dataclass(frozen=True)
class Task:
    """What the child is to do.

    Attributes:
        images: .npy file, uint8 or float (n, *input_shape).
        limit: how many of them to classify.
        scores: .npy file to write, float32 (limit, classes).
        threads: of the engine; None for its own choice.
    """

    artifact: str
    engine: str
    images: str
    limit: int
    scores: str
    threads: int | None = None


def run(task: Task, python: str, progress: Callable[[int], None], stall_s: float = STALL_S) -> dict[str, Any]:
    """Do `task` in a child of the interpreter `python`; `progress(images done)` is called as it goes.

    The reply's "status" is "ran", with "engine_version" and "arena" (see runtime.tflite_micro, None for other
    engines), or one of these, with one line under "reason": "failed" where the engine refuses the file, "crashed" where
    its process ended or stalled without an answer, "unavailable" where there is something to install.

    Raises TemporaryFileError alone: `scores` cannot be written, whatever the engine.
    """
    end = call(
        "fmnist_edge.parity.matrix.cell:classify", asdict(task), python=python, stall_s=stall_s, on_progress=progress
    )
    if isinstance(end.error, TemporaryFileError):
        raise end.error
    if end.status is Status.DONE:
        return {"status": "ran", **end.value}
    status = "unavailable" if isinstance(end.error, UnavailableError) else STATUS.get(end.status, "crashed")
    return {"status": status, "reason": end.reason.removeprefix(f"{task.artifact}: ")}


def classify(request: dict[str, Any], progress: Callable[[int], None]) -> dict[str, Any]:
    """The child's task; `request`: a Task's fields. Raises what Classifier raises, and whatever the engine does."""
    task = Task(**request)
    images = np.load(task.images, mmap_mode="r", allow_pickle=False)[: task.limit]
    with Classifier.load(task.artifact, threads=task.threads, engine=task.engine) as classifier:
        progress(0)
        scores = []
        for start in range(0, len(images), CHUNK):
            scores.append(classifier.scores(images[start : start + CHUNK]))
            progress(min(start + CHUNK, len(images)))
        write_temporary(Path(task.scores), partial(np.save, arr=np.concatenate(scores)))
        engine = classifier.engine
        return {"engine_version": engine.version, "arena": engine.arena}
