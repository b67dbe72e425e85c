"""An export done again from its manifest, and held against the one that the manifest describes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_edge.artifact import Artifact
from fmnist_edge.catalog.precisions import Precision
from fmnist_edge.checkpoints import Checkpoint
from fmnist_edge.errors import ArtifactError, InputError, one_line
from fmnist_edge.export.calibration_images import Calibration
from fmnist_edge.export.pipeline import export
from fmnist_edge.export.recovery.ladder import LADDER, Candidate, Material
from fmnist_edge.export.sections import bytes_line, differences
from fmnist_edge.files import sha256_of
from fmnist_edge.runtime.contract import Contract, read_manifest
from fmnist_edge.runtime.golden import Golden
from fmnist_edge.worker.temporary import temporary_folder

__all__ = ["Recipe", "Reproduction", "reproduce"]

# What the manifest's other sections follow from is redone; `parity` is of a check, made later.
COMPARED = ("inputs", "outputs", "op_census", "float_ops", "lrn_fits", "arena_bytes", "ops")
LARGEST_BATCH = 65_536


@dataclass(frozen=True)
class Recipe:
    """What a manifest says of how its file was made.

    Attributes:
        path: of the file, or folder of sources, that the manifest describes.
        model, model_sha256: name and hash of the Keras file it was made from.
        calibration: how many images, the seed that selected them (None: a user's own) and their hash; None without.
        rung: the remedy for lost accuracy that changed the weights, see `recovery.ladder`; None without.
        golden: None in manifests of before there were any.
    """

    path: Path
    manifest: dict[str, Any]
    model: str
    model_sha256: str
    precision: Precision
    contract: Contract
    batch: int | None
    keep_float: tuple[str, ...]
    calibration: tuple[int, int | None, str] | None
    rung: str | None
    golden: Golden | None

    @classmethod
    def read(cls, path: str | Path) -> Recipe:
        """From a manifest, or the file beside it. Raises ArtifactError when it does not say all that takes."""
        path = Path(path)
        artifact = path.with_name(path.name.removesuffix(".json"))
        manifest = read_manifest(artifact)
        try:
            contract = Contract.from_dict(manifest.get("contract"))
            return cls(
                artifact,
                manifest,
                typed(manifest["model"]["name"], str),
                typed(manifest["model"]["sha256"], str),
                precision_of(manifest["recipe"]),
                contract,
                batch_of(manifest["batch"]),
                tuple(typed(layer, str) for layer in typed(manifest["keep_float"], list)),
                selection_of(manifest["calibration"]),
                rung_of(manifest.get("recovery")),
                golden_of(manifest.get("golden"), contract),
            )
        except (ArtifactError, InputError) as error:
            raise ArtifactError(f"{path}: {error}") from None
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__} at {one_line(error, 80)}"
            raise ArtifactError(f"{path}: does not say how its file was made ({reason}); export it again") from None


def typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{type(value).__name__} where a {kind.__name__} belongs")
    return value


def precision_of(value: Any) -> Precision:
    """Its name becomes a file's, so it must be no path."""
    for name, found in typed(value, dict).items():
        typed(found, bool if name in ("calibrated", "integer_only", "stock") else str)
    precision = Precision.of_recipe(value)
    if not re.fullmatch(r"\w{1,64}", precision.name, re.ASCII):
        raise ValueError("a precision's name that is no word")
    return precision


def batch_of(value: Any) -> int | None:
    if value is not None and not 1 <= typed(value, int) <= LARGEST_BATCH:
        raise ValueError(f"a batch of {value}; expected at most {LARGEST_BATCH}")
    return value


def selection_of(value: Any) -> tuple[int, int | None, str] | None:
    if value is None:
        return None
    seed = value.get("seed", 0)  # manifests of before it was written had no other
    count, sha256 = typed(value["images"], int), typed(value["sha256"], str)
    return count, None if seed is None else typed(seed, int), sha256


def rung_of(recovery: Any) -> str | None:
    """The rung whose remedy is to be applied again; layers in float are in the manifest themselves."""
    if recovery is None or not typed(recovery["weights_changed"], bool):
        return None
    names = [rung.name for rung in LADDER if not rung.selective]
    if recovery["rung"] not in names:
        raise ValueError(f"a remedy that is none of {', '.join(names)}")
    return recovery["rung"]


def golden_of(value: Any, contract: Contract) -> Golden | None:
    return None if value is None else Golden.from_dict(value, contract.input_shape, len(contract.labels))


@dataclass(frozen=True)
class Reproduction:
    """What came of it.

    Attributes:
        sha256, found_sha256: of the file that the manifest describes and of the new one.
        differences: one line each; none when everything is as it was.
        versions: package -> (then, now), where they are not the same.
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

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "path": str(self.path), "identical": self.identical}


def reproduce(
    recipe: Recipe,
    checkpoint: Checkpoint,
    calibration: Calibration | None,
    lessons: Callable[[], np.ndarray],
) -> Reproduction:
    """Export again, into a temporary folder, and compare.

    Args:
        calibration: the images that `recipe.calibration` is about.
        lessons: the images to fine-tune with, uint8 or float (n, *input_shape), if the recipe has that remedy.

    Raises InputError when model or images are not those of the recipe, ArtifactError when the file beside the manifest
    is not the one it describes, and what `export` raises.
    """
    check_identity(recipe, checkpoint, calibration)
    model = remedied(recipe, checkpoint, calibration, lessons)
    with temporary_folder() as folder:
        made = export(
            replace(checkpoint, name=recipe.model, model=model),
            recipe.precision,
            recipe.contract,
            folder,
            batch=recipe.batch,
            calibration=calibration,
            keep_float=recipe.keep_float,
            golden_images=recipe.golden.images if recipe.golden else None,
        )
        found = [*compared_files(recipe, made), *compared_manifests(recipe.manifest, made.manifest)]
        found += compared_golden(recipe.golden, golden_of(made.manifest["golden"], recipe.contract))
        return Reproduction(
            recipe.path,
            recipe.manifest["sha256"],
            made.manifest["sha256"],
            made.manifest["size_bytes"],
            tuple(found),
            changed_versions(recipe.manifest.get("versions"), made.manifest["versions"]),
        )


def check_identity(recipe: Recipe, checkpoint: Checkpoint, calibration: Calibration | None) -> None:
    if checkpoint.sha256 != recipe.model_sha256:
        raise InputError(
            f"{checkpoint.path} is not the model that {recipe.path} was made from: SHA-256 {checkpoint.sha256[:12]}…, "
            f"expected {recipe.model_sha256[:12]}…; give that one with --model"
        )
    shapes = tuple(checkpoint.model.input_shape[1:]), checkpoint.model.output_shape[-1]
    if shapes != (recipe.contract.input_shape, len(recipe.contract.labels)):
        raise ArtifactError(f"{recipe.path}: its contract's shapes are not its model's; the manifest is damaged")
    if recipe.calibration is not None and calibration is not None and calibration.sha256 != recipe.calibration[2]:
        raise InputError(
            f"{calibration.source}: not the images that {recipe.path} was calibrated with: SHA-256 "
            f"{calibration.sha256[:12]}…, expected {recipe.calibration[2][:12]}…; give those with --calibration"
        )


def remedied(
    recipe: Recipe, checkpoint: Checkpoint, calibration: Calibration | None, lessons: Callable[[], np.ndarray]
) -> Any:
    """The model with the weights that `--tune-accuracy` gave it."""
    rung = next((rung for rung in LADDER if rung.name == recipe.rung), None)
    if rung is None or calibration is None:
        return checkpoint.model
    prepare, shape = recipe.contract.preprocessing.apply, recipe.contract.input_shape
    material = Material(
        prepare(calibration.images, shape), prepare(lessons(), shape), recipe.contract.output == "logits", lambda _: []
    )
    candidate = rung.apply(Candidate(checkpoint.model), material)
    return candidate.model if candidate else checkpoint.model


def compared_files(recipe: Recipe, made: Artifact) -> list[str]:
    """What differs between the file beside the manifest and the new one; without that file, whether they do."""
    if recipe.path.is_dir():
        return compared_folders(recipe, made)
    expected, found = recipe.manifest["sha256"], made.manifest["sha256"]
    if not recipe.path.is_file():
        missing = f"file: SHA-256 {found[:12]}…, was {expected[:12]}…; without {recipe.path.name} no more is known"
        return [] if found == expected else [missing]
    if sha256_of(recipe.path) != expected:
        raise ArtifactError(f"{recipe.path}: SHA-256 is not the one in its manifest; export it again")
    return differences(recipe.path.read_bytes(), made.path.read_bytes(), recipe.precision.format)


def compared_folders(recipe: Recipe, made: Artifact) -> list[str]:
    expected, found = recipe.manifest.get("files"), made.manifest["files"]
    names = dict.fromkeys([*(expected if isinstance(expected, dict) else ()), *found])
    changed = [name for name in names if (expected or {}).get(name) != found.get(name)]
    lines = []
    for name in changed:
        old, new = recipe.path / Path(name).name, made.path / Path(name).name
        both = old.is_file() and new.is_file()
        lines.append(f"{name}: {bytes_line(old.read_bytes(), new.read_bytes()) if both else 'only in one of them'}")
    return lines


def compared_manifests(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    after = json.loads(json.dumps(after))  # tuples are lists there
    return [f"manifest: {name}" for name in COMPARED if name in before and before[name] != after.get(name)]


def compared_golden(before: Golden | None, after: Golden | None) -> list[str]:
    """Within the tolerance scores are the same: another version of the engine, or another CPU, rounds otherwise."""
    if before is None or after is None:
        return []
    furthest = float(np.abs(before.scores - after.scores).max())
    if furthest <= before.tolerance:
        return []
    return [f"manifest: golden scores, by up to {furthest:.2g} (tolerance {before.tolerance:.2g})"]


def changed_versions(before: Any, after: dict[str, str | None]) -> dict[str, tuple[str | None, str | None]]:
    known = before if isinstance(before, dict) else {}
    return {name: (str(old), after.get(name)) for name, old in known.items() if after.get(name) != old}
