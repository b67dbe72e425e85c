"""Build the contract of an export: shapes from the model, labels from a file or Fashion-MNIST's."""

from __future__ import annotations

from pathlib import Path

from fmnist_edge.checkpoints import Checkpoint
from fmnist_edge.data import fashion_mnist
from fmnist_edge.errors import FileError, InputError, one_line
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.preprocess import Preprocessing

__all__ = ["contract_for"]


def contract_for(
    checkpoint: Checkpoint,
    preprocessing: Preprocessing,
    labels: Path | None,
    polarity: str | None = None,
    resize: str = "bilinear",
) -> Contract:
    """Build the contract of an export.

    Args:
        labels: text file with one class name per line; None means Fashion-MNIST's where they fit, else "class 0", ...
        polarity: of the training images; "either" if it does not matter. None means Fashion-MNIST's for a model with
            its shapes and default labels, "either" for others.

    Raises FileError for an unreadable labels file, InputError for a wrong number of labels.
    """
    shape = tuple(checkpoint.model.input_shape[1:])
    classes = checkpoint.model.output_shape[-1]
    if polarity is None:
        polarity = fashion_mnist.POLARITY if labels is None and fashion_mnist.matches(shape, classes) else "either"
    return Contract(
        shape,
        checkpoint.output,
        class_names(labels, shape, classes),
        preprocessing,
        polarity=None if polarity == "either" else polarity,
        resize=resize,
    )


def class_names(file: Path | None, shape: tuple[int, ...], classes: int) -> tuple[str, ...]:
    if file is None:
        return (
            fashion_mnist.LABELS
            if fashion_mnist.matches(shape, classes)
            else tuple(f"class {i}" for i in range(classes))
        )
    try:
        names = tuple(line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, ValueError) as error:
        raise FileError(f"{file}: not a readable text file ({one_line(error, 80)})") from None
    if len(names) != classes:
        raise InputError(f"{file}: {len(names)} labels for a model of {classes} classes; expected one per line")
    return names
