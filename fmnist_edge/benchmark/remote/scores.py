"""A bundle whose job is the scores of artifacts on images, for `check --on`; this is the device's side.

The scores are kept in pieces, so that an interrupted run continues. The result is one .npz file.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.errors import FileError
from fmnist_edge.files import write_atomic, write_via
from fmnist_edge.runtime.classifier import Classifier
from fmnist_edge.runtime.manifest import Manifest

__all__ = ["IMAGES", "JOB", "KIND", "SCHEMA", "MachineScores", "is_job", "measure", "read"]

KIND, SCHEMA = "scores", 1
JOB, IMAGES = "job.json", "images.npy"
RESULT, PIECES, INFO = Path("results/scores.npz"), Path("results/scores"), "info"
PIECE = 250  # images; seconds of the slowest engine on a board
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class MachineScores:
    """An artifact's scores on a machine.

    Attributes:
        scores: float32 (n, classes).
        engine: name and version of the engine there.
        machine: the machine's name.
    """

    scores: np.ndarray
    engine: str
    machine: str


def is_job(folder: Path) -> bool:
    """Whether the bundle in `folder` is such a job; False where its job cannot be read, which its reader then says."""
    try:
        return bool(json.loads((folder / JOB).read_bytes()).get("kind") == KIND)
    except (OSError, ValueError, AttributeError):
        return False


def measure(folder: Path, progress: Progress) -> tuple[Path, JsonObject]:
    """Run the job in `folder`, or continue it; returns the result's path and {"interrupted": False}.

    `progress`: called with (images done, all images of all artifacts, artifact). Raises FileError for a damaged job and
    when the disk is full, and what Classifier.load raises.
    """
    from fmnist_edge.benchmark.environment import device_name

    job = json.loads((folder / JOB).read_bytes())
    if job.get("schema") != SCHEMA:
        raise FileError(f"{folder / JOB}: schema is {job.get('schema')!r}, this version reads {SCHEMA}; start it again")
    images = np.load(folder / IMAGES, mmap_mode="r", allow_pickle=False)
    found, info, whole = {}, {}, len(images) * len(job["artifacts"])
    for number, (name, engine) in enumerate(job["artifacts"].items()):
        path = folder / name
        sha256 = Manifest.read(path).sha256
        with Classifier.load(path, engine=engine) as classifier:
            pieces = []
            for start in range(0, len(images), PIECE):
                progress(number * len(images) + start, whole, name)
                kept = folder / PIECES / sha256[:16] / f"{start}.npy"
                pieces.append(piece_of(classifier, images[start : start + PIECE], kept))
            found[sha256], info[sha256] = np.concatenate(pieces), classifier.engine.version
    text = json.dumps({"schema": SCHEMA, "machine": device_name(), "engines": info}).encode()
    arrays = {**found, INFO: np.frombuffer(text, np.uint8)}
    return write_via(folder / RESULT, partial(save, arrays=arrays)), {"interrupted": False}


def piece_of(classifier: Classifier, images: np.ndarray, kept: Path) -> np.ndarray:
    """The scores of a piece of the images, read from `kept` where an earlier run wrote them."""
    if kept.is_file():
        try:
            return np.load(kept, allow_pickle=False)
        except (ValueError, EOFError):  # cut short by a power cut
            pass
    scores, content = classifier.scores(np.array(images)), io.BytesIO()
    np.save(content, scores)
    write_atomic(kept, content.getvalue())
    return scores


def save(path: Path, arrays: Mapping[str, Any]) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **dict(arrays))


def read(content: bytes, wanted: Sequence[str], images: int) -> dict[str, MachineScores]:
    """SHA-256 of an artifact -> its scores, from a result. Raises FileError unless it has all of `wanted`."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            info = json.loads(file[INFO].tobytes())
            found = {name: file[name] for name in wanted}
        machine, engines = str(info["machine"]), {name: str(info["engines"][name]) for name in wanted}
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise FileError(f"the device sent a file that is no result of `check` ({type(error).__name__})") from None
    for scores in found.values():
        if scores.dtype != np.float32 or scores.ndim != 2 or len(scores) != images:
            found_shape = f"{scores.dtype} {scores.shape}"
            raise FileError(f"the device sent scores {found_shape} for {images} images; give the command again")
    return {name: MachineScores(scores, engines[name], machine) for name, scores in found.items()}
