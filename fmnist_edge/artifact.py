"""An exported file and its manifest: what export writes, check and bench read, devices trust."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from fmnist_edge import __version__
from fmnist_edge.errors import ArtifactError
from fmnist_edge.files import json_text, locked, write_all, write_json, writer_of
from fmnist_edge.runtime.contract import SCHEMA, Contract, manifest_path, read_manifest
from fmnist_edge.runtime.engine import TensorSpec
from fmnist_edge.runtime.engine_catalog import suffixes

__all__ = ["Artifact", "collect", "versions_of"]


@dataclass(frozen=True)
class Artifact:
    """A model file and the manifest that describes it."""

    path: Path
    manifest: dict[str, Any]

    @property
    def contract(self) -> Contract:
        return Contract.from_dict(self.manifest.get("contract"))

    @property
    def model(self) -> str:
        return str(self._section("model").get("name"))

    @property
    def model_sha256(self) -> str:
        """SHA-256 of the Keras file it was made from."""
        return str(self._section("model").get("sha256"))

    @property
    def precision(self) -> str:
        return str(self.manifest.get("precision"))

    @property
    def format(self) -> str:
        return self.path.suffix.removeprefix(".")

    @property
    def size_bytes(self) -> int:
        return self.path.stat().st_size

    def _section(self, key: str) -> dict[str, Any]:
        value = self.manifest.get(key)
        if not isinstance(value, dict):
            raise ArtifactError(f"{self.path}: its manifest has no {key!r} section; export the model again")
        return value

    @classmethod
    def open(cls, path: str | Path) -> Artifact:
        """Read the manifest beside `path`; raises ArtifactError when either file is missing or damaged."""
        path = Path(path)
        if not path.is_file():
            raise ArtifactError(f"{path}: no such file; `fmnist-edge export MODEL` writes one")
        return cls(path, read_manifest(path))

    @classmethod
    def write(cls, path: Path, content: bytes, manifest: dict[str, Any]) -> Artifact:
        """Write both files atomically, the model first: a manifest never describes a file that is not there yet."""
        complete = {"schema": SCHEMA, "artifact": path.name, **manifest, "size_bytes": len(content)}
        write_all({path: writer_of(content), manifest_path(path): writer_of(json_text(complete))})
        return cls(path, complete)

    def record(self, name: str, section: dict[str, Any]) -> Artifact:
        """Write `section` under `name` into the manifest; the model file and its SHA-256 stay as they are.

        Raises ArtifactError when the file was exported anew since this was opened: the section is about the old one.
        """
        with locked(self.path.parent, wait=True):
            current = read_manifest(self.path)
            if current["sha256"] != self.manifest["sha256"]:
                raise ArtifactError(
                    f"{self.path}: was exported again meanwhile; {name} of the old file is not recorded"
                )
            complete = {**current, name: section}
            write_json(manifest_path(self.path), complete)
        return Artifact(self.path, complete)

    @classmethod
    def write_folder(cls, path: Path, files: dict[str, str], manifest: dict[str, Any]) -> Artifact:
        """Write a folder of texts, all or none, and last the manifest beside it with their SHA-256."""
        hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
        complete = {"schema": SCHEMA, "artifact": path.name, **manifest, "files": hashes}
        texts = {path / name: writer_of(text.encode()) for name, text in files.items()}
        write_all({**texts, manifest_path(path): writer_of(json_text(complete))})
        return cls(path, complete)


def collect(paths: Sequence[str | Path]) -> list[Artifact]:
    """Artifacts named by file, or found in the named folders (below them, sorted).

    Raises ArtifactError when a folder holds none.
    """
    found: list[Artifact] = []
    for path in map(Path, paths):
        if not path.is_dir():
            found.append(Artifact.open(path))
            continue
        inside = [item for item in sorted(path.rglob("[!.]*")) if item.suffix in suffixes() and item.is_file()]
        if not inside:
            raise ArtifactError(
                f"{path}: no {', '.join(suffixes())} file in it; `fmnist-edge export MODEL` writes some"
            )
        found += [Artifact.open(item) for item in inside]
    return found


def tensor_entry(spec: TensorSpec) -> dict[str, Any]:
    return {**asdict(spec), "shape": list(spec.shape)}


def versions_of(packages: Sequence[str]) -> dict[str, str | None]:
    """Installed version per distribution, ours included; None for what is not installed."""
    versions: dict[str, str | None] = {"fmnist-edge": __version__}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return versions
