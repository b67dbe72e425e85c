"""Augmentation in NumPy: the same seed gives the same images with every Keras backend."""

from __future__ import annotations

import numpy as np

from fmnist_edge.models.recipe import Recipe

__all__ = ["augment"]


def augment(images: np.ndarray, recipe: Recipe, rng: np.random.Generator) -> np.ndarray:
    """Randomly flipped, shifted and erased copies of `images`, uint8 (n, 28, 28) -> uint8 (n, 28, 28)."""
    count, height, width = images.shape
    out = images.copy()
    if recipe.flip:
        flipped = rng.random(count) < 0.5
        out[flipped] = out[flipped, :, ::-1]
    if recipe.shift:
        pad = recipe.shift
        padded = np.pad(out, ((0, 0), (pad, pad), (pad, pad)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
        top, left = rng.integers(0, 2 * pad + 1, (2, count))
        out = windows[np.arange(count), top, left].copy()
    if recipe.erase:
        # Zhong et al. 2020: area 2 to 25 %, aspect ratio 0.3 to 3.3, filled with noise.
        for index in np.flatnonzero(rng.random(count) < recipe.erase):
            area, ratio = rng.uniform(0.02, 0.25) * height * width, np.exp(rng.uniform(-1.2, 1.2))
            h = min(height, max(1, round(np.sqrt(area * ratio))))
            w = min(width, max(1, round(np.sqrt(area / ratio))))
            top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
            out[index, top : top + h, left : left + w] = rng.integers(0, 256, (h, w))
    return out
