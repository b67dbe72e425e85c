"""Extra measurements on a GPU: agreement with the CPU's scores before timing, and latency by the GPU's own clock."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter_ns

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.benchmark.series import encode
from fmnist_edge.errors import ArtifactError, FmnistEdgeError, one_line
from fmnist_edge.runtime.classifier import Classifier
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.engine import Engine
from fmnist_edge.runtime.engine_catalog import engines_for
from fmnist_edge.runtime.tasks import answers_of, differ

__all__ = ["compare_scores", "compare_with_cpu", "device_series"]

# Largest allowed difference of a score, as a share of the largest score. A GPU sums in another order and computes
# float16 files in float16. Most GPUs compute integer files in floats, which round less often than the CPU's integers.
TOLERANCE = {"float": 1e-3, "half": 2e-2, "integer": 0.1}
MIN_AGREEMENT = 0.95  # share of equal top classes; below 1 because two classes may tie within the tolerance


def compare_with_cpu(classifier: Classifier, artifact: str, images: np.ndarray, batch: int) -> JsonObject:
    """Compare the scores of `classifier` with those of a CPU engine, `batch` images per call.

    Returns what `compare_scores` returns, and the CPU engine's name and version as "reference". Raises ArtifactError
    when no CPU engine can run the file.
    """
    name = engines_for(Path(artifact))[0]
    chosen = images.take(range(max(batch, len(images))), axis=0, mode="wrap")
    groups = [chosen[start : start + batch] for start in range(0, len(chosen), batch)]
    found = np.concatenate([classifier.scores(group) for group in groups])
    try:
        with Classifier.load(artifact, threads=1, engine=name) as reference:
            expected = np.concatenate([reference.scores(group) for group in groups])
            version = reference.engine.version
    except FmnistEdgeError as error:
        raise ArtifactError(f"no CPU engine to compare its scores with: {one_line(error, 160)}") from None
    compared = compare_scores(expected, found, kind_of(artifact), classifier.contract)
    return {"reference": f"{name} ({version})", **compared}


def kind_of(artifact: str) -> str:
    from fmnist_edge.benchmark.cells import manifest_of

    manifest = manifest_of(Path(artifact))
    return manifest.kind if manifest else "float"


def compare_scores(expected: np.ndarray, found: np.ndarray, kind: str, contract: Contract | None = None) -> JsonObject:
    """Compare two engines' scores, float32 (n, classes) each, and say whether they agree within TOLERANCE[kind].

    `contract`: what the answers follow from; None for the class with the largest score.

    >>> same = np.eye(3, dtype=np.float32)
    >>> compare_scores(same, same + 1e-5, "float")["passed"], compare_scores(same, same[::-1], "float")["passed"]
    (True, False)
    """
    delta, tolerance = float(np.abs(expected - found).max()), TOLERANCE[kind] * float(np.abs(expected).max())
    differing = int(differ(answers_of(expected, contract), answers_of(found, contract)).sum())
    return {
        "images": len(expected),
        "differing": differing,
        "max_abs_delta": delta,
        "tolerance": tolerance,
        "passed": delta <= tolerance and differing <= (1 - MIN_AGREEMENT) * len(expected),
    }


def device_series(engine: Engine, tensors: Sequence[np.ndarray], seconds: float, least: int) -> JsonObject | None:
    """Latency by the device's own clock, like `loop.series` but in one window; None when the engine reports none."""
    if engine.device_ns(tensors[0]) is None:
        return None
    samples = array("q")
    begin = perf_counter_ns()
    while len(samples) < least or perf_counter_ns() - begin < seconds * 1e9:
        samples.append(engine.device_ns(tensors[len(samples) % len(tensors)]) or 0)
    return {
        "windows": [encode(np.frombuffer(samples, np.int64))],
        "noise": None,
        "calls_per_sample": 1,
        "elapsed_ns": perf_counter_ns() - begin,
        "cpu_ns": None,
        "voluntary_switches": None,
        "involuntary_switches": None,
    }
