"""The manifest beside an exported file: what the file is, how to feed it and how it was made.

`int8.tflite` has its manifest in `int8.tflite.json`. It is read and validated here, once. Whoever made the file also
made the manifest: reading checks the type of every section, and a wrong one is an ArtifactError of one line.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fmnist_edge.errors import ArtifactError
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.engine import TensorSpec, kind_of
from fmnist_edge.runtime.golden import Golden
from fmnist_edge.runtime.json_values import damaged, flag, listed, mapped, number, optional, plain, section, text, whole

__all__ = ["SCHEMA", "CalibrationSet", "Manifest", "ModelFile", "Recovery", "manifest_path"]

SCHEMA = 1
LARGEST = 16 * 1024 * 1024  # bytes


@dataclass(frozen=True)
class ModelFile:
    """The Keras file that an artifact was made from: its name, SHA-256 and number of parameters."""

    name: str
    sha256: str
    parameters: int | None = None

    @classmethod
    def from_json(cls, value: object, where: str) -> ModelFile:
        found = section(value, where)
        return cls(
            plain(found.get("name"), f"{where}.name"),
            plain(found.get("sha256"), f"{where}.sha256"),
            optional(whole)(found.get("parameters"), f"{where}.parameters"),
        )


@dataclass(frozen=True)
class CalibrationSet:
    """The images that set the ranges of an integer precision.

    Attributes:
        images: how many.
        sha256: of their bytes.
        seed: of their selection from Fashion-MNIST's training split; None for a user's own images.
        source: what they are, in words.
    """

    images: int
    sha256: str
    seed: int | None
    source: str

    @classmethod
    def from_json(cls, value: object, where: str) -> CalibrationSet:
        found = section(value, where)
        return cls(
            whole(found.get("images"), f"{where}.images"),
            plain(found.get("sha256"), f"{where}.sha256"),
            optional(whole)(found.get("seed", 0), f"{where}.seed"),  # older manifests do not say: there was only 0
            text(found.get("source", ""), f"{where}.source"),
        )


@dataclass(frozen=True)
class Recovery:
    """What `export --tune-accuracy` did.

    Attributes:
        weights_changed: whether the remedy changed the model's weights.
        rung: name of the remedy.
        passed: whether the accuracy that was left is within the allowed loss.
    """

    weights_changed: bool
    rung: str | None = None
    passed: bool | None = None

    @classmethod
    def from_json(cls, value: object, where: str) -> Recovery:
        found = section(value, where)
        return cls(
            flag(found.get("weights_changed"), f"{where}.weights_changed"),
            optional(plain)(found.get("rung"), f"{where}.rung"),
            optional(flag)(found.get("passed"), f"{where}.passed"),
        )


@dataclass(frozen=True)
class Manifest:
    """A manifest whose sections have the right types. Sections that it does not have are None, empty or the default.

    Attributes:
        document: the JSON object itself, with every section that this version does not know.
        sha256: of the model file; of a c-array, the file inside its sources.
        artifact: name of the file or folder.
        model: the Keras file it was made from.
        batch: images per call, None for any number; 1 in a manifest that does not say.
        inputs, outputs: the tensors, as an engine reads them from the file.
        recipe: the precision's fields; see `require_recipe`.
        keep_float: layers that compute in float by request.
        calibration: None for a precision without calibration.
        lrn_fits: layer -> the coefficients that replace its local response normalisation.
        op_census: op -> how many of it the file has.
        float_ops: the ops that compute in float, or "all".
        versions: package -> the version that made the file; None for one that was not installed.
        golden: packed golden vectors; see `golden_vectors`.
        arena_bytes, ops, files: of a c-array: memory it needs, its ops, and file -> SHA-256.
        recovery: None without `export --tune-accuracy`.
        parity: the recorded verdict; `fmnist_edge.parity.verdict.ParityVerdict` reads it. It is not validated here,
            so that `check --record` can replace a damaged one.
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
    versions: Mapping[str, str | None] = field(default_factory=dict)
    golden: object = field(default=None, repr=False)
    size_bytes: int | None = None
    arena_bytes: int | None = None
    ops: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    recovery: Recovery | None = None
    parity: object = None

    @classmethod
    def read(cls, artifact: str | Path) -> Manifest:
        """The manifest beside `artifact`. Raises ArtifactError when it is missing, damaged or of a newer schema."""
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
        """From JSON. Raises ArtifactError for anything but a manifest."""
        try:
            if len(content) > LARGEST:
                raise ValueError("larger than 16 MiB")
            value = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise ArtifactError(unreadable(error)) from None
        return cls.from_dict(value)

    @classmethod
    def from_dict(cls, value: object) -> Manifest:
        """From a JSON object, which stays as it is. Raises ArtifactError when a section is not what export writes."""
        found = value.get("schema") if isinstance(value, dict) else None
        if not isinstance(value, dict) or found != SCHEMA:
            raise ArtifactError(
                f"manifest schema is {reprlib.repr(found)}, this version reads {SCHEMA}; export the model again"
            )
        known: dict[str, Any] = {name: read(value[name], name) for name, read in SECTIONS.items() if name in value}
        return cls(value, plain(value.get("sha256"), "sha256"), Contract.from_dict(value.get("contract")), **known)

    @classmethod
    def of(cls, artifact: str, sections: Mapping[str, object]) -> Manifest:
        """A new manifest, for the file or folder of that name."""
        return cls.from_dict({"schema": SCHEMA, "artifact": artifact, **sections})

    def with_sections(self, sections: Mapping[str, object]) -> Manifest:
        """This manifest with `sections` replaced, or added at its end. Raises ArtifactError for a wrong one."""
        return self.from_dict({**self.document, **sections})

    def as_dict(self) -> dict[str, object]:
        """What `from_dict` was given."""
        return dict(self.document)

    def __contains__(self, name: str) -> bool:
        """Whether it has that section."""
        return name in self.document

    def require(self, *names: str) -> None:
        """Raises ArtifactError unless it has these sections: older versions did not write all of them."""
        missing = [name for name in names if name not in self]
        if missing:
            raise ArtifactError(f"the manifest has no {' and no '.join(missing)}; export the model again")

    def require_model(self) -> ModelFile:
        """The Keras file it was made from. Raises ArtifactError when the manifest does not say."""
        if self.model is None:
            raise ArtifactError("the manifest has no model; export the model again")
        return self.model

    @property
    def kind(self) -> str:
        """What its file's numbers are: "integer", "half" or "float"; "float" where no recipe says so."""
        recipe = {} if self.recipe is None else self.require_recipe()
        return kind_of(str(recipe.get("weights")), str(recipe.get("activations")))

    def require_recipe(self) -> dict[str, str | bool]:
        """The fields of the precision. Raises ArtifactError when there are none, or one has another type."""
        if self.recipe is None:
            raise ArtifactError("the manifest has no recipe; export the model again")
        return mapped(text_or_flag)(self.recipe, "recipe")

    def require_input(self) -> TensorSpec:
        """The only input. Raises ArtifactError when the manifest has none or several."""
        if len(self.inputs) != 1:
            raise ArtifactError(f"the manifest has {len(self.inputs)} inputs, expected one; export the model again")
        return self.inputs[0]

    def golden_vectors(self) -> Golden | None:
        """The golden vectors, unpacked; None in a manifest without. Raises ArtifactError when they are damaged."""
        if self.golden is None:
            return None
        return Golden.from_dict(self.golden, self.contract.input_shape, len(self.contract.labels))


def manifest_path(artifact: str | Path) -> Path:
    """`int8.tflite` -> `int8.tflite.json`, in the same folder."""
    artifact = Path(artifact)
    return artifact.with_name(artifact.name + ".json")


def unreadable(error: Exception) -> str:
    return f"not a readable manifest ({type(error).__name__}); export the model again"


def batch_size(value: object, where: str) -> int | None:
    if value is None:
        return None
    if type(value) is not int or value < 1:
        raise damaged(value, where, "a whole number from 1 on, or null")
    return value


def tensor(value: object, where: str) -> TensorSpec:
    found = section(value, where)
    return TensorSpec(
        text(found.get("name"), f"{where}.name"),
        listed(optional(whole))(found.get("shape"), f"{where}.shape"),
        plain(found.get("dtype"), f"{where}.dtype"),
        optional(number)(found.get("scale"), f"{where}.scale"),
        optional(whole)(found.get("zero_point"), f"{where}.zero_point"),
    )


def float_ops(value: object, where: str) -> tuple[str, ...] | str:
    return "all" if value == "all" else listed(text)(value, where)


def lrn_fits(value: object, where: str) -> Mapping[str, Mapping[str, object]]:
    return {} if value is None else mapped(section)(value, where)


def text_or_flag(value: object, where: str) -> str | bool:
    return value if isinstance(value, bool) else plain(value, where)


def unread(value: object, where: str) -> object:
    """For a section that its own class reads, when somebody needs it."""
    return value


# `sha256` and `contract` are in every manifest; a version that does not know a section leaves it alone.
SECTIONS: dict[str, Callable[[object, str], object]] = {
    "artifact": plain,
    "format": plain,
    "precision": plain,
    "model": ModelFile.from_json,
    "batch": batch_size,
    "inputs": listed(tensor),
    "outputs": listed(tensor),
    "recipe": section,
    "keep_float": listed(plain),
    "calibration": optional(CalibrationSet.from_json),
    "lrn_fits": lrn_fits,
    "op_census": mapped(whole),
    "float_ops": float_ops,
    "versions": mapped(optional(plain)),
    "golden": unread,
    "size_bytes": whole,
    "arena_bytes": whole,
    "ops": listed(text),
    "files": mapped(plain),
    "recovery": optional(Recovery.from_json),
    "parity": unread,
}
