"""Files are the old one or the new one, never half of either."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fmnist_edge.errors import FileError

__all__ = ["check_writable", "sha256_of", "write_atomic", "write_json", "write_via"]

READ_BYTES = 1 << 20


def write_via(path: str | Path, writer: Callable[[Path], object]) -> Path:
    """Let `writer` fill a temporary file beside `path`, flush it to disk, then rename it over `path`.

    The temporary file keeps `path`'s suffix, because some savers go by it.
    Raises FileError when the folder or file cannot be written; `path` is then untouched.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        writer(temporary)
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp's 0600 would hide the file from other users
        temporary.replace(path)
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return path


def write_atomic(path: str | Path, content: bytes | str) -> Path:
    """Write `content` (text as UTF-8) to `path` atomically."""
    data = content.encode() if isinstance(content, str) else content

    def writer(temporary: Path) -> None:
        temporary.write_bytes(data)

    return write_via(path, writer)


def write_json(path: str | Path, value: Any) -> Path:
    """Write `value` as indented JSON; NaN and infinity are refused, they are not JSON."""
    return write_atomic(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def check_writable(folder: str | Path) -> None:
    """Raises FileError unless a file can be made in `folder`: for work that takes minutes before it writes."""
    probe = Path(folder) / ".writable"
    write_atomic(probe, b"")
    probe.unlink()


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()
