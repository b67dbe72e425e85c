"""The images that calls cycle through: the run's, the artifact's own, or noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fmnist_edge.runtime.classifier import Classifier
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.manifest import Manifest, manifest_path
from fmnist_edge.runtime.preprocess import accepted_shapes

__all__ = ["NOISE_IMAGES", "images_for", "own_images"]

NOISE_IMAGES = 16


def images_for(classifier: Classifier, artifact: str, path: str) -> tuple[np.ndarray, str]:
    """Images of the model's shape, and where they are from. `path`: a .npy file of the run's images.

    "given": those of the run. "golden": the artifact's golden images, where none were given or they have another shape.
    "noise": for an artifact without golden images.
    """
    images, shape = np.load(path, allow_pickle=False), classifier.contract.input_shape
    if len(images) and images.shape[1:] in accepted_shapes(shape):
        return images, "given"
    return own_images(artifact, classifier.contract)


def own_images(artifact: str | Path, contract: Contract) -> tuple[np.ndarray, str]:
    """The golden images of an artifact, or noise; see `images_for`."""
    golden = Manifest.read(artifact).golden_vectors() if manifest_path(artifact).is_file() else None
    if golden is not None:
        return golden.images, "golden"
    rng, shape = np.random.default_rng(0), (NOISE_IMAGES, *contract.input_shape)
    if contract.dtype != "uint8":
        return rng.normal(size=shape).astype(np.float32), "noise"
    return rng.integers(0, 256, shape, np.uint8), "noise"
