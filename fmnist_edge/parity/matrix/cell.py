"""Run one cell of the matrix, an artifact in an engine, in a child process. A crash or hang only fails that cell.

The child can be any Python with NumPy and the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.errors import TemporaryFileError, UnavailableError
from fmnist_edge.parity.c_form import scores as elsewhere
from fmnist_edge.parity.c_form.targets import TARGETS
from fmnist_edge.runtime.classifier import Classifier
from fmnist_edge.worker.calls import call
from fmnist_edge.worker.endings import Status
from fmnist_edge.worker.temporary import write_temporary

__all__ = ["Task", "classify", "run"]

STALL_S = 180  # without progress; loading and every CHUNK of images report progress
ELSEWHERE_STALL_S = 1800  # compiling and running in an emulator report nothing between
CHUNK = 100  # images; 2 s of the slowest engine here
# "crashed" for any other status.
STATUS = {Status.REFUSED: "failed", Status.FAILED: "failed", Status.NOT_STARTED: "unavailable"}


@dataclass(frozen=True)
class Task:
    """The task of the child process.

    Attributes:
        engine: or a target of `c_form`, for an artifact that is a folder of C.
        images: .npy file, uint8 or float (n, *input_shape).
        limit: number of images to classify.
        scores: .npy file to write, float32 (limit, classes).
        threads: of the engine; None for the engine's default.
    """

    artifact: str
    engine: str
    images: str
    limit: int
    scores: str
    threads: int | None = None


def run(task: Task, python: str, progress: Callable[[int], None], stall_s: float = STALL_S) -> JsonObject:
    """Run `task` in a child process of the interpreter `python`; `progress(images done)` is called repeatedly.

    The reply's "status" is "ran", with "engine_version" and "arena" (see runtime.tflite_micro; None for other engines).
    Otherwise it has one line under "reason", and "status" is "failed" if the engine refuses the file, "crashed" if the
    process ended or stalled without a result, "unavailable" if something has to be installed.

    Raises TemporaryFileError when `scores` cannot be written, and nothing else.
    """
    function = "fmnist_edge.parity.matrix.cell:classify"
    stall_s = ELSEWHERE_STALL_S if task.engine in TARGETS else stall_s
    end = call(function, asdict(task), python=python, stall_s=stall_s, on_progress=progress)
    if isinstance(end.error, TemporaryFileError):
        raise end.error
    if end.status is Status.DONE:
        return {"status": "ran", **end.value}
    status = "unavailable" if isinstance(end.error, UnavailableError) else STATUS.get(end.status, "crashed")
    return {"status": status, "reason": end.reason.removeprefix(f"{task.artifact}: ")}


def classify(request: JsonObject, progress: Callable[[int], None]) -> JsonObject:
    """Run in the child process; `request`: the fields of a Task. Raises what Classifier and the engine raise."""
    task = Task(**request)
    images = np.load(task.images, mmap_mode="r", allow_pickle=False)[: task.limit]
    if task.engine in TARGETS:
        progress(0)
        found, version = elsewhere.scores_on(TARGETS[task.engine], task.artifact, np.array(images))
        progress(len(images))
        write_temporary(Path(task.scores), partial(np.save, arr=found))
        return {"engine_version": version, "arena": None}
    with Classifier.load(task.artifact, threads=task.threads, engine=task.engine) as classifier:
        progress(0)
        scores = []
        for start in range(0, len(images), CHUNK):
            scores.append(classifier.scores(images[start : start + CHUNK]))
            progress(min(start + CHUNK, len(images)))
        write_temporary(Path(task.scores), partial(np.save, arr=np.concatenate(scores)))
        engine = classifier.engine
        return {"engine_version": engine.version, "arena": engine.arena}
