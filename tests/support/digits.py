"""Digits, drawn by Pillow: a data set of ten classes that any font gives, as arrays and as folders of PNGs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

__all__ = ["digits", "save_folders"]


def draw(digit: int, size: int, random: np.random.Generator) -> np.ndarray:
    """A light digit on a dark, noisy ground, not always at the same place; uint8 (size, size, 3)."""
    image = Image.new("RGB", (size, size), tuple(random.integers(0, 70, 3).tolist()))
    font = ImageFont.load_default(0.8 * size)
    place = tuple((size * random.uniform((0.2, 0.0), (0.3, 0.1))).tolist())
    ImageDraw.Draw(image).text(place, str(digit), fill=tuple(random.integers(150, 255, 3).tolist()), font=font)
    return (image + random.normal(0, 10, (size, size, 3))).clip(0, 255).astype(np.uint8)


def digits(count: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (count, size, size, 3) and the digits, int (count,)."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    return np.stack([draw(int(label), size, random) for label in labels]), labels


def save_folders(folder: Path, images: np.ndarray, names: list[str]) -> None:
    """Save each image as a PNG below the folder of its class."""
    for number, (image, name) in enumerate(zip(images, names, strict=True)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / name / f"{number:04}.png")
