"""Models that are no files on disk: bytes, open files, and files inside a package or zip (`importlib.resources`)."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Union

from fmnist_edge.errors import FileError, FmnistEdgeError, InputError
from fmnist_edge.runtime.engine import Engine
from fmnist_edge.runtime.engine_catalog import ENGINES
from fmnist_edge.runtime.engines.tflite_file import IDENTIFIER
from fmnist_edge.runtime.loading import LARGEST_FILE, read_whole
from fmnist_edge.runtime.manifest import manifest_path
from fmnist_edge.worker.temporary import temporary_file, write_temporary

__all__ = ["Given", "ModelSource"]


class Resource(Protocol):
    """A file of importlib.resources, whose class has moved from one Python to the next."""

    @property
    def name(self) -> str: ...
    def read_bytes(self) -> bytes: ...


ModelSource = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, BinaryIO, Resource]

EXPECTED = "expected a path, bytes, a file opened in binary mode, or a file of importlib.resources"
MEMBERS = {"model.param": ".ncnn", "config.json": ".keras"}  # by which a zip file is told


@dataclass(frozen=True)
class Given:
    """A model's content, its manifest's if there is one, and its name in messages."""

    name: str
    content: bytes
    manifest: bytes | None

    @classmethod
    def of(cls, model: Any, manifest: Any, engine: str | None) -> Given:
        """Read `model`, and `manifest` or else the manifest beside the model.

        Raises InputError for other types and an unknown format, FileError when one cannot be read.
        """
        name, content, beside = read(model, "model")
        if not name:
            name = f"model{suffix_of(content, engine)}"
        return cls(name, content, beside if manifest is None else read(manifest, "manifest")[1])

    def load(self, engine: str, threads: int | None) -> Engine:
        """The model in one more engine, as a forked child needs it."""
        with self.on_disk() as path:
            return ENGINES[engine].load(path, threads)

    @contextmanager
    def on_disk(self) -> Iterator[Path]:
        """The model with its manifest as temporary files, because engines read files. Errors have its own name."""
        with temporary_file(Path(self.name).name, self.content) as path:
            if self.manifest is not None:
                write_temporary(manifest_path(path), lambda file: file.write(self.manifest))
            try:
                yield path
            except FmnistEdgeError as error:
                raise type(error)(str(error).replace(str(path), self.name)) from None


def read(given: Any, what: str) -> tuple[str, bytes, bytes | None]:
    """(name, "" if it has none; content; content of the manifest beside it)"""
    if isinstance(given, (str, os.PathLike)):
        path = Path(given)
        return str(path), read_whole(path), None
    if isinstance(given, (bytes, bytearray, memoryview)):
        return "", bytes(given), None
    try:
        if hasattr(given, "joinpath") and hasattr(given, "read_bytes"):
            return given.name, given.read_bytes(), beside_resource(given)
        if hasattr(given, "read"):
            content = given.read(LARGEST_FILE + 1)
            if not isinstance(content, bytes):
                raise InputError(f"{what} is a file that gives {type(content).__name__}; open it in binary mode, 'rb'")
            beside = path_of(given)
            return str(beside or ""), content, manifest_of(beside)
    except (OSError, KeyError, ValueError) as error:  # KeyError: zipfile's, for a missing member
        name = getattr(given, "name", what)
        raise FileError(f"{name}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    raise InputError(f"{what} is {type(given).__name__}; {EXPECTED}")


def beside_resource(resource: Any) -> bytes | None:
    parent = getattr(resource, "parent", None)  # not every Traversable has one
    beside = None if parent is None else parent.joinpath(f"{resource.name}.json")
    return beside.read_bytes() if beside is not None and beside.is_file() else None


def path_of(file: Any) -> Path | None:
    """The path of an open file; None for one that has none, or whose name is not that of a file on disk."""
    try:
        name = file.name
        if isinstance(name, str) and os.path.samestat(os.fstat(file.fileno()), Path(name).stat()):
            return Path(name)
    except (AttributeError, OSError, ValueError):
        pass
    return None


def manifest_of(path: Path | None) -> bytes | None:
    return manifest_path(path).read_bytes() if path is not None and manifest_path(path).is_file() else None


def suffix_of(content: bytes, engine: str | None) -> str:
    """The suffix that goes with the content: by its first bytes, or the `engine`'s first one.

    Raises InputError when neither tells.
    """
    if content[4:8] == IDENTIFIER:
        return ".tflite"
    if content[:2] == b"PK" and zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found = [suffix for member, suffix in MEMBERS.items() if member in archive.namelist()]
        if found:
            return found[0]
    if engine is not None:
        return ENGINES[engine].suffixes[0]
    if content[:1] == b"\x08":  # ir_version, the first field of ONNX's ModelProto
        return ".onnx"
    raise InputError("the model's bytes are of no format that can be told by them; name the engine, as engine='mnn'")
