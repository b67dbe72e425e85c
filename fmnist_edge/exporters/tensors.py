"""Golden vectors of models with the task `tensor`, and the check of a float file against its Keras model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.catalog.precisions import Precision
from fmnist_edge.errors import ArtifactError, ExportError, UnavailableError
from fmnist_edge.exporters.golden import MARGIN, MIN_TOLERANCE, VECTORS, golden_images_for, round_up
from fmnist_edge.exporters.keras_comparison import LIMITS, REASONS
from fmnist_edge.exporters.several import Samples, answers, has_several, parts
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.engine_catalog import ENGINES, engines_for
from fmnist_edge.runtime.model import Model
from fmnist_edge.runtime.tensor_golden import TensorGolden

if TYPE_CHECKING:
    import keras

__all__ = ["check_format", "check_tensors", "golden_inputs_for", "tensor_golden_for"]

FORMATS_OF_SEVERAL = ("tflite", "onnx", "keras")


def check_format(model: keras.Model, precision: Precision) -> None:
    """Raises ExportError for a format that has no models with several inputs or outputs."""
    if has_several(model) and precision.format not in FORMATS_OF_SEVERAL:
        raise ExportError(
            f"the model has {len(model.inputs)} inputs and {len(model.outputs)} outputs, and {precision.format} export "
            f"writes models with one of each; choose from: {', '.join(FORMATS_OF_SEVERAL)}"
        )


def golden_inputs_for(contract: Contract, prepared: Samples | None) -> dict[str, np.ndarray]:
    """VECTORS of the samples for each input, or noise if there are fewer: name -> float32 (VECTORS, *shape)."""
    names = [tensor.name for tensor in contract.inputs]
    if prepared is not None and len(parts(prepared)[0]) >= VECTORS:
        chosen = np.linspace(0, len(parts(prepared)[0]) - 1, VECTORS).astype(int)
        return {name: array[chosen].astype(np.float32) for name, array in zip(names, parts(prepared), strict=True)}
    if contract.dtype == "uint8":
        noise = golden_images_for(contract, None)
        return {names[0]: contract.preprocessing.apply(noise, contract.input_shape)}
    rng = np.random.default_rng(0)
    return {item.name: rng.normal(size=(VECTORS, *item.shape)).astype(np.float32) for item in contract.inputs}


def tensor_golden_for(path: Path, contract: Contract, inputs: Mapping[str, np.ndarray]) -> TensorGolden:
    """The golden vectors of the file at `path`; witnesses set the tolerance of each output, see `golden_for`."""
    default, *others = engines_for(path)
    expected, version = outputs_of(path, contract, inputs, default)
    spread = dict.fromkeys(expected, 0.0)
    several = max(len(contract.inputs), len(contract.outputs)) > 1
    for name in others:
        if not ENGINES[name].witness or (several and not ENGINES[name].several):
            continue
        try:
            found, _ = outputs_of(path, contract, inputs, name)
        except (ArtifactError, UnavailableError):
            continue
        spread = {key: max(spread[key], float(np.abs(found[key] - expected[key]).max())) for key in spread}
    tolerances = {
        key: round_up(max(MARGIN * spread[key], MIN_TOLERANCE * float(np.abs(expected[key]).max()))) for key in spread
    }
    return TensorGolden(dict(inputs), expected, tolerances, f"{default} ({version})")


def outputs_of(
    path: Path, contract: Contract, inputs: Mapping[str, np.ndarray], name: str
) -> tuple[dict[str, np.ndarray], str]:
    threads = None if ENGINES[name].process_threads else 1  # TensorFlow runs already
    with Model(ENGINES[name].load(path, threads), contract) as model:
        return model(inputs), model.engine.version


def check_tensors(golden: TensorGolden, model: keras.Model, contract: Contract, precision: Precision) -> None:
    """Raises ExportError when a file in float gives other outputs than the Keras model, see `check_answers`."""
    limit = LIMITS.get(precision.kind)
    if limit is None:
        return
    given = [golden.inputs[tensor.name] for tensor in contract.inputs]
    size = model.inputs[0].shape[0] or len(given[0])
    rows = [
        [np.asarray(output) for output in answers(model, [array[start : start + size] for array in given])]
        for start in range(0, len(given[0]) - size + 1, size)
    ]
    for tensor, pieces in zip(contract.outputs, zip(*rows, strict=True), strict=True):
        expected = np.concatenate(pieces)
        found = golden.outputs[tensor.name][: len(expected)]
        difference, largest = float(np.abs(found - expected).max()), float(np.abs(expected).max())
        if not difference <= limit * largest:
            raise ExportError(
                f"the {precision.format} {precision.name} file gives another {tensor.name!r} than the Keras model: "
                f"{difference:.2g} apart, expected at most {limit * largest:.2g}; {REASONS[precision.kind]}"
            )
