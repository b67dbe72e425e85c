"""Build the contract of an export: shapes and preprocessing from the model, labels from a file or folders."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.catalog.models import MODELS
from fmnist_edge.checkpoints import Checkpoint
from fmnist_edge.data import fashion_mnist
from fmnist_edge.errors import InputError
from fmnist_edge.exporters.given_preprocessing import given_preprocessing
from fmnist_edge.exporters.label_names import binary_names, class_names
from fmnist_edge.exporters.model_input import LEAST_DEVIATION, UNITS, ModelInput, Unit, model_input
from fmnist_edge.exporters.tasks import TaskOptions, is_image, task_of, tensors_of, thresholds_for
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.images import Fill, check_fill
from fmnist_edge.runtime.numbers import Numbers
from fmnist_edge.runtime.preprocess import Levels, Preprocessing
from fmnist_edge.runtime.presets import MODEL, PRESETS
from fmnist_edge.runtime.tasks import BINARY, TENSOR

__all__ = ["Decision", "contract_for", "contradiction", "ends", "formula", "preprocessing_for"]

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
    mean: Levels | None = None,
    std: Levels | None = None,
    *,
    preset: str | None = None,
    order: str | None = None,
    input: str | None = None,
) -> Decision:
    """Decide how pixels become the model's input.

    What the user gives wins; None is what was not given. Else it is read from the model's first layers, such as
    Rescaling. A model that has none gets pixels / 255. An input that is no image is taken as it is; `input` says
    whether it is one, see `tasks.is_image`.

    Args:
        preset: key of PRESETS; or MODEL, to refuse a model whose first layers say nothing.
        order: of the model's channels, "RGB" or "BGR". None means the preset's, else RGB.

    Raises InputError for numbers that no Preprocessing takes or that do not fit the model's channels, for a preset
    beside numbers, and for MODEL where the model says nothing.
    """
    if not is_image(checkpoint.model, input):
        if preset is not None or order is not None:
            option = "--channel-order" if preset is None else f"--preprocess {preset}"
            raise InputError(f"{option} is for images, and the model's input is none; say --input image if it is one")
        return numbers_for(checkpoint, scale, mean, std, input)
    given = given_preprocessing(preset, order, scale, mean, std, shape_of(checkpoint))
    if given is not None:
        return given_by(*given, checkpoint)
    decision = read_from(checkpoint, preset == MODEL)
    if order in (None, "RGB"):
        return decision
    ordered = replace(decision.preprocessing, order=order)
    ordered.check_channels(shape_of(checkpoint))
    return replace(decision, preprocessing=ordered, reason=f"{decision.reason}; channels are {order}")


def given_by(preprocessing: Preprocessing, options: str, checkpoint: Checkpoint) -> Decision:
    """What the user gives by `options`. Raises InputError when it does not fit the model's channels."""
    try:
        preprocessing.check_channels(shape_of(checkpoint))
    except InputError as error:
        raise InputError(f"{options}: {error}") from None
    doubt = contradiction(preprocessing, checkpoint)
    reason = f"input is {formula(preprocessing)}, given by {options}"
    return Decision(preprocessing, "options", reason, () if doubt is None else (doubt,))


def read_from(checkpoint: Checkpoint, needed: bool) -> Decision:
    """What the model's first layers say, else pixels / 255. Raises InputError if `needed` and they say nothing."""
    found = model_input(checkpoint.model)
    layers = layers_of(found, checkpoint)
    usual = UNITS["unit"]
    if found.unit is not None:
        unit = UNITS[found.unit]
        return Decision(unit.preprocessing, "model", f"input is {unit.text}: the model scales it itself by {layers}")
    if needed:
        begins = f"it begins with {layers}, which does not show what it takes" if layers else "it does not scale it"
        raise InputError(
            f"--preprocess model: {checkpoint.name} does not say how its input is scaled: {begins}; say how it was "
            f"trained: --preprocess {', '.join(PRESETS)}, or --scale, --mean and --std"
        )
    if not layers:
        options = "--preprocess, or --scale, --mean and --std, say otherwise"
        reason = f"input is {usual.text}, the default: the model does not scale it; {options}"
        return Decision(usual.preprocessing, "default", reason)
    doubt = (
        f"the model begins with {layers}, which does not show whether it takes pixels 0-255 or values 0 to 1; took "
        f"{usual.text}; say it with --preprocess, or with --scale, --mean and --std"
    )
    return Decision(usual.preprocessing, "default", f"input is {usual.text}, the default", (doubt,))


def numbers_for(
    checkpoint: Checkpoint, scale: float | None, mean: Levels | None, std: Levels | None, input: str | None
) -> Decision:
    """The preprocessing of an input that is no image."""
    given = {name: value for name, value in (("scale", scale), ("mean", mean), ("std", std)) if value is not None}
    options = ", ".join(f"--{name}" for name in given)
    if given and len(checkpoint.model.inputs) > 1:
        raise InputError(f"{options}: the model has {len(checkpoint.model.inputs)} inputs, which are taken as they are")
    if given:
        numbers = Numbers(scale or 1.0, mean or 0.0, 1.0 if std is None else std)
        return Decision(numbers, "options", f"input is numbers, (x * scale - mean) / std by {options}")
    shapes = " and ".join(str(tuple(tensor.shape)[1:]) for tensor in checkpoint.model.inputs)
    why = "given by --input" if input else f"{shapes} is the shape of no image; --input image says otherwise"
    return Decision(Numbers(), "default", f"input is numbers as they are: {why}")


def shape_of(checkpoint: Checkpoint) -> tuple[int, ...]:
    return tuple(checkpoint.model.inputs[0].shape)[1:]


def formula(preprocessing: Preprocessing) -> str:
    order = "" if preprocessing.order == "RGB" else f", channels in the order {preprocessing.order}"
    for unit in UNITS.values():
        if is_unit(preprocessing, unit):
            return unit.text + order
    mean, std = (listed(value) for value in (preprocessing.mean, preprocessing.std))
    return f"(pixel * {preprocessing.scale:.6g} - {mean}) / {std}{order}"


def listed(value: Levels) -> str:
    return f"[{', '.join(f'{item:.6g}' for item in value)}]" if isinstance(value, tuple) else f"{value:.6g}"


def ends(preprocessing: Preprocessing) -> np.ndarray:
    """The model's input for a black and for a white pixel: (2, 1) or (2, channels)."""
    mean, std = (np.ravel(value) for value in (preprocessing.mean, preprocessing.std))
    return (np.array([[0], [255]]) * preprocessing.scale - mean) / std


def is_unit(preprocessing: Preprocessing, unit: Unit) -> bool:
    wanted = np.array([[unit.low], [unit.high]])
    return bool((np.abs(ends(preprocessing) - wanted) <= TOLERANCE * (unit.high - unit.low)).all())


def contradiction(preprocessing: Preprocessing, checkpoint: Checkpoint) -> str | None:
    """One line if the model says something else about its input than this preprocessing; None if not."""
    found = model_input(checkpoint.model)
    if found.unit is None or is_unit(preprocessing, UNITS[found.unit]):
        return None
    low, high = float(ends(preprocessing).min()), float(ends(preprocessing).max())
    if preprocessing.channels is not None and found.statistics is not None and len(found.steps) == 1:
        mean, deviation = found.statistics  # of images that were normalised by channel before, as well
        if low <= mean <= high and deviation >= LEAST_DEVIATION * (high - low):
            return None
    return (
        f"the contract makes {low:.4g} to {high:.4g} of pixels 0 to 255, but the model takes {UNITS[found.unit].text} "
        f"and scales them itself by {layers_of(found, checkpoint)}; export it with --preprocess model, and without "
        "--scale, --mean and --std"
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
    fit: str = "stretch",
    fill: Fill = 0,
    *,
    names: tuple[str, ...] | None = None,
    options: TaskOptions | None = None,
) -> Contract:
    """Build the contract of an export.

    Args:
        labels: text file with one class name per line; None means Fashion-MNIST's for the zoo, else `names`, else
            "class 0", ...
        resize, fit, fill: see Contract.
        names: of the user's class folders, in Keras's order; not used if they are not as many as the model's classes.
        polarity: of the training images; "either" if it does not matter. None means Fashion-MNIST's for a model of the
            zoo with its default labels, "either" for others.
        options: what the user says about the task; None to read it from the model.

    Raises FileError for an unreadable labels file, InputError for a wrong number of labels and for a `fill` without
    bars or of another number of channels, and what `task_of` raises.
    """
    options = options or TaskOptions()
    task = task_of(checkpoint, options.task).task
    shape = tuple(checkpoint.model.inputs[0].shape)[1:]
    check_fill(fill, fit, shape)
    dtype = "float32" if isinstance(preprocessing, Numbers) else "uint8"
    if task == TENSOR:
        return tensor_contract(checkpoint, shape, preprocessing, dtype, labels, polarity, (resize, fit, fill), options)
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
        fit=fit,
        fill=fill,
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
    form: tuple[str, str, Fill],
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
        resize=form[0],
        fit=form[1],
        fill=form[2],
        task=TENSOR,
        thresholds=thresholds_for(TENSOR, (), options.thresholds),
        inputs=inputs,
        outputs=outputs,
    )
