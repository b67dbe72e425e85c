"""Atomic file writes, and locks that let one run at a time write to a folder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from fmnist_edge.errors import FileError

try:
    import fcntl
except ImportError:  # Windows: files are written in the same way, but there are no locks
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "check_room", "check_writable", "json_text", "locked", "remove_folder", "sha256_of", "write_all", "write_atomic",
    "write_json", "write_via", "writer_of",
]  # fmt: skip

Writer = Callable[[Path], object]

READ_BYTES = 1 << 20


def write_via(path: str | Path, writer: Writer) -> Path:
    """Let `writer` fill a temporary file beside `path`, flush it to disk, then rename it to `path`.

    The temporary file keeps `path`'s suffix, because some libraries choose the format by it.
    Raises FileError when the folder or file cannot be written; `path` is then unchanged.
    """
    write_all({Path(path): writer})
    return Path(path)


def write_all(writers: Mapping[Path, Writer]) -> None:
    """`write_via` for files that belong together: all are filled and flushed, then they are renamed in order.

    Raises FileError when one cannot be written. No file is changed then, unless a rename failed.
    """
    with ExitStack() as stack:
        filled = [(stack.enter_context(temporary_beside(path, writer)), path) for path, writer in writers.items()]
        for temporary, path in filled:
            with reporting_errors(path):
                temporary.replace(path)


@contextmanager
def temporary_beside(path: Path, writer: Writer) -> Iterator[Path]:
    """Yield a temporary file in `path`'s folder, filled by `writer`. It is removed at the end unless renamed."""
    with reporting_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(path)
        handle, temporary = temporary_for(path)
    try:
        with reporting_errors(path):
            writer(temporary)
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)  # mkstemp's 0600 would hide the file from other users
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
        if handle is not None:
            os.close(handle)


@contextmanager
def reporting_errors(path: Path) -> Iterator[None]:
    """Turn an OSError into a FileError that names `path`."""
    try:
        yield
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror or error})") from error


def temporary_for(path: Path) -> tuple[int | None, Path]:
    """(handle that holds the lock, path) of a new file beside `path`. An unlocked file belongs to a killed run."""
    while True:
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
        temporary = Path(name)
        if fcntl is None:
            os.close(handle)  # Windows cannot rename an open file
            return None, temporary
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if temporary.exists():  # another run may have removed it before it was locked
            return handle, temporary
        os.close(handle)


def remove_abandoned(path: Path) -> None:
    """Remove temporary files that killed runs left beside `path`."""
    if fcntl is None:
        return
    pattern = f".{path.stem}.{'?' * 8}{path.suffix}"
    for left in path.parent.glob(pattern):
        with suppress(OSError):
            handle = os.open(left, os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()
            finally:
                os.close(handle)


@contextmanager
def locked(folder: str | Path, *, wait: bool = False) -> Iterator[None]:
    """Lock `folder` for one run at a time; it is created if missing. The lock is no file and ends with its process.

    Raises FileError when the folder cannot be created or read and, unless `wait`, when another run holds the lock.
    Do not nest.
    """
    handle = locked_handle(Path(folder), wait)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def locked_handle(folder: Path, wait: bool) -> int | None:
    """Open and lock the folder; returns the handle, or None where the system has no locks."""
    while True:
        with reporting_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if fcntl is None:
                return None
            handle = os.open(folder, os.O_RDONLY)
        try:
            lock(handle, folder, wait)
            if is_same_folder(handle, folder):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # the previous run removed the folder while we waited


def lock(handle: int, folder: Path, wait: bool) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise FileError(f"{folder}: another run writes to it; wait until it is done, or name another folder") from None
    except OSError:
        return  # a file system without locks


def is_same_folder(handle: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), folder.stat())
    except FileNotFoundError:
        return False


def remove_folder(folder: str | Path) -> None:
    """Remove a folder. It is renamed first, so that it disappears at once; a missing folder is no error."""
    folder = Path(folder)
    doomed = folder.with_name(f".{folder.name}.removed")
    shutil.rmtree(doomed, ignore_errors=True)  # left by a killed run
    with suppress(FileNotFoundError):
        folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def write_atomic(path: str | Path, content: bytes | str) -> Path:
    """Write `content` (text as UTF-8) to `path` atomically."""
    return write_via(path, writer_of(content))


def writer_of(content: bytes | str) -> Writer:
    data = content.encode() if isinstance(content, str) else content
    return lambda temporary: temporary.write_bytes(data)


def write_json(path: str | Path, value: object) -> Path:
    """Write `value` as indented JSON. Raises ValueError for NaN and infinity, which JSON does not have."""
    return write_atomic(path, json_text(value))


def json_text(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def check_writable(folder: str | Path) -> None:
    """Raises FileError unless `folder` is writable. For work that runs for minutes before it writes."""
    probe = Path(folder) / ".writable"
    write_atomic(probe, b"")
    probe.unlink(missing_ok=True)  # another run may have removed it


def check_room(folder: str | Path, size: int) -> None:
    """Raises FileError unless `folder` has `size` bytes free. For libraries that crash when the disk is full."""
    with reporting_errors(Path(folder)), tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()
