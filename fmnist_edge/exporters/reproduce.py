"""Reproduce an export from its manifest, and compare the result with the file that the manifest describes."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.artifact import Artifact
from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.catalog.precisions import Precision
from fmnist_edge.checkpoints import Checkpoint
from fmnist_edge.errors import ArtifactError, InputError
from fmnist_edge.exporters.calibration_images import Calibration
from fmnist_edge.exporters.findings import Findings
from fmnist_edge.exporters.pipeline import export
from fmnist_edge.exporters.recipe import precision_of
from fmnist_edge.exporters.recovery.ladder import LADDER, Candidate, RecoveryData
from fmnist_edge.exporters.sections import bytes_line, differences
from fmnist_edge.exporters.tflite_sources import EXPORTED_FROM
from fmnist_edge.files import sha256_of
from fmnist_edge.lookup import load
from fmnist_edge.runtime.golden import Golden
from fmnist_edge.runtime.manifest import Manifest, ModelFile, Recovery
from fmnist_edge.runtime.tasks import TENSOR
from fmnist_edge.worker.temporary import temporary_folder

if TYPE_CHECKING:
    import keras

__all__ = ["Recipe", "Reproduction", "reproduce"]

# Sections that are computed during an export. The others are inputs of the export, or, like `parity`, added later.
COMPARED_SECTIONS = ("inputs", "outputs", "op_census", "float_ops", "lrn_fits", "arena_bytes", "ops")
MAX_BATCH = 65_536


@dataclass(frozen=True)
class Recipe:
    """How a file was made, according to its manifest.

    Attributes:
        path: the file, or folder of sources, that the manifest describes.
        model: the Keras file it was made from.
        rung: the rung of `recovery.ladder` that changed the weights; None if there was none.
        golden: None in manifests older than golden vectors.
    """

    path: Path
    manifest: Manifest
    model: ModelFile
    precision: Precision
    rung: str | None
    golden: Golden | None

    @classmethod
    def read(cls, path: str | Path) -> Recipe:
        """Read a manifest; `path` names it or its artifact. Raises ArtifactError when a section is missing or wrong."""
        path = Path(path)
        artifact = path.with_name(path.name.removesuffix(".json"))
        manifest = Manifest.read(artifact)
        try:
            if EXPORTED_FROM in manifest:
                raise ArtifactError(
                    "it was made of a .tflite file, and `reproduce` starts from a Keras model; export the .tflite file "
                    "again, which gives the same folder"
                )
            manifest.require("batch", "keep_float", "calibration")
            if manifest.batch is not None and manifest.batch > MAX_BATCH:
                raise ArtifactError(f"a batch of {reprlib.repr(manifest.batch)}; expected at most {MAX_BATCH:,}")
            model, precision = manifest.require_model(), precision_of(manifest)
            return cls(artifact, manifest, model, precision, rung_of(manifest.recovery), manifest.golden_vectors())
        except ArtifactError as error:
            raise ArtifactError(f"{path}: {error}") from None


def rung_of(recovery: Recovery | None) -> str | None:
    """The rung whose remedy changed the weights. Rungs that keep layers in float are in the manifest's `keep_float`."""
    if recovery is None or not recovery.weights_changed:
        return None
    names = [rung.name for rung in LADDER if not rung.selective]
    if recovery.rung not in names:
        raise ArtifactError(f"recovery: unknown remedy; expected one of {', '.join(names)}; export the model again")
    return recovery.rung


@dataclass(frozen=True)
class Reproduction:
    """The result of `reproduce`.

    Attributes:
        path: as in the Recipe.
        sha256, found_sha256: hashes of the file that the manifest describes and of the new one.
        size_bytes: of the new file.
        differences: one line per difference; empty if the exports are identical.
        versions: package -> (version then, version now), for packages whose version changed.
    """

    path: Path
    sha256: str
    found_sha256: str
    size_bytes: int
    differences: tuple[str, ...]
    versions: dict[str, tuple[str | None, str | None]]

    @property
    def identical(self) -> bool:
        return not self.differences

    def as_dict(self) -> JsonObject:
        return {**asdict(self), "path": str(self.path), "identical": self.identical}


def reproduce(
    recipe: Recipe,
    checkpoint: Checkpoint,
    calibration: Calibration | None,
    fine_tuning_images: Callable[[], np.ndarray],
) -> Reproduction:
    """Export again, into a temporary folder, and compare.

    Args:
        calibration: the images of the manifest's `calibration` section.
        fine_tuning_images: returns uint8 or float (n, *input_shape); called if the recipe has a rung.

    Raises InputError when the model or the images are not those of the recipe, ArtifactError when the file beside the
    manifest is not the one that it describes, and what `export` raises.
    """
    check_identity(recipe, checkpoint, calibration)
    model = apply_remedy(recipe, checkpoint, calibration, fine_tuning_images)
    with temporary_folder() as folder:
        made = export(
            replace(checkpoint, name=recipe.model.name, model=model),
            recipe.precision,
            recipe.manifest.contract,
            folder,
            batch=recipe.manifest.batch,
            calibration=calibration,
            keep_float=recipe.manifest.keep_float,
            golden_images=recipe.golden.images if recipe.golden else None,
            findings=Findings(),  # the images were judged at the first export
            tool_metadata="tool_metadata" in recipe.manifest,
        )
        # A confidence that was fitted later is in the folder of some formats.
        into_folder = FORMATS[recipe.precision.format].confidence
        if into_folder is not None and recipe.manifest.confidence is not None:
            made = load(into_folder)(made, recipe.manifest.confidence)
        found = [*compare_files(recipe, made), *compare_manifests(recipe.manifest, made.manifest)]
        found += compare_golden(recipe.golden, made.manifest.golden_vectors())
        return Reproduction(
            recipe.path,
            recipe.manifest.sha256,
            made.manifest.sha256,
            made.manifest.size_bytes or 0,
            tuple(found),
            changed_versions(recipe.manifest.versions, made.manifest.versions),
        )


def check_identity(recipe: Recipe, checkpoint: Checkpoint, calibration: Calibration | None) -> None:
    if checkpoint.sha256 != recipe.model.sha256:
        raise InputError(
            f"{checkpoint.path} is not the model that {recipe.path} was made from: SHA-256 {checkpoint.sha256[:12]}…, "
            f"expected {recipe.model.sha256[:12]}…; name the right file with --model"
        )
    shapes = tuple(checkpoint.model.inputs[0].shape)[1:], checkpoint.model.outputs[0].shape[-1]
    contract, used = recipe.manifest.contract, recipe.manifest.calibration
    if contract.task != TENSOR and shapes != (contract.input_shape, contract.score_count):
        raise ArtifactError(f"{recipe.path}: its contract does not fit its model's shapes; the manifest is damaged")
    if used is not None and calibration is not None and calibration.sha256 != used.sha256:
        raise InputError(
            f"{calibration.source}: not the images that {recipe.path} was calibrated with: SHA-256 "
            f"{calibration.sha256[:12]}…, expected {used.sha256[:12]}…; name the right ones with --calibration"
        )


def apply_remedy(
    recipe: Recipe,
    checkpoint: Checkpoint,
    calibration: Calibration | None,
    fine_tuning_images: Callable[[], np.ndarray],
) -> keras.Model:
    """The checkpoint's model, changed by the same remedy as in `export --tune-accuracy`."""
    rung = next((rung for rung in LADDER if rung.name == recipe.rung), None)
    if rung is None or calibration is None:
        return checkpoint.model
    contract = recipe.manifest.contract
    prepare, shape = contract.preprocessing.apply, contract.input_shape
    data = RecoveryData(
        prepare(calibration.images, shape),
        prepare(fine_tuning_images(), shape),
        contract.output == "logits",
        lambda _: [],
    )
    candidate = rung.apply(Candidate(checkpoint.model), data)
    return candidate.model if candidate else checkpoint.model


def compare_files(recipe: Recipe, made: Artifact) -> list[str]:
    """The differences between the file beside the manifest and the new one; without that file, compare the hashes."""
    if recipe.path.is_dir():
        return compare_folders(recipe, made)
    expected, found = recipe.manifest.sha256, made.manifest.sha256
    if not recipe.path.is_file():
        missing = f"file: SHA-256 {found[:12]}…, was {expected[:12]}…; {recipe.path.name} is missing, so no details"
        return [] if found == expected else [missing]
    if sha256_of(recipe.path) != expected:
        raise ArtifactError(f"{recipe.path}: SHA-256 is not the one in its manifest; export it again")
    return differences(recipe.path.read_bytes(), made.path.read_bytes(), recipe.precision.format)


def compare_folders(recipe: Recipe, made: Artifact) -> list[str]:
    expected, found = recipe.manifest.files, made.manifest.files
    changed = [name for name in dict.fromkeys([*expected, *found]) if expected.get(name) != found.get(name)]
    lines = []
    for name in changed:
        old, new = recipe.path / Path(name).name, made.path / Path(name).name
        both = old.is_file() and new.is_file()
        lines.append(f"{name}: {bytes_line(old.read_bytes(), new.read_bytes()) if both else 'only in one of them'}")
    return lines


def compare_manifests(before: Manifest, after: Manifest) -> list[str]:
    """The sections that differ, of those that the old manifest has."""
    changed = [name for name in COMPARED_SECTIONS if name in before and getattr(before, name) != getattr(after, name)]
    return [f"manifest: {name}" for name in changed]


def compare_golden(before: Golden | None, after: Golden | None) -> list[str]:
    """Compare golden scores. Differences within the tolerance do not count: engine versions and CPUs round differently.

    Returns no line for a manifest without golden vectors.
    """
    if before is None or after is None:
        return []
    largest = float(np.abs(before.scores - after.scores).max())
    if largest <= before.tolerance:
        return []
    return [f"manifest: golden scores, by up to {largest:.2g} (tolerance {before.tolerance:.2g})"]


def changed_versions(
    before: Mapping[str, str | None], after: Mapping[str, str | None]
) -> dict[str, tuple[str | None, str | None]]:
    return {name: (str(old), after.get(name)) for name, old in before.items() if after.get(name) != old}
