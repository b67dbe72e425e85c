"""Make an artifact's golden vectors: a few images, the default engine's scores, and a tolerance for other engines."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10
from pathlib import Path

import numpy as np

from fmnist_edge.errors import ArtifactError, UnavailableError
from fmnist_edge.runtime.classifier import Classifier
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.engine_catalog import ENGINES, engines_for
from fmnist_edge.runtime.golden import Golden

__all__ = ["VECTORS", "golden_for", "golden_images_for"]

VECTORS = 16
MARGIN = 3  # times the difference between witnesses: other versions and CPUs round differently again
MIN_TOLERANCE = 1e-4  # relative to the largest score


def golden_images_for(contract: Contract, images: np.ndarray | None) -> np.ndarray:
    """VECTORS evenly spaced `images`, or noise if there are fewer; uint8 or float32 (VECTORS, *input_shape)."""
    if contract.dtype != "uint8" and (images is None or len(images) < VECTORS):
        return np.random.default_rng(0).normal(size=(VECTORS, *contract.input_shape)).astype(np.float32)
    if images is None or len(images) < VECTORS:
        return np.random.default_rng(0).integers(0, 256, (VECTORS, *contract.input_shape), dtype=np.uint8)
    chosen = np.asarray(images)[np.linspace(0, len(images) - 1, VECTORS).astype(int)].reshape(-1, *contract.input_shape)
    return chosen if chosen.dtype == np.uint8 else chosen.astype(np.float32)


def golden_for(path: Path, contract: Contract, images: np.ndarray, engines: Sequence[str] = ()) -> Golden:
    """The golden vectors of the file at `path`.

    The tolerance follows from the engines that are witnesses, without those that are not installed or refuse the file.
    `engines`: those to ask; the first gives the scores. Default: all that run such a file.
    """
    default, *others = engines or engines_for(path)
    expected, version = scores_of(path, contract, images, default)
    spread = 0.0
    for name in others:
        if not ENGINES[name].witness:
            continue
        try:
            spread = max(spread, float(np.abs(scores_of(path, contract, images, name)[0] - expected).max()))
        except (ArtifactError, UnavailableError):
            continue
    tolerance = max(MARGIN * spread, MIN_TOLERANCE * float(np.abs(expected).max()))
    return Golden(images, expected, round_up(tolerance), f"{default} ({version})")


def scores_of(path: Path, contract: Contract, images: np.ndarray, name: str) -> tuple[np.ndarray, str]:
    threads = None if ENGINES[name].process_threads else 1  # TensorFlow runs already
    with Classifier(ENGINES[name].load(path, threads), contract) as classifier:
        return classifier.scores(images), classifier.engine.version


def round_up(value: float) -> float:
    """Round up to two significant digits; the third is noise."""
    if value <= 0:
        return 0.0
    step = 10.0 ** (floor(log10(value)) - 1)
    return float(f"{-(-value // step) * step:.6g}")
