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
from fmnist_edge.export.tasks import TaskOptions, is_image, task_of, tensors_of, thresholds_for
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.numbers import Numbers
from fmnist_edge.runtime.preprocess import Preprocessing
from fmnist_edge.runtime.tasks import BINARY, TENSOR

__all__ = ["Decision", "contract_for", "contradiction", "preprocessing_for"]

BINARY_LABELS = ("negative", "positive")
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
    checkpoint: Checkpoint,
    scale: float | None = None,
    mean: float | None = None,
    std: float | None = None,
    input: str | None = None,
) -> Decision:
    """Decide how pixels become the model's input.

    What the user gives wins; None is what was not given. Else it is read from the model's first layers, such as
    Rescaling. A model that has none gets pixels / 255. An input that is no image is taken as it is; `input` says
    whether it is one, see `tasks.is_image`.

    Raises InputError for numbers that no Preprocessing takes.
    """
    if not is_image(checkpoint.model, input):
        return numbers_for(checkpoint, scale, mean, std, input)
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


def numbers_for(
    checkpoint: Checkpoint, scale: float | None, mean: float | None, std: float | None, input: str | None
) -> Decision:
    """The preprocessing of an input that is no image."""
    given = {name: value for name, value in (("scale", scale), ("mean", mean), ("std", std)) if value is not None}
    options = ", ".join(f"--{name}" for name in given)
    if given and len(checkpoint.model.inputs) > 1:
        raise InputError(f"{options}: the model has {len(checkpoint.model.inputs)} inputs, which are taken as they are")
    if given:
        return Decision(Numbers(**given), "options", f"input is numbers, (x * scale - mean) / std by {options}")
    shapes = " and ".join(str(tuple(tensor.shape)[1:]) for tensor in checkpoint.model.inputs)
    why = "given by --input" if input else f"{shapes} is the shape of no image; --input image says otherwise"
    return Decision(Numbers(), "default", f"input is numbers as they are: {why}")


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
    options: TaskOptions | None = None,
) -> Contract:
    """Build the contract of an export.

    Args:
        labels: text file with one class name per line; None means Fashion-MNIST's for the zoo, else `names`, else
            "class 0", ...
        names: of the user's class folders, in Keras's order; not used if they are not as many as the model's classes.
        polarity: of the training images; "either" if it does not matter. None means Fashion-MNIST's for a model of the
            zoo with its default labels, "either" for others.
        options: what the user says about the task; None to read it from the model.

    Raises FileError for an unreadable labels file, InputError for a wrong number of labels, and what `task_of` raises.
    """
    options = options or TaskOptions()
    task = task_of(checkpoint, options.task).task
    shape = tuple(checkpoint.model.inputs[0].shape)[1:]
    dtype = "float32" if isinstance(preprocessing, Numbers) else "uint8"
    if task == TENSOR:
        return tensor_contract(checkpoint, shape, preprocessing, dtype, labels, polarity, resize, options)
    of_zoo = checkpoint.model.name in MODELS and labels is None
    if polarity is None:
        polarity = fashion_mnist.POLARITY if of_zoo else "either"
    if of_zoo:
        names = fashion_mnist.LABELS
    elif task == BINARY:
        names = binary_names(labels, names, options.positive)
    else:
        names = class_names(labels, names, checkpoint.model.outputs[0].shape[-1])
    if options.positive is not None and task != BINARY:
        raise InputError(f"--positive is for the task binary, and the task is {task}; leave it out")
    return Contract(
        shape,
        checkpoint.output,
        names,
        preprocessing,
        dtype=dtype,
        polarity=None if polarity == "either" else polarity,
        resize=resize,
        task=task,
        thresholds=thresholds_for(task, names, options.thresholds),
    )


def tensor_contract(
    checkpoint: Checkpoint,
    shape: tuple[int, ...],
    preprocessing: Preprocessing,
    dtype: str,
    labels: Path | None,
    polarity: str | None,
    resize: str,
    options: TaskOptions,
) -> Contract:
    if labels is not None or options.positive is not None:
        raise InputError(
            "--labels and --positive are for models that choose labels, and the task is tensor; leave them out"
        )
    inputs, outputs = tensors_of(checkpoint)
    return Contract(
        shape,
        "numbers",
        (),
        preprocessing,
        dtype=dtype,
        polarity=None if polarity == "either" else polarity,
        resize=resize,
        task=TENSOR,
        thresholds=thresholds_for(TENSOR, (), options.thresholds),
        inputs=inputs,
        outputs=outputs,
    )


def binary_names(file: Path | None, folders: tuple[str, ...] | None, positive: str | None) -> tuple[str, ...]:
    """Two labels, the positive class second; of two class folders the second one, as in Keras."""
    own = folders if file is None and folders is not None and len(folders) == 2 else None
    names = own or (BINARY_LABELS if file is None else read_names(file))
    if len(names) != 2:
        raise InputError(f"{file}: {len(names)} labels for a binary model; expected two, the positive class last")
    if positive is None:
        return names
    if file is None and own is None and positive not in names:
        return f"not {positive}", positive
    if positive not in names:
        raise InputError(
            f"--positive {positive}: no such label{f' in {file}' if file else ''}; choose from: {', '.join(names)}"
        )
    return names if names[1] == positive else (names[1], names[0])


def class_names(file: Path | None, folders: tuple[str, ...] | None, classes: int) -> tuple[str, ...]:
    if file is None and folders is not None and len(folders) == classes:
        return folders
    if file is None:
        return tuple(f"class {i}" for i in range(classes))
    names = read_names(file)
    if len(names) != classes:
        raise InputError(f"{file}: {len(names)} labels for a model of {classes} classes; expected one per line")
    return names


def read_names(file: Path) -> tuple[str, ...]:
    try:
        return tuple(line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, ValueError) as error:
        raise FileError(f"{file}: not a readable text file ({one_line(error, 80)})") from None
