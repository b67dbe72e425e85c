"""Augmented batches and their targets, reproducible batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from fmnist_edge.data.fashion_mnist import LABELS, Split
from fmnist_edge.models.recipe import Recipe
from fmnist_edge.runtime.preprocess import Preprocessing
from fmnist_edge.training.augment import augment

__all__ = ["Feed", "batches", "one_hot", "prepare"]

TeacherLogits = Callable[[int], tuple[np.ndarray, np.ndarray]]


class Feed(Protocol):
    """What callbacks and loops use of the PyDataset that `batches` returns."""

    def start(self, epoch: int) -> None: ...

    def __len__(self) -> int: ...


def prepare(images: np.ndarray) -> np.ndarray:
    """uint8 (n, 28, 28) -> float32 (n, 28, 28, 1), preprocessed as devices do it."""
    return Preprocessing().apply(images, (28, 28, 1))


def one_hot(labels: np.ndarray) -> np.ndarray:
    """Class indices (n,) -> float32 (n, 10)."""
    return np.eye(len(LABELS), dtype=np.float32)[labels]


def smoothed(labels: np.ndarray, share: float) -> np.ndarray:
    """One-hot `labels` with `share` of the probability spread over all classes (Szegedy et al. 2016, section 7)."""
    return (1 - share) * labels + share / labels.shape[1] if share else labels


def batches(split: Split, recipe: Recipe, seed: int, teacher_logits: TeacherLogits | None = None) -> Feed:
    """A PyDataset of augmented batches. Call its `start(epoch)` before each epoch.

    A batch depends on (seed, epoch, index of the batch) alone. A resumed run sees the same batches as one that was not
    interrupted.

    Args:
        teacher_logits: epoch -> (augmented images in `split`'s order, the teachers' logits). The logits are appended
            to the targets, which become (n, 20).
    """
    import keras

    class Batches(keras.utils.PyDataset):
        def start(self, epoch: int) -> None:
            self.epoch = epoch
            self.order = np.random.default_rng((seed, epoch)).permutation(len(split))
            self.taught = teacher_logits(epoch) if teacher_logits else None

        def __len__(self) -> int:
            return -(-len(split) // recipe.batch_size)

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            chosen = self.order[index * recipe.batch_size : (index + 1) * recipe.batch_size]
            targets = smoothed(one_hot(split.labels[chosen]), recipe.label_smoothing)
            if self.taught is None:
                rng = np.random.default_rng((seed, self.epoch, index))
                return prepare(augment(split.images[chosen], recipe, rng)), targets
            images, logits = self.taught
            return prepare(images[chosen]), np.concatenate([targets, logits[chosen]], axis=1)

    fed = Batches()
    fed.start(0)  # Keras looks at a batch before the first epoch begins
    return fed
