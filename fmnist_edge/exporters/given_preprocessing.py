"""The preprocessing that the user gives by options: a preset's name, or numbers."""

from __future__ import annotations

from dataclasses import replace

from fmnist_edge.errors import InputError
from fmnist_edge.runtime.preprocess import Levels, Preprocessing
from fmnist_edge.runtime.presets import MODEL, PRESETS

__all__ = ["given_preprocessing"]


def given_preprocessing(
    preset: str | None,
    order: str | None,
    scale: float | None,
    mean: Levels | None,
    std: Levels | None,
    shape: tuple[int, ...],
) -> tuple[Preprocessing, str] | None:
    """What the options give, and their names for a message. None if they give nothing, or leave it to the model.

    Args: as in `contracts.preprocessing_for`; `shape` is that of an image.

    Raises InputError for a preset beside numbers, and for what is no Preprocessing or does not fit the images.
    """
    given = {name: value for name, value in (("scale", scale), ("mean", mean), ("std", std)) if value is not None}
    if preset is not None and given:
        numbers = " and ".join(f"--{name}" for name in given)
        raise InputError(f"--preprocess {preset} says scale, mean and std itself; leave it out, or leave out {numbers}")
    if preset not in (None, MODEL):
        return from_preset(preset, order, shape), f"--preprocess {preset}"
    if given:
        made = Preprocessing(**given, order=order or "RGB")  # type: ignore[arg-type]
        return made, ", ".join(f"--{name}" for name in given)
    return None


def from_preset(name: str | None, order: str | None, shape: tuple[int, ...]) -> Preprocessing:
    """Raises InputError for a name that there is not, and for a preset of RGB images for a model of others."""
    found = PRESETS.get(str(name))
    if found is None:
        raise InputError(f"--preprocess {name}: no such preprocessing; choose from: {', '.join([*PRESETS, MODEL])}")
    if found.channels is not None and (len(shape) != 3 or shape[-1] != found.channels):
        others = ", ".join(item for item in PRESETS if PRESETS[item].channels is None)
        raise InputError(
            f"--preprocess {name} is for images of {found.channels} channels, and the model's input is {shape}; say "
            f"--preprocess {others}, or --scale, --mean and --std"
        )
    if order is None or order == found.order:
        return found
    if found.channels is not None:
        raise InputError(
            f"--preprocess {name} is for {found.order}, and its mean is in that order; leave out --channel-order, or "
            "give --scale, --mean and --std instead"
        )
    return replace(found, order=order)
