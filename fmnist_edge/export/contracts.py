"""Build the contract of an export: shapes and preprocessing from the model, labels from a file or folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.catalog.models import MODELS
from fmnist_edge.checkpoints import Checkpoint
from fmnist_edge.data import fashion_mnist
from fmnist_edge.errors import FileError, InputError, one_line
from fmnist_edge.export.model_input import UNITS, ModelInput, Unit, model_input
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.preprocess import Preprocessing

__all__ = ["Decision", "contract_for", "contradiction", "preprocessing_for"]

TOLERANCE = 0.02  # of the unit's range: pixels are also divided by 256


@dataclass(frozen=True)
class Decision:
    """The preprocessing of a contract, and how it was decided.

    Attributes:
        source: "model", "options" or "default".
        reason: one line: what the input is, and why.
        warnings: one line each; empty if there is nothing to doubt.
    """

    preprocessing: Preprocessing
    source: str
    reason: str
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> JsonObject:
        return {"source": self.source, "reason": self.reason}


def preprocessing_for(
    checkpoint: Checkpoint, scale: float | None = None, mean: float | None = None, std: float | None = None
) -> Decision:
    """Decide how pixels become the model's input.

    What the user gives wins; None is what was not given. Else it is read from the model's first layers, such as
    Rescaling. A model that has none gets pixels / 255.

    Raises InputError for numbers that no Preprocessing takes.
    """
    found = model_input(checkpoint.model)
    layers = layers_of(found, checkpoint)
    usual = UNITS["unit"]
    if (scale, mean, std) != (None, None, None):
        given = {name: value for name, value in (("scale", scale), ("mean", mean), ("std", std)) if value is not None}
        preprocessing = Preprocessing(**given)
        reason = f"input is {formula(preprocessing)}, given by {', '.join(f'--{name}' for name in given)}"
        doubt = contradiction(preprocessing, checkpoint)
        return Decision(preprocessing, "options", reason, () if doubt is None else (doubt,))
    if found.unit is not None:
        unit = UNITS[found.unit]
        return Decision(unit.preprocessing, "model", f"input is {unit.text}: the model scales it itself by {layers}")
    if not layers:
        reason = f"input is {usual.text}, the default: the model does not scale it; --scale, --mean, --std change it"
        return Decision(usual.preprocessing, "default", reason)
    doubt = (
        f"the model begins with {layers}, which does not show whether it takes pixels 0-255 or values 0 to 1; took "
        f"{usual.text}; say it with --scale, --mean and --std"
    )
    return Decision(usual.preprocessing, "default", f"input is {usual.text}, the default", (doubt,))


def formula(preprocessing: Preprocessing) -> str:
    for unit in UNITS.values():
        if is_unit(preprocessing, unit):
            return unit.text
    return f"(pixel * {preprocessing.scale:.6g} - {preprocessing.mean:.6g}) / {preprocessing.std:.6g}"


def ends(preprocessing: Preprocessing) -> np.ndarray:
    """The model's input for a black and for a white pixel: (2,)."""
    return (np.array([0, 255]) * preprocessing.scale - preprocessing.mean) / preprocessing.std


def is_unit(preprocessing: Preprocessing, unit: Unit) -> bool:
    return bool((np.abs(ends(preprocessing) - (unit.low, unit.high)) <= TOLERANCE * (unit.high - unit.low)).all())


def contradiction(preprocessing: Preprocessing, checkpoint: Checkpoint) -> str | None:
    """One line if the model says something else about its input than this preprocessing; None if not."""
    found = model_input(checkpoint.model)
    if found.unit is None or is_unit(preprocessing, UNITS[found.unit]):
        return None
    low, high = ends(preprocessing)
    return (
        f"the contract makes {low:.4g} to {high:.4g} of pixels 0 to 255, but the model takes {UNITS[found.unit].text} "
        f"and scales them itself by {layers_of(found, checkpoint)}; export it without --scale, --mean and --std"
    )


def layers_of(found: ModelInput, checkpoint: Checkpoint) -> str:
    """The layers that scale the input, as the file names them, and what they were judged by."""
    names = ", ".join(f"{kind} {checkpoint.shown_name(name)!r}" for kind, name in found.steps)
    if found.statistics is None:
        return names
    return f"{names} (mean {found.statistics[0]:.3g}, standard deviation {found.statistics[1]:.3g})"


def contract_for(
    checkpoint: Checkpoint,
    preprocessing: Preprocessing,
    labels: Path | None,
    polarity: str | None = None,
    resize: str = "bilinear",
    names: tuple[str, ...] | None = None,
) -> Contract:
    """Build the contract of an export.

    Args:
        labels: text file with one class name per line; None means Fashion-MNIST's for the zoo, else `names`, else
            "class 0", ...
        names: of the user's class folders, in Keras's order; not used if they are not as many as the model's classes.
        polarity: of the training images; "either" if it does not matter. None means Fashion-MNIST's for a model of the
            zoo with its default labels, "either" for others.

    Raises FileError for an unreadable labels file, InputError for a wrong number of labels.
    """
    shape = tuple(checkpoint.model.input_shape[1:])
    classes = checkpoint.model.output_shape[-1]
    of_zoo = checkpoint.model.name in MODELS and labels is None
    if polarity is None:
        polarity = fashion_mnist.POLARITY if of_zoo else "either"
    return Contract(
        shape,
        checkpoint.output,
        fashion_mnist.LABELS if of_zoo else class_names(labels, names, classes),
        preprocessing,
        polarity=None if polarity == "either" else polarity,
        resize=resize,
    )


def class_names(file: Path | None, names: tuple[str, ...] | None, classes: int) -> tuple[str, ...]:
    if file is None and names is not None and len(names) == classes:
        return names
    if file is None:
        return tuple(f"class {i}" for i in range(classes))
    try:
        names = tuple(line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, ValueError) as error:
        raise FileError(f"{file}: not a readable text file ({one_line(error, 80)})") from None
    if len(names) != classes:
        raise InputError(f"{file}: {len(names)} labels for a model of {classes} classes; expected one per line")
    return names
