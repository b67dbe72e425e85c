"""Run all cells of the matrix one after another, and compare each with the artifact's default engine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.artifact import Artifact
from fmnist_edge.benchmark import environment
from fmnist_edge.benchmark.suite import save_images
from fmnist_edge.catalog.gates import ENGINE_AGREEMENT
from fmnist_edge.errors import ArtifactError, InputError
from fmnist_edge.parity.c_form.scores import tflite_beside
from fmnist_edge.parity.c_form.targets import TARGETS
from fmnist_edge.parity.matrix import cell
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.engine_catalog import ENGINES, engines_for
from fmnist_edge.runtime.tasks import CLASSIFICATION, TENSOR, answers_of, differ, probabilities
from fmnist_edge.worker.temporary import temporary_folder

__all__ = ["SCHEMA", "Choice", "failures", "run"]

AGREEMENT_FIELDS = ("agreement", "differing", "ties", "first_differing", "bit_equal", "max_abs_delta", "passed")
C_FORM, PYTHON = ".c", "numpy"  # a folder of C, and what computes its file in Python
SCHEMA = 2  # of the result; 1: first version; 2: adds status "crashed"

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Choice:
    """Which cells to run.

    Attributes:
        engines: run these besides each artifact's default engine; None means all engines that are `compared`.
        micro_images: number of images for the `slow` engines, which take 10 to 20 ms per image.
        tflite_runtime: a Python with tflite-runtime, which can rarely be installed together with the other engines;
            None means this Python.
        emulated_images: number of images for folders of C on emulated cores and as WebAssembly, and for the numpy
            engine on the `.tflite` file that they were made from; 0 leaves these cells out.
    """

    engines: tuple[str, ...] | None = None
    micro_images: int = 1000
    tflite_runtime: str | None = None
    emulated_images: int = 0

    def engines_of(self, path: Path) -> list[str]:
        """The engines for a file, the default engine first. For a folder of C also what runs it elsewhere."""
        reference, *others = engines_for(path)
        if self.engines is None:
            chosen = [reference, *(name for name in others if ENGINES[name].compared)]
        else:
            chosen = [reference, *(name for name in others if name in self.engines)]
        return [*chosen, PYTHON, *TARGETS] if self.emulated_images and path.suffix == C_FORM else chosen

    def python_for(self, engine: str) -> str:
        separate = engine not in TARGETS and ENGINES[engine].own_environment
        return self.tflite_runtime if self.tflite_runtime and separate else sys.executable

    def images_for(self, engine: str, images: int) -> int:
        if engine in TARGETS:
            return min(self.emulated_images, images)
        return min(self.micro_images, images) if ENGINES[engine].slow else images


def run(
    artifacts: Sequence[Artifact],
    images: np.ndarray,
    choice: Choice,
    progress: Progress = lambda done, total_images, text: None,
) -> JsonObject:
    """Classify `images`, uint8 or float (n, *input_shape), with every artifact in every engine of `choice`.

    `progress(images done, total images, what is next)` is called repeatedly.
    Returns the result that `fmnist-edge matrix` writes as JSON. Raises InputError without images, and when no artifact
    has an engine in `choice` besides its default one.
    """
    if not len(images):
        raise InputError("no images to compare on; expected at least 1")
    check_choice(artifacts, choice)
    bar = CellProgress(progress, total_images(artifacts, choice, len(images)))
    with temporary_folder("matrix") as folder:
        file = save_images(folder / "images.npy", images)
        rows = [row_for(artifact, file, len(images), choice, bar) for artifact in artifacts]
    return {
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "images": len(images),
        "gates": {kind: ENGINE_AGREEMENT[kind] for kind in ("integer", "float")},
        "machine": environment.describe(),
        "engines": versions(rows),
        "rows": rows,
    }


def check_choice(artifacts: Sequence[Artifact], choice: Choice) -> None:
    """Raises InputError for a tensor model, and when no artifact has an engine to compare with its default one."""
    for artifact in artifacts:
        if artifact.contract.task == TENSOR:
            raise InputError(
                f"{artifact.path}: its task is tensor, and the matrix counts on how many images engines answer alike; "
                "`doctor --engine NAME` compares its outputs with those at export"
            )
    others = {name for artifact in artifacts for name in engines_for(artifact.path)[1:]}
    if choice.emulated_images and any(artifact.path.suffix == C_FORM for artifact in artifacts):
        return
    if choice.engines is not None and others.isdisjoint(choice.engines):
        raise InputError(
            f"--engine {', '.join(choice.engines)}: nothing to compare; each artifact is compared with its default "
            f"engine, and these other engines can run it: {', '.join(sorted(others))}"
        )


def failures(result: JsonObject) -> list[str]:
    """One line per cell that missed its gate or crashed, and per artifact that its default engine refuses.

    It is no failure when another engine refuses a file, for example because it lacks an op.
    """
    found = []
    for row in result["rows"]:
        reference, *others = row["cells"]
        if reference["status"] in ("failed", "crashed"):
            found.append(f"{row['artifact']} in {row['reference']}, its default engine: {reference['reason']}")
        for entry in others:
            if entry["status"] == "crashed":
                found.append(f"{row['artifact']} in {entry['engine']}: {entry['reason']}")
            elif entry["passed"] is False:
                found.append(gate_failure(entry, row))
    return found


def gate_failure(entry: JsonObject, row: JsonObject) -> str:
    apart = entry["differing"] - entry["ties"]
    found = f"{apart:,} of {entry['images']:,} images have another top class than in {row['reference']}"
    wanted = f"expected the same, or a tie, for {row['gate'] * 100:g} %"
    return f"{row['artifact']} in {entry['engine']}: {found} ({entry['ties']:,} more by a tie); {wanted}"


class CellProgress:
    """Reports progress over all cells, in images."""

    def __init__(self, progress: Progress, total_images: int) -> None:
        self.progress, self.total, self.before = progress, total_images, 0

    def cell(self, images: int, text: str) -> Callable[[int], None]:
        """Start a cell with `images` images; returns a function to call with the number that are done."""
        start, self.before = self.before, self.before + images

        def done(count: int) -> None:
            self.progress(start + count, self.total, text)

        done(0)
        return done


def total_images(artifacts: Sequence[Artifact], choice: Choice, images: int) -> int:
    return sum(
        choice.images_for(engine, images) for artifact in artifacts for engine in choice.engines_of(artifact.path)
    )


def row_for(artifact: Artifact, images: Path, count: int, choice: Choice, bar: CellProgress) -> JsonObject:
    """The row of one artifact: its cells in all engines, the default engine first."""
    engines = choice.engines_of(artifact.path)
    gate = ENGINE_AGREEMENT[artifact.manifest.kind]
    expected: np.ndarray | None = None
    cells: list[JsonObject] = []
    for engine in engines:
        limit = choice.images_for(engine, count)
        entry = {"engine": engine, "engine_version": None, "status": "failed", "reason": None, "arena": None}
        done = bar.cell(limit, f"{name_of(artifact)} in {engine}")
        if expected is None and cells:
            entry["reason"] = f"nothing to compare with: {engines[0]} could not run it"
            scores = None
        else:
            scores = scores_from(entry, artifact, images, limit, choice, done)
        cells.append({**entry, **agreement(expected, scores, gate, artifact.contract)})
        expected = scores if engine == engines[0] else expected
    return {
        "artifact": name_of(artifact),
        "precision": artifact.precision,
        "format": artifact.format,
        "sha256": artifact.manifest.sha256,
        "size_bytes": artifact.size_bytes,
        "reference": engines[0],
        "gate": gate,
        "cells": cells,
    }


def scores_from(
    entry: JsonObject, artifact: Artifact, images: Path, limit: int, choice: Choice, done: Callable[[int], None]
) -> np.ndarray | None:
    """Run one cell and update `entry` with its status; returns the scores, float32 (limit, classes), or None."""
    answer, engine = images.with_name("scores.npy"), entry["engine"]
    try:
        task = cell.Task(str(file_for(engine, artifact)), engine, str(images), limit, str(answer))
    except ArtifactError as error:
        entry["reason"] = str(error)
        return None
    entry.update(cell.run(task, choice.python_for(engine), done))
    separate = engine not in TARGETS and ENGINES[engine].own_environment
    if entry["status"] == "unavailable" and separate and choice.tflite_runtime is None:
        entry["reason"] += "; then name that environment's Python with --tflite-runtime"
    return np.load(answer, allow_pickle=False) if entry["status"] == "ran" else None


def file_for(engine: str, artifact: Artifact) -> Path:
    """What `engine` loads: the artifact, or the `.tflite` file beside a folder of C."""
    if engine != PYTHON or artifact.path.suffix != C_FORM:
        return artifact.path
    return tflite_beside(artifact.path, artifact.model_sha256)


def agreement(
    expected: np.ndarray | None, scores: np.ndarray | None, gate: float, contract: Contract | None = None
) -> JsonObject:
    """Compare the scores of two engines on the same images, as many as `scores` has. All None if either has no scores.

    Scores of few bits may tie, and argmax then returns the lowest index. "ties" counts those "differing" images on
    which the engines still share a top class, because at least one of them has several. Ties pass the gate. An image of
    a multilabel model differs if one of its labels does; a tie is a probability that is its threshold.
    """
    if expected is None or scores is None:
        images = None if scores is None else len(scores)
        return {"images": images, **dict.fromkeys(AGREEMENT_FIELDS)}
    expected = expected[: len(scores)]
    differing = np.flatnonzero(differ(answers_of(expected, contract), answers_of(scores, contract)))
    ties = ties_of(expected[differing], scores[differing], contract)
    return {
        "images": len(scores),
        "agreement": (len(scores) - len(differing)) / len(scores),
        "differing": len(differing),
        "ties": int(ties.sum()),
        "first_differing": differing[:10].tolist(),
        "bit_equal": bool(np.array_equal(expected, scores)),
        "max_abs_delta": float(np.abs(expected - scores).max()),
        "passed": (len(scores) - int((~ties).sum())) / len(scores) >= gate,
    }


def ties_of(expected: np.ndarray, scores: np.ndarray, contract: Contract | None) -> np.ndarray:
    """Which of these images, whose answers differ, have a tie: bool (n,)."""
    if contract is None or contract.task == CLASSIFICATION:
        return (is_top(expected) & is_top(scores)).any(axis=1)
    found = []
    for item in (expected, scores):
        rows = probabilities(item, contract)[:, -len(contract.thresholds) :]
        found.append(rows == np.asarray(contract.thresholds, np.float32))
    return (found[0] | found[1]).any(axis=1)


def is_top(scores: np.ndarray) -> np.ndarray:
    """Which scores are the maximum of their image: bool (n, classes)."""
    return scores == scores.max(axis=1, keepdims=True)


def name_of(artifact: Artifact) -> str:
    """The last folder and the file name. Results move between machines, so they hold no absolute paths."""
    return "/".join(artifact.path.parts[-2:])


def versions(rows: Sequence[JsonObject]) -> dict[str, str]:
    """The version of each engine that ran."""
    ran = [entry for row in rows for entry in row["cells"] if entry["status"] == "ran"]
    return {entry["engine"]: entry["engine_version"] for entry in ran}
