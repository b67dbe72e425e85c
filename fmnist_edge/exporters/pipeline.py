"""Export one model in one precision: an artifact and its manifest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.artifact import Artifact, tensor_entry, versions_of
from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.catalog.precisions import PRECISIONS, Precision
from fmnist_edge.checkpoints import Checkpoint
from fmnist_edge.errors import ExportError, InputError
from fmnist_edge.exporters.calibration_images import Calibration, CalibrationSource, as_calibration
from fmnist_edge.exporters.exporter import check_room_for, export_errors
from fmnist_edge.exporters.findings import Findings, check_strict, findings_for
from fmnist_edge.exporters.golden import golden_for, golden_images_for
from fmnist_edge.exporters.keras_comparison import check_answers
from fmnist_edge.exporters.layer_names import check_layers
from fmnist_edge.exporters.lowering import lower
from fmnist_edge.exporters.minimum import check_oldest, runs_in
from fmnist_edge.exporters.several import Samples
from fmnist_edge.exporters.tensors import check_format, check_tensors, golden_inputs_for, tensor_golden_for
from fmnist_edge.lookup import load
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.embedded import KEY, contract_text
from fmnist_edge.runtime.engine_catalog import ENGINES, engines_for
from fmnist_edge.runtime.golden import Golden
from fmnist_edge.runtime.manifest import Manifest
from fmnist_edge.runtime.tasks import TENSOR
from fmnist_edge.runtime.tensor_golden import TensorGolden
from fmnist_edge.worker.temporary import temporary_file

__all__ = ["export"]

INTEGER_ACTIVATIONS = ("int8", "int16")
PACKAGES = ("numpy", "scipy")  # calibration and LRN fits depend on them in every format


def export(
    checkpoint: Checkpoint,
    precision: Precision,
    contract: Contract,
    out: Path,
    *,
    batch: int | None = 1,
    calibration: CalibrationSource | None = None,
    keep_float: tuple[str, ...] = (),
    golden_images: np.ndarray | None = None,
    findings: Findings | None = None,
    strict: bool = False,
    tool_metadata: bool = True,
) -> Artifact:
    """Convert `checkpoint` and write `out/<precision>.<format>`, a file or a folder of sources, with its manifest.

    Args:
        batch: images per call; None leaves the batch axis open.
        calibration: images for precisions that need them: a Calibration, a path, an array, an iterable of images or
            batches (its first 500 images), or a function that returns one.
        keep_float: layers that compute in float.
        golden_images: shape and dtype as in Golden; None means some of the calibration images.
        findings: what is known about contract and calibration already, for the manifest; None judges the images.
        strict: whether a warning about them is an InputError, before anything is converted.
        tool_metadata: write the metadata that other vendors' tools read, where the format has such. Artifacts of older
            versions have none.

    Raises ExportError when the converter refuses the model or a float file's scores are wrong, InputError when
    `precision` needs calibration images and got none or cannot keep layers in float, UnknownNameError for a layer that
    the model does not have, FileError when `out` cannot be written.
    """
    if keep_float:
        check_keep_float(checkpoint, precision, keep_float)
        keep_float = checkpoint.labels(keep_float)
    images_given = None if calibration is None else as_calibration(calibration, contract)
    prepared: Samples | None = None
    check_format(checkpoint.model, precision)
    if precision.calibrated:
        if images_given is None:
            raise InputError(f"{precision.format} {precision.name} needs {calibration_wanted(contract)}")
        prepared = images_given.prepared(contract)
    if findings is None:
        findings = findings_for(checkpoint, contract, images_given if precision.calibrated else None)
    if strict:
        check_strict(checkpoint.name, findings.warnings)
    format = FORMATS[precision.format]
    exporter = format.exporter()
    check_room_for(checkpoint.model)
    with (
        names_of_the_file(checkpoint),
        export_errors(f"preparing {checkpoint.name} for {precision.format} {precision.name}"),
    ):
        lowered = lower(checkpoint.model, precision, prepared, keep_float)
    with names_of_the_file(checkpoint):
        content = exporter.convert(lowered.model, precision, batch, prepared, keep_float)
    census = exporter.census(content)
    if precision.integer_only and census.float_ops:
        raise ExportError(
            f"{checkpoint.name} cannot be integer-only: no integer kernel for {', '.join(census.float_ops[:5])}; "
            "export it as tflite int8, which keeps such ops in float"
        )
    obstacles = exporter.obstacles_in(content)
    if obstacles is not None and precision.oldest:
        check_oldest(precision.oldest, precision.format, obstacles)
    inside = format.file
    if inside.embed is not None:
        content = load(inside.embed)(content, KEY, contract_text(contract))
    if tool_metadata and format.tool_metadata is not None:
        content = load(format.tool_metadata)(content, contract)
    inputs, outputs = describe_file(content, inside.name)
    golden: Golden | TensorGolden
    golden_files: list[Path] = []
    if contract.task == TENSOR:
        samples = golden_inputs_for(contract, images_given.prepared(contract) if images_given else None)
        with temporary_file(f"model.{inside.name}", content) as file:
            golden = tensor_golden_for(file, contract, samples)
        check_tensors(golden, checkpoint.model, contract, precision)
        image = next(iter(samples.values()))[0]
    else:
        images = golden_images
        if images is None:
            images = golden_images_for(contract, images_given.images if images_given else None)
        with temporary_file(f"model.{inside.name}", content) as file:
            golden = golden_for(file, contract, images)
        doubts = check_answers(golden, checkpoint.model, contract, precision, batch)
        if strict:
            check_strict(checkpoint.name, doubts)
        findings = replace(findings, warnings=(*findings.warnings, *doubts))
        image = images[0]
        if images_given is not None and format.contains is not None:
            golden_files = images_given.files_of(images)
    path = out / precision.filename
    sections = {
        "format": precision.format,
        "precision": precision.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "model": {
            "name": checkpoint.name,
            "sha256": checkpoint.sha256,
            "parameters": int(checkpoint.model.count_params()),
            **({"widened_from": checkpoint.widths} if checkpoint.widths else {}),
        },
        "batch": inputs[0]["shape"][0],
        "inputs": inputs,
        "outputs": outputs,
        "contract": contract.as_dict(),
        "recipe": precision.recipe(),
        "keep_float": list(keep_float),
        "calibration": calibration_entry(images_given) if precision.calibrated and images_given else None,
        **findings.as_sections(),
        **({"tool_metadata": True} if tool_metadata and format.tool_metadata else {}),
        "lrn_fits": {layer: fit.as_dict() for layer, fit in lowered.lrn_fits.items()},
        "op_census": census.ops,
        "float_ops": list(census.float_ops) if precision.activations in INTEGER_ACTIVATIONS else "all",
        **({"runs_in": runs_in(precision.format, obstacles)} if obstacles else {}),
        "versions": versions_of((*PACKAGES, *exporter.packages)),
        "golden": golden.as_dict(),
    }
    manifest = Manifest.of(path.name, sections)
    if format.contains is None:
        return Artifact.write(path, content, manifest)
    sources = exporter.sources(content, manifest, image, golden_files)
    facts = {"size_bytes": len(content), **sources.facts}
    return Artifact.write_folder(
        path, sources.files, manifest.with_sections(facts), carries_manifest=sources.carries_manifest
    )


@contextmanager
def names_of_the_file(checkpoint: Checkpoint) -> Iterator[None]:
    """Raise an ExportError again with layers named, in quotes, as in the user's file, where our names are others."""
    try:
        yield
    except ExportError as error:
        if not checkpoint.names:
            raise
        ours = "|".join(map(re.escape, checkpoint.names))
        text = re.sub(f"'({ours})'", lambda match: repr(checkpoint.shown_name(match[1])), str(error))
        raise ExportError(text) from error.__cause__


def check_keep_float(checkpoint: Checkpoint, precision: Precision, keep_float: tuple[str, ...]) -> None:
    """Raises InputError when `precision` is all float or integer-only, UnknownNameError for an unknown layer."""
    if not precision.selective:
        able = ", ".join(f"{item.format} {item.name}" for item in PRECISIONS if item.selective and not item.stock)
        raise InputError(
            f"{precision.format} {precision.name} cannot keep single layers in float; these can: {able} "
            "(name one with --format and --precision)"
        )
    check_layers(checkpoint.model, checkpoint.labels(keep_float), checkpoint.names)


def describe_file(content: bytes, format: str) -> tuple[list[JsonObject], list[JsonObject]]:
    """The input and output tensors as the default engine reads them from the file."""
    with temporary_file(f"model.{format}", content) as path:
        engine = ENGINES[engines_for(path)[0]].load(path)
        entries = [*map(tensor_entry, engine.inputs)], [*map(tensor_entry, engine.outputs)]
        engine.close()
        return entries


def calibration_wanted(contract: Contract) -> str:
    """What calibration a model needs, and how to give it."""
    if len(contract.inputs) > 1:
        names = ", ".join(f"{tensor.name} {tensor.shape}" for tensor in contract.inputs)
        return f"calibration samples of each input; pass --calibration FILE.npz with the arrays {names}"
    return f"calibration images shaped {contract.input_shape}; pass --calibration images.npy"


def calibration_entry(calibration: Calibration) -> JsonObject:
    return {
        "images": len(calibration.images),
        "source": calibration.source,
        "seed": calibration.seed,
        "sha256": calibration.sha256,
    }
