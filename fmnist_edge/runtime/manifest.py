"""The manifest beside an exported file: what the file is, how to feed it and how it was made.

`int8.tflite.json` is read and validated here, once. A hostile file may have a hostile manifest: a wrong type in any
section raises an ArtifactError of one line.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fmnist_edge.errors import ArtifactError
from fmnist_edge.runtime import json_values as values
from fmnist_edge.runtime.budget import Budget
from fmnist_edge.runtime.confidence import Confidence
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.engine import TensorSpec, kind_of
from fmnist_edge.runtime.golden import Golden
from fmnist_edge.runtime.tasks import TENSOR

__all__ = ["SCHEMA", "CalibrationSet", "Manifest", "ModelFile", "Recovery", "manifest_path"]

SCHEMA = 1
LARGEST = 16 * 1024 * 1024  # bytes


@dataclass(frozen=True)
class ModelFile:
    """The Keras file that an artifact was exported from: its name, SHA-256 and number of parameters."""

    name: str
    sha256: str
    parameters: int | None = None

    @classmethod
    def from_json(cls, value: object, where: str) -> ModelFile:
        found = values.json_object(value, where)
        return cls(
            values.printable(found.get("name"), f"{where}.name"),
            values.printable(found.get("sha256"), f"{where}.sha256"),
            values.optional(values.integer)(found.get("parameters"), f"{where}.parameters"),
        )


@dataclass(frozen=True)
class CalibrationSet:
    """The images that set the activation ranges of an integer precision.

    Attributes:
        images: number of images.
        sha256: of the images' bytes.
        seed: of the selection from Fashion-MNIST's training split; None for a user's own images.
        source: description of the images.
    """

    images: int
    sha256: str
    seed: int | None
    source: str

    @classmethod
    def from_json(cls, value: object, where: str) -> CalibrationSet:
        found = values.json_object(value, where)
        return cls(
            values.integer(found.get("images"), f"{where}.images"),
            values.printable(found.get("sha256"), f"{where}.sha256"),
            values.optional(values.integer)(found.get("seed", 0), f"{where}.seed"),  # always 0 in older manifests
            values.text(found.get("source", ""), f"{where}.source"),
        )


@dataclass(frozen=True)
class Recovery:
    """The result of `export --tune-accuracy`.

    Attributes:
        weights_changed: whether the remedy changed the model's weights.
        rung: name of the remedy.
        passed: whether the remaining accuracy loss is within the allowed one.
    """

    weights_changed: bool
    rung: str | None = None
    passed: bool | None = None

    @classmethod
    def from_json(cls, value: object, where: str) -> Recovery:
        found = values.json_object(value, where)
        return cls(
            values.boolean(found.get("weights_changed"), f"{where}.weights_changed"),
            values.optional(values.printable)(found.get("rung"), f"{where}.rung"),
            values.optional(values.boolean)(found.get("passed"), f"{where}.passed"),
        )


@dataclass(frozen=True)
class Manifest:
    """A manifest whose sections have the right types. A missing section is None, empty or its default.

    Attributes:
        document: the whole JSON object, including sections that this version does not know.
        sha256: of the model file; for a c-array, of the file inside its sources.
        artifact: name of the file or folder.
        model: the Keras file that it was exported from.
        batch: images per call; None for any number, 1 when the manifest does not say.
        inputs, outputs: the tensors, as an engine reports them.
        recipe: the precision's fields; see `require_recipe`.
        keep_float: layers that the user kept in float.
        calibration: None for a precision without calibration.
        lrn_fits: layer -> the coefficients that replace its local response normalisation.
        op_census: op -> number of such ops in the file.
        float_ops: the ops that compute in float, or "all".
        runs_in: runtime -> its oldest release that runs the file, None if none does. Empty in older manifests.
        versions: package -> installed version at export; None for a package that was not installed.
        golden: packed golden vectors; see `golden_vectors`.
        arena_bytes, ops, files: for a c-array: the memory it needs, its ops, and file -> SHA-256.
        warnings: what export found doubtful about the contract, the calibration images or the file.
        recovery, confidence, budget: None without `export --tune-accuracy`, `confidence` and `choose --budget`.
        parity: the recorded verdict, for `parity.verdict`. Not validated, so that `check --record` can replace it.
    """

    document: Mapping[str, object] = field(repr=False)
    sha256: str
    contract: Contract
    artifact: str | None = None
    format: str | None = None
    precision: str | None = None
    model: ModelFile | None = None
    batch: int | None = 1
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    recipe: Mapping[str, object] | None = None
    keep_float: tuple[str, ...] = ()
    calibration: CalibrationSet | None = None
    lrn_fits: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    op_census: Mapping[str, int] = field(default_factory=dict)
    float_ops: tuple[str, ...] | str = ()
    runs_in: Mapping[str, str | None] = field(default_factory=dict)
    versions: Mapping[str, str | None] = field(default_factory=dict)
    golden: object = field(default=None, repr=False)
    size_bytes: int | None = None
    arena_bytes: int | None = None
    ops: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    recovery: Recovery | None = None
    confidence: Confidence | None = None
    budget: Budget | None = None
    parity: object = None

    @classmethod
    def read(cls, artifact: str | Path) -> Manifest:
        """The manifest beside `artifact`. Raises ArtifactError when it is missing, damaged or has another schema."""
        path = manifest_path(artifact)
        if not path.is_file():
            raise ArtifactError(
                f"{artifact}: no manifest {path.name} beside it; copy both files that `fmnist-edge export` wrote, "
                "or pass a Contract to Classifier.load"
            )
        try:
            with open(path, "rb") as file:
                content = file.read(LARGEST + 1)
            return cls.from_bytes(content)
        except OSError as error:
            raise ArtifactError(f"{path}: {unreadable(error)}") from None
        except ArtifactError as error:
            raise ArtifactError(f"{path}: {error}") from None

    @classmethod
    def from_bytes(cls, content: bytes) -> Manifest:
        """Read JSON text. Raises ArtifactError when it is not a valid manifest."""
        try:
            if len(content) > LARGEST:
                raise ValueError("larger than 16 MiB")
            value = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise ArtifactError(unreadable(error)) from None
        return cls.from_dict(value)

    @classmethod
    def from_dict(cls, value: object) -> Manifest:
        """Read a JSON object, which is not changed. Raises ArtifactError when a section has a wrong type."""
        found = value.get("schema") if isinstance(value, dict) else None
        if not isinstance(value, dict) or found != SCHEMA:
            reason = f"manifest schema is {reprlib.repr(found)}, this version reads {SCHEMA}"
            raise ArtifactError(f"{reason}; export the model again")
        known: dict[str, Any] = {name: read(value[name], name) for name, read in SECTIONS.items() if name in value}
        sha256 = values.printable(value.get("sha256"), "sha256")
        return cls(value, sha256, Contract.from_dict(value.get("contract")), **known)

    @classmethod
    def of(cls, artifact: str, sections: Mapping[str, object]) -> Manifest:
        """Create the manifest of the file or folder named `artifact`."""
        return cls.from_dict({"schema": SCHEMA, "artifact": artifact, **sections})

    def with_sections(self, sections: Mapping[str, object]) -> Manifest:
        """A copy with `sections` replaced or appended. Raises ArtifactError when one has a wrong type."""
        return self.from_dict({**self.document, **sections})

    def as_dict(self) -> dict[str, object]:
        """The JSON object that `from_dict` reads."""
        return dict(self.document)

    def __contains__(self, name: str) -> bool:
        """Whether it has the section `name`."""
        return name in self.document

    def require(self, *names: str) -> None:
        """Raises ArtifactError unless it has these sections. Older versions did not write all of them."""
        missing = [name for name in names if name not in self]
        if missing:
            raise ArtifactError(f"the manifest has no {' and no '.join(missing)}; export the model again")

    def require_model(self) -> ModelFile:
        """The Keras file that it was exported from. Raises ArtifactError when the manifest does not say."""
        if self.model is None:
            raise ArtifactError("the manifest has no model; export the model again")
        return self.model

    @property
    def kind(self) -> str:
        """Kind of the file's numbers: "integer", "half" or "float"; "float" when there is no recipe."""
        recipe = {} if self.recipe is None else self.require_recipe()
        return kind_of(str(recipe.get("weights")), str(recipe.get("activations")))

    def require_recipe(self) -> dict[str, str | bool | int]:
        """The fields of the precision. Raises ArtifactError when they are missing or one has a wrong type."""
        if self.recipe is None:
            raise ArtifactError("the manifest has no recipe; export the model again")
        return values.dict_of(values.scalar)(self.recipe, "recipe")

    def require_input(self) -> TensorSpec:
        """The only input. Raises ArtifactError when the manifest has none or several."""
        if len(self.inputs) != 1:
            raise ArtifactError(f"the manifest has {len(self.inputs)} inputs, expected one; export the model again")
        return self.inputs[0]

    def golden_vectors(self) -> Golden | None:
        """The unpacked golden vectors; None without, and for a `TensorGolden`. Raises ArtifactError if damaged."""
        if self.golden is None or self.contract.task == TENSOR:
            return None
        return Golden.from_dict(self.golden, self.contract.input_shape, self.contract.score_count)


def manifest_path(artifact: str | Path) -> Path:
    """`int8.tflite` -> `int8.tflite.json`, in the same folder."""
    artifact = Path(artifact)
    return artifact.with_name(artifact.name + ".json")


def unreadable(error: Exception) -> str:
    return f"not a readable manifest ({type(error).__name__}); export the model again"


def tensor(value: object, where: str) -> TensorSpec:
    found = values.json_object(value, where)
    return TensorSpec(
        values.text(found.get("name"), f"{where}.name"),
        values.list_of(values.optional(values.integer))(found.get("shape"), f"{where}.shape"),
        values.printable(found.get("dtype"), f"{where}.dtype"),
        values.optional(values.number)(found.get("scale"), f"{where}.scale"),
        values.optional(values.integer)(found.get("zero_point"), f"{where}.zero_point"),
    )


def float_ops(value: object, where: str) -> tuple[str, ...] | str:
    return "all" if value == "all" else values.list_of(values.text)(value, where)


def lrn_fits(value: object, where: str) -> Mapping[str, Mapping[str, object]]:
    return {} if value is None else values.dict_of(values.json_object)(value, where)


def unvalidated(value: object, where: str) -> object:
    """Accept any value. The section's own class validates it when it is used."""
    return value


# `sha256` and `contract` are in every manifest and are read separately. Unknown sections are kept.
SECTIONS: dict[str, Callable[[object, str], object]] = {
    "artifact": values.printable,
    "format": values.printable,
    "precision": values.printable,
    "model": ModelFile.from_json,
    "batch": values.optional(values.batch_size),
    "inputs": values.list_of(tensor),
    "outputs": values.list_of(tensor),
    "recipe": values.json_object,
    "keep_float": values.list_of(values.printable),
    "calibration": values.optional(CalibrationSet.from_json),
    "lrn_fits": lrn_fits,
    "op_census": values.dict_of(values.integer),
    "float_ops": float_ops,
    "runs_in": values.dict_of(values.optional(values.printable)),
    "versions": values.dict_of(values.optional(values.printable)),
    "golden": unvalidated,
    "size_bytes": values.integer,
    "arena_bytes": values.integer,
    "ops": values.list_of(values.text),
    "files": values.dict_of(values.printable),
    "warnings": values.list_of(values.text),
    "recovery": values.optional(Recovery.from_json),
    "confidence": values.optional(Confidence.from_json),
    "budget": values.optional(Budget.from_json),
    "parity": unvalidated,
}
