"""Temporary files and folders. An error names the folder that cannot be written and says how to choose another."""

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

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MIN_FREE = 1 << 16  # bytes; with less free, a failed program is assumed to have failed because of it


@contextmanager
def temporary_folder(purpose: str = "") -> Iterator[Path]:
    """Create a folder and remove it at the end; `purpose` is part of its name.

    Raises TemporaryFileError when it cannot be created, and when the disk is full while it is in use.
    """
    with reporting_errors():
        made = tempfile.TemporaryDirectory(prefix=f"fmnist-edge-{purpose}-" if purpose else "fmnist-edge-")
    with made as name:
        folder = Path(name)
        try:
            yield folder
        except (OSError, FileError) as error:
            cause = error.__cause__ if str(error).startswith(name) else error  # from fmnist_edge.files
            if isinstance(cause, OSError) and cause.errno in DISK_FULL:
                raise temporary_error(cause) from None
            raise


@contextmanager
def temporary_file(name: str, content: bytes) -> Iterator[Path]:
    """Write a file into its own temporary folder, for libraries that only read from disk.

    Raises TemporaryFileError when it cannot be written.
    """
    with reporting_errors():
        made = tempfile.TemporaryDirectory(prefix="fmnist-edge-")
    with made as folder:
        path = Path(folder) / name
        with reporting_errors():
            path.write_bytes(content)
        yield path


def temporary_stream(mode: str = "w+b") -> IO[Any]:
    """An open file without a name. Raises TemporaryFileError when it cannot be created."""
    with reporting_errors():
        return tempfile.TemporaryFile(mode)


def write_temporary(path: Path, save: Callable[[Any], object]) -> Path:
    """Call `save` with an object whose only method is `write`, which writes to `path`.

    For `np.save`: with a path or a file, NumPy writes in C and does not notice a full disk.
    Raises TemporaryFileError when `path` cannot be written.
    """
    with reporting_errors(), open(path, "wb") as file:
        save(SimpleNamespace(write=file.write))
    return path


@contextmanager
def reporting_errors() -> Iterator[None]:
    """Turn an OSError into a TemporaryFileError. For code that only writes to a temporary folder."""
    try:
        yield
    except OSError as error:
        raise temporary_error(error) from None


def check_room(size: int = MIN_FREE) -> None:
    """Raises TemporaryFileError unless `size` bytes are free. Without room, libraries crash or blame the model."""
    with temporary_stream() as file, reporting_errors():
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)


def temporary_error(error: OSError) -> TemporaryFileError:
    try:
        folder = tempfile.gettempdir()
    except OSError:  # no folder that Python tries is writable
        folder = os.environ.get("TMPDIR", "/tmp")
    return TemporaryFileError(f"{folder}: cannot be written ({error.strerror or error}); choose another: TMPDIR=FOLDER")
