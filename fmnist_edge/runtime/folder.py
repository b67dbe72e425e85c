"""Artifacts that are folders of files, such as C sources: their content as one sequence of bytes.

The content of a folder is its files in sorted order, each as name, size and bytes. Its SHA-256 is the artifact's. So a
file that is added, removed, renamed or altered changes the hash.

A folder that is put on a web server carries a copy of its manifest, `manifest.json`. It names the folder's hash, so it
is not part of the content.
"""

from __future__ import annotations

import io
import stat
from collections.abc import Mapping
from pathlib import Path

from fmnist_edge.errors import ArtifactError

__all__ = ["MANIFEST", "altered_files", "pack", "read_folder", "sha256_of_files", "unpack"]

MAGIC = b"fmnist-edge folder 1\n"
MANIFEST = "manifest.json"
MOST_FILES = 256
LARGEST = 1 << 30  # bytes of all files


def pack(files: Mapping[str, bytes]) -> bytes:
    """File name -> content, as one sequence of bytes.

    >>> unpack(pack({"b.c": b"int b;", "a.h": b""}))
    {'a.h': b'', 'b.c': b'int b;'}
    """
    parts = [MAGIC]
    for name, content in sorted(files.items()):
        parts += [f"{len(name.encode())} {len(content)}\n".encode(), name.encode(), content]
    return b"".join(parts)


def unpack(content: bytes) -> dict[str, bytes]:
    """File name -> content, from what `pack` returned. Raises ArtifactError for anything else."""
    file, found = io.BytesIO(content), {}
    if file.read(len(MAGIC)) != MAGIC:
        raise ArtifactError("not the content of a folder")
    while line := file.readline():
        name, size = (int(number) for number in line.split())
        key = file.read(name).decode()
        found[key] = file.read(size)
    return found


def sha256_of_files(files: Mapping[str, bytes]) -> str:
    """The SHA-256 of a folder's content."""
    import hashlib  # imported here, because it loads OpenSSL

    return hashlib.sha256(pack(files)).hexdigest()


def altered_files(content: bytes, expected: Mapping[str, str]) -> str:
    """What differs from the manifest's `files` (name -> SHA-256), such as "a.out was added"; "" for nothing."""
    import hashlib  # imported here, because it loads OpenSSL

    found = {name: hashlib.sha256(text).hexdigest() for name, text in unpack(content).items()}
    changes = [f"{shown(name)} was added" for name in found if name not in expected]
    changes += [f"{shown(name)} is missing" for name in expected if name not in found]
    changes += [f"{shown(name)} was altered" for name in found if found[name] != expected.get(name, found[name])]
    return ", ".join(changes[:3])


def shown(name: str) -> str:
    """A file's name for a message; one with line breaks or other control characters in quotes."""
    return name if name.isprintable() else repr(name)


def read_folder(path: str | Path) -> bytes:
    """The content of the folder at `path`.

    Raises ArtifactError when it cannot be read, is too large, or holds anything but plain files.
    """
    files: dict[str, bytes] = {}
    left = LARGEST
    try:
        entries = sorted(Path(path).iterdir())
        if len(entries) > MOST_FILES:
            raise ArtifactError(f"{path}: {len(entries):,} files in it; expected {MOST_FILES} at most")
        for entry in entries:
            if not stat.S_ISREG(entry.lstat().st_mode):
                raise ArtifactError(
                    f"{path}: {shown(entry.name)} is not a plain file; an exported folder holds nothing else, "
                    "export it again"
                )
            if entry.name == MANIFEST:
                continue
            with open(entry, "rb") as file:
                files[entry.name] = file.read(left + 1)
            left -= len(files[entry.name])
            if left < 0:
                raise ArtifactError(f"{path}: its files have more than {LARGEST:,} bytes")
        return pack(files)
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeEncodeError:
        raise ArtifactError(f"{path}: has a file whose name is not UTF-8; export it again") from None
