"""Images that are none of the classes: noise, gradients, constants, and for Fashion-MNIST handwritten digits."""

from __future__ import annotations

import numpy as np

__all__ = ["outside_images"]

COUNT = 1000
SEED = 20  # not the one with which the method was chosen
LEVELS = 256
DIGITS_SHAPE = (28, 28, 1)


def outside_images(shape: tuple[int, ...], *, digits: bool = False) -> dict[str, np.ndarray]:
    """Kind -> uint8 images (n, height, width, channels). Only "constant" for a shape that is no image.

    noise: every pixel uniform; soft noise: normal around grey; gradient: from one level to another at some angle;
    constant: every level; digits, where asked for and scikit-learn is installed: its 1,797, stretched to 28 x 28.
    """
    levels = np.arange(LEVELS, dtype=np.uint8).reshape(-1, *(1 for _ in shape))
    found = {"constant": np.broadcast_to(levels, (LEVELS, *shape)).copy()}
    if len(shape) != 3:
        return found
    rng = np.random.default_rng(SEED)
    found["noise"] = rng.integers(0, LEVELS, (COUNT, *shape), dtype=np.uint8)
    found["soft noise"] = np.clip(rng.normal(128, 40, (COUNT, *shape)), 0, 255).astype(np.uint8)
    found["gradient"] = gradients(shape, rng)
    if digits and shape == DIGITS_SHAPE:
        found |= handwritten_digits()
    return found


def gradients(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Linear gradients, uint8 (1000, height, width, channels)."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    rows, columns = rows / max(shape[0] - 1, 1), columns / max(shape[1] - 1, 1)
    angles, first, last = rng.uniform(0, 2 * np.pi, COUNT), *rng.uniform(0, 255, (2, COUNT))
    ramp = np.cos(angles)[:, None, None] * columns + np.sin(angles)[:, None, None] * rows
    ramp -= ramp.min(axis=(1, 2), keepdims=True)
    ramp /= np.maximum(ramp.max(axis=(1, 2), keepdims=True), 1e-9)
    values = first[:, None, None] + (last - first)[:, None, None] * ramp
    return np.repeat(values[..., None], shape[2], axis=3).astype(np.uint8)


def handwritten_digits() -> dict[str, np.ndarray]:
    """scikit-learn's digits, 8 x 8 of 16 levels, stretched bilinearly; empty where it or Pillow is not installed."""
    try:
        from PIL import Image
        from sklearn.datasets import load_digits
    except ImportError:
        return {}
    small = (load_digits().images * (255 / 16)).astype(np.uint8)
    size = DIGITS_SHAPE[:2]
    large = [np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)) for image in small]
    return {"digits": np.stack(large)[..., None]}
