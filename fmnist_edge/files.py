"""Files are the old one or the new one, never half of either; and one run at a time writes to a folder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from fmnist_edge.errors import FileError

try:
    import fcntl
except ImportError:  # Windows: files are written as anywhere, runs do not notice each other
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "check_room", "check_writable", "json_text", "locked", "refusing_temporary", "remove_folder", "sha256_of",
    "write_all", "write_atomic", "write_json", "write_via", "writer_of",
]  # fmt: skip

Writer = Callable[[Path], object]

READ_BYTES = 1 << 20


def write_via(path: str | Path, writer: Writer) -> Path:
    """Let `writer` fill a temporary file beside `path`, flush it to disk, then rename it over `path`.

    The temporary file keeps `path`'s suffix, because some savers go by it.
    Raises FileError when the folder or file cannot be written; `path` is then untouched.
    """
    write_all({Path(path): writer})
    return Path(path)


def write_all(writers: Mapping[Path, Writer]) -> None:
    """`write_via` for files that belong together: all are filled and flushed before the first is renamed, in order.

    Raises FileError as it does; no file is then touched, unless it is a rename that fails.
    """
    with ExitStack() as stack:
        filled = [(stack.enter_context(beside(path, writer)), path) for path, writer in writers.items()]
        for temporary, path in filled:
            with refusing(path):
                temporary.replace(path)


@contextmanager
def beside(path: Path, writer: Writer) -> Iterator[Path]:
    """A temporary file in `path`'s folder with what `writer` writes; gone at the end, unless it was renamed."""
    with refusing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path)
        handle, temporary = temporary_for(path)
    try:
        with refusing(path):
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
def refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror or error})") from error


@contextmanager
def refusing_temporary(folder: Path) -> Iterator[None]:
    """`refusing`, for what is written outside the folders that the user named."""
    try:
        yield
    except OSError as error:
        raise FileError(f"{folder}: cannot be written ({error.strerror or error}); set TMPDIR elsewhere") from None


def temporary_for(path: Path) -> tuple[int | None, Path]:
    """A new file beside `path`, and what holds its lock: a file that nobody locks is of a killed run."""
    while True:
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
        temporary = Path(name)
        if fcntl is None:
            os.close(handle)  # where there are no locks, no file that is open can be renamed either
            return None, temporary
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if temporary.exists():  # else another run took it for a killed one's, in the moment before it was locked
            return handle, temporary
        os.close(handle)


def sweep(path: Path) -> None:
    """Remove what killed runs left beside `path`."""
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
    """One run at a time in `folder`, which is made. No file is left behind, and a killed run holds nothing.

    Raises FileError when another run has it, unless `wait`, and when it cannot be made or read. Not to be nested.
    """
    handle = taken(Path(folder), wait)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def taken(folder: Path, wait: bool) -> int | None:
    """The folder's handle, locked; None where the system has no locks."""
    while True:
        with refusing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if fcntl is None:
                return None
            handle = os.open(folder, os.O_RDONLY)
        try:
            take(handle, folder, wait)
            if same(handle, folder):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # the run before removed the folder that was waited for


def take(handle: int, folder: Path, wait: bool) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise FileError(f"{folder}: another run writes to it; wait until it is done, or name another folder") from None
    except OSError:
        return  # a file system without locks


def same(handle: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), folder.stat())
    except FileNotFoundError:
        return False


def remove_folder(folder: str | Path) -> None:
    """Remove a folder at once, as far as anyone who looks for it by its name can tell; nothing where there is none."""
    folder = Path(folder)
    doomed = folder.with_name(f".{folder.name}.removed")
    shutil.rmtree(doomed, ignore_errors=True)  # of a run that was killed here
    with suppress(FileNotFoundError):
        folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def write_atomic(path: str | Path, content: bytes | str) -> Path:
    """Write `content` (text as UTF-8) to `path` atomically."""
    return write_via(path, writer_of(content))


def writer_of(content: bytes | str) -> Writer:
    data = content.encode() if isinstance(content, str) else content
    return lambda temporary: temporary.write_bytes(data)


def write_json(path: str | Path, value: Any) -> Path:
    """Write `value` as indented JSON; NaN and infinity are refused, they are not JSON."""
    return write_atomic(path, json_text(value))


def json_text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def check_writable(folder: str | Path) -> None:
    """Raises FileError unless a file can be made in `folder`: for work that takes minutes before it writes."""
    probe = Path(folder) / ".writable"
    write_atomic(probe, b"")
    probe.unlink(missing_ok=True)  # two runs may try at once


def check_room(folder: str | Path, size: int) -> None:
    """Raises FileError unless `size` bytes more fit into `folder`: before libraries write that a full disk crashes."""
    with refusing(Path(folder)), tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()
