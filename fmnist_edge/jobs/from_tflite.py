"""Export of a finished `.tflite` file: which options are for it, and the job for the process that makes the sources."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.errors import InputError, one_line
from fmnist_edge.runtime.contract import is_plain

if TYPE_CHECKING:
    from fmnist_edge.conversion.from_tflite import TFLiteJob
    from fmnist_edge.runtime.images import Fill

__all__ = ["tflite_job"]

# Options that say how a Keras model is converted, or what is kept for comparisons with it.
FOR_KERAS = (
    "precision", "batch", "keep_float", "tune_accuracy", "budget", "io", "per_tensor", "opset", "oldest", "input",
    "test", "test_labels",
)  # fmt: skip
INSTEAD = "export the .keras, .h5 or SavedModel that it was converted from"


def tflite_job(options: Any, defaults: Any, model: str, thresholds: tuple[float, ...], fill: Fill | None) -> TFLiteJob:
    """The job for the `.tflite` file `model`.

    Args:
        options, defaults: ExportOptions, as given and with nothing given.
        thresholds, fill: those of the options.

    Raises InputError for a format that is not made of such a file, and for options that cannot apply to it.
    """
    from fmnist_edge.conversion.from_tflite import TFLiteJob
    from fmnist_edge.exporters.from_tflite import GoldenOptions, check_folder_name
    from fmnist_edge.exporters.tflite_contract import ContractOptions

    file = one_line(ValueError(model))
    able = [name for name, format in FORMATS.items() if format.takes_tflite]
    if options.format not in able:
        choices = " or ".join(f"--format {name}" for name in able)
        raise InputError(
            f"{file}: a .tflite file is converted already; say {choices} to make that of it; for other formats "
            f"{INSTEAD}"
        )
    given = [name for name in FOR_KERAS if is_given(getattr(options, name), getattr(defaults, name))]
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InputError(f"{names}: not for {file}, which is converted already; leave that out, or {INSTEAD}")
    if not is_plain(Path(model).name):
        raise InputError(
            f"{model!r}: its name has control characters, or is not UTF-8, and manifests have the name; rename it"
        )
    if options.name is not None:
        check_folder_name(options.name, Path(model))
    labels = None if options.labels is None else str(options.labels)
    other: dict[str, Any] = {"labels": labels, "thresholds": thresholds, "fill": fill}
    same = {item.name: getattr(options, item.name) for item in fields(ContractOptions) if item.name not in other}
    contract = ContractOptions(**same, **other)
    golden = GoldenOptions(options.calibration, options.data, options.skip_bad)
    return TFLiteJob(model, str(options.out), options.format, options.name, options.strict, contract, golden)


def is_given(value: object, default: object) -> bool:
    """Whether an option has another value than its default. None, an empty list and False are the same default."""
    return value != default and not (not value and not default)
