"""Temporary files and folders. An error says which folder cannot be written, and how to choose another."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

from fmnist_edge.errors import FileError, TemporaryFileError

__all__ = ["check_room", "temporary_file", "temporary_folder", "temporary_stream", "write_temporary"]

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
ROOM = 1 << 16  # bytes; where less is left, a program that failed is taken to have failed for it


@contextmanager
def temporary_folder(purpose: str = "") -> Iterator[Path]:
    """A folder that is gone at the end; `purpose` is in its name.

    Raises TemporaryFileError where it cannot be made, and where what is written in it finds no room.
    """
    with refusing():
        made = tempfile.TemporaryDirectory(prefix=f"fmnist-edge-{purpose}-" if purpose else "fmnist-edge-")
    with made as name:
        folder = Path(name)
        try:
            yield folder
        except (OSError, FileError) as error:
            cause = error.__cause__ if str(error).startswith(name) else error  # of what writes files with care
            if isinstance(cause, OSError) and cause.errno in FULL:
                raise refusal(cause) from None
            raise


@contextmanager
def temporary_file(name: str, content: bytes) -> Iterator[Path]:
    """A file in a temporary folder of its own, for libraries that read from disk only.

    Raises TemporaryFileError where it cannot be written.
    """
    with refusing():
        made = tempfile.TemporaryDirectory(prefix="fmnist-edge-")
    with made as folder:
        path = Path(folder) / name
        with refusing():
            path.write_bytes(content)
        yield path


def temporary_stream(mode: str = "w+b") -> IO[Any]:
    """An open file without a name. Raises TemporaryFileError where it cannot be made."""
    with refusing():
        return tempfile.TemporaryFile(mode)


def write_temporary(path: Path, save: Callable[[Any], object]) -> Path:
    """Let `save` write to an object that has `write` alone, and keep it in `path`.

    For `np.save`: given a path or a file, NumPy writes by itself, and does not notice that a disk is full.
    Raises TemporaryFileError.
    """
    with refusing(), open(path, "wb") as file:
        save(SimpleNamespace(write=file.write))
    return path


@contextmanager
def refusing() -> Iterator[None]:
    """Raises TemporaryFileError in place of any OSError: around what only writes to a temporary folder."""
    try:
        yield
    except OSError as error:
        raise refusal(error) from None


def check_room(size: int = ROOM) -> None:
    """Raises TemporaryFileError unless `size` bytes more fit: for libraries that crash or blame the model instead."""
    with temporary_stream() as file, refusing():
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)


def refusal(error: OSError) -> TemporaryFileError:
    try:
        folder = tempfile.gettempdir()
    except OSError:  # nor can any other that Python tries
        folder = os.environ.get("TMPDIR", "/tmp")
    return TemporaryFileError(f"{folder}: cannot be written ({error.strerror or error}); choose another: TMPDIR=FOLDER")
