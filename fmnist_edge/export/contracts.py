"""The contract of an export: shapes from the model, labels from a file; Fashion-MNIST's where it fits."""

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
    """The contract of an export: shapes from the model, labels from a text file or the default.

    `polarity`: of the images it was trained on, "either" for none; None takes Fashion-MNIST's for its models.
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
        raise InputError(f"{file}: {len(names)} labels for a model of {classes} classes; expected one a line")
    return names
