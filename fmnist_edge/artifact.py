"""An exported file with its manifest: export writes both, check and bench read them, devices load them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from fmnist_edge import __version__
from fmnist_edge.aliases import JsonObject
from fmnist_edge.errors import ArtifactError, FileError
from fmnist_edge.files import json_text, locked, write_all, write_atomic, writer_of
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.engine import TensorSpec
from fmnist_edge.runtime.engine_catalog import ENGINES, EngineRecord, engines_for, is_artifact, is_folder, suffixes
from fmnist_edge.runtime.folder import MANIFEST
from fmnist_edge.runtime.manifest import Manifest, ModelFile, manifest_path
from fmnist_edge.runtime.same_file import SECTION, check_exists, other_names

__all__ = ["Artifact", "collect", "collect_readable", "collect_usable", "versions_of"]


@dataclass(frozen=True)
class Artifact:
    """A model file and the manifest that describes it."""

    path: Path
    manifest: Manifest

    @property
    def contract(self) -> Contract:
        return self.manifest.contract

    @property
    def model(self) -> str:
        """Name of the Keras file that this was exported from."""
        return self._model_file.name

    @property
    def model_sha256(self) -> str:
        """SHA-256 of the Keras file that this was exported from."""
        return self._model_file.sha256

    @property
    def _model_file(self) -> ModelFile:
        try:
            return self.manifest.require_model()
        except ArtifactError as error:
            raise ArtifactError(f"{self.path}: {error}") from None

    @property
    def precision(self) -> str:
        return str(self.manifest.precision)

    @property
    def format(self) -> str:
        return self.path.suffix.removeprefix(".")

    @property
    def size_bytes(self) -> int:
        """Of the file; of a folder's model, as its manifest says."""
        return (self.manifest.size_bytes or 0) if self.path.is_dir() else self.path.stat().st_size

    @classmethod
    def open(cls, path: str | Path) -> Artifact:
        """Read the manifest beside `path`; raises ArtifactError when either file is missing or damaged."""
        path = Path(path)
        check_exists(path)
        return cls(path, Manifest.read(path))

    @classmethod
    def write(cls, path: Path, content: bytes, manifest: Manifest) -> Artifact:
        """Write both files atomically. The model comes first, so that a manifest never describes a missing file."""
        complete = manifest.with_sections({"size_bytes": len(content)})
        write_all({path: writer_of(content), manifest_path(path): writer_of(json_text(complete.as_dict()))})
        return cls(path, complete)

    def record(self, name: str, section: JsonObject) -> Artifact:
        """Write `section` under `name` into the manifest. The model file and its SHA-256 do not change.

        Raises ArtifactError when the file was exported again after this was opened: the section is about the old file.
        """
        with locked(self.path.parent, wait=True):
            current = Manifest.read(self.path)
            if current.sha256 != self.manifest.sha256:
                raise ArtifactError(
                    f"{self.path}: was exported again meanwhile; {name} describes the old file and is not recorded"
                )
            complete = current.with_sections({name: section})
            try:
                content = json_text(complete.as_dict()).encode()
            except (ValueError, RecursionError) as error:  # Python reads NaN and lone surrogates, JSON has neither
                reason = f"{manifest_path(self.path)}: cannot be written again ({type(error).__name__})"
                raise ArtifactError(f"{reason}; the manifest is damaged, export the model again") from None
            copy = self.path / MANIFEST
            writers = {item: writer_of(content) for item in (copy, manifest_path(self.path))}
            if not copy.is_file():  # not a folder, or one without
                del writers[copy]
            write_all(writers)
        return Artifact(self.path, complete)

    def take_in(self, other: Artifact) -> Artifact:
        """Remove `other`, a file with the same bytes, and name its precision in this manifest's `also`.

        The caller holds the lock of the folder.
        """
        if other.manifest.sha256 != self.manifest.sha256 or other.path.is_dir():
            raise ArtifactError(f"{other.path}: not the same file as {self.path}")
        complete = self.manifest.with_sections({SECTION: [*other_names(self.manifest), other.precision]})
        write_atomic(manifest_path(self.path), json_text(complete.as_dict()))
        manifest_path(other.path).unlink()
        other.path.unlink()
        return Artifact(self.path, complete)

    @classmethod
    def write_folder(
        cls, path: Path, files: Mapping[str, str | bytes], manifest: Manifest, *, carries_manifest: bool = False
    ) -> Artifact:
        """Write a folder, and last the manifest beside it with the files' SHA-256; all files or none.

        Files of an earlier export that are not among `files` are removed. `carries_manifest`: see `runtime.folder`.
        """
        left: list[Path] = []
        with suppress(ArtifactError):
            left = [path / name for name in Manifest.read(path).files if name not in files and name == Path(name).name]
        contents = {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        complete = manifest.with_sections({"files": hashes})
        writers = {path / name: writer_of(content) for name, content in contents.items()}
        text = writer_of(json_text(complete.as_dict()))
        copy = {path / MANIFEST: text} if carries_manifest else {}
        is_new = not path.exists()
        try:
            write_all({**writers, **copy, manifest_path(path): text})
        except FileError:
            if is_new:
                with suppress(OSError):
                    path.rmdir()
            raise
        for file in left:
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                raise FileError(
                    f"{file}: a file of the old export cannot be removed ({error.strerror}); remove it"
                ) from None
        return cls(path, complete)


def collect(paths: Sequence[str | Path], *, for_devices: bool = False) -> list[Artifact]:
    """Open the artifacts at `paths`: artifacts, and folders of them, which are searched recursively in sorted order.

    With `for_devices`, a search leaves out artifacts that are folders of files, because no device's engine runs them.

    Raises ArtifactError when a folder holds no artifact, or an artifact cannot be opened.
    """
    return [Artifact.open(path) for path in found_at(paths, for_devices)]


def collect_usable(paths: Sequence[str | Path]) -> tuple[list[Artifact], list[str]]:
    """As `collect`, without those in searched folders whose engine is a program that is not here; a line for each.

    Those that `paths` names stay, and all stay if none were left.
    """
    named = set(map(Path, paths))
    found = collect(paths)
    missing = {item.path: ENGINES[engines_for(item.path)[0]] for item in found if item.path not in named}
    missing = {path: engine for path, engine in missing.items() if not program_is_here(engine)}
    usable = [item for item in found if item.path not in missing]
    if not usable:
        return found, []
    lines = [
        f"left out {path}: there is no {engine.title} to run it; run: {engine.install}"
        for path, engine in missing.items()
    ]
    return usable, lines


def collect_readable(paths: Sequence[str | Path]) -> tuple[list[Artifact], list[tuple[Path, ArtifactError]]]:
    """As `collect`, but those that cannot be opened are returned beside the others, with the reason."""
    opened: list[Artifact] = []
    damaged: list[tuple[Path, ArtifactError]] = []
    for path in found_at(paths):
        try:
            opened.append(Artifact.open(path))
        except ArtifactError as error:
            damaged.append((path, error))
    return opened, damaged


def found_at(paths: Sequence[str | Path], for_devices: bool = False) -> list[Path]:
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir() or (is_folder(path) and manifest_path(path).is_file()):
            found.append(path)
            continue
        inside = [
            item
            for item in sorted(path.rglob("[!.]*"))
            if item.suffix in suffixes()
            and is_artifact(item)
            and not any(map(is_folder, item.relative_to(path).parents))
        ]
        if not inside and is_folder(path):
            raise ArtifactError(
                f"{path}: no manifest {manifest_path(path).name} beside it; copy both that `fmnist-edge export` wrote"
            )
        if not inside:
            raise ArtifactError(
                f"{path}: no {', '.join(suffixes())} file in it; `fmnist-edge export MODEL` writes some"
            )
        files = [item for item in inside if not is_folder(item)]
        found += files if files and for_devices else inside
    return found


def tensor_entry(spec: TensorSpec) -> JsonObject:
    return {**asdict(spec), "shape": list(spec.shape)}


def versions_of(packages: Sequence[str]) -> dict[str, str | None]:
    """Map each distribution, and fmnist-edge, to its installed version; None for one that is not installed."""
    versions: dict[str, str | None] = {"fmnist-edge": __version__}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def program_is_here(engine: EngineRecord) -> bool:
    """Whether the PATH has one of the engine's programs; an engine that is no program needs none."""
    return not engine.programs or any(map(shutil.which, engine.programs))
