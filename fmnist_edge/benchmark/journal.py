"""The journal of a run: one JSON line per measurement. A crash, Ctrl-C or a full disk loses at most the last line."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from fmnist_edge.aliases import JsonObject
from fmnist_edge.errors import FileError

__all__ = ["SUFFIX", "Journal", "artifacts_of", "resume_command"]

SUFFIX = ".partial.jsonl"


def resume_command(path: Path) -> str:
    """The command that continues the run whose journal is `path`."""
    return f"fmnist-edge bench --resume {path}"


class Journal:
    """A file to which whole lines are appended. Make one with `create` or `read`.

    Attributes:
        path: the file.
        lines: number of entries, without the header.
    """

    def __init__(self, path: Path, lines: int) -> None:
        self.path, self.lines = path, lines

    @classmethod
    def create(cls, path: Path, header: JsonObject) -> Journal:
        """Create a file that begins with `header`. Raises FileError when it exists already or cannot be written."""
        if path.exists():
            raise FileError(f"{path}: exists; continue with `{resume_command(path)}`, or delete it")
        journal = cls(path, 0)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            journal._write(header)
        except OSError as error:
            with suppress(OSError):
                path.unlink()
            raise FileError(f"{path}: cannot be written ({error.strerror or error})") from None
        return journal

    @classmethod
    def read(cls, path: Path) -> tuple[Journal, JsonObject, list[JsonObject]]:
        """Open an existing journal to continue it; returns it with its header and its entries.

        An incomplete last line is dropped. Raises FileError when the file cannot be read or written, or is no journal.
        """
        try:
            content = path.read_bytes()
            whole = content[: content.rfind(b"\n") + 1]
            header, *entries = [json.loads(line) for line in whole.splitlines()]
            with open(path, "r+b") as file:
                file.truncate(len(whole))
        except FileNotFoundError:
            raise FileError(f"{path}: no such file; `fmnist-edge bench` names the file of an interrupted run") from None
        except OSError as error:
            raise FileError(f"{path}: cannot be read and written ({error.strerror or error})") from None
        except (ValueError, RecursionError):
            raise FileError(f"{path}: not the {SUFFIX} file of an interrupted run") from None
        if not all(isinstance(item, dict) for item in (header, *entries)):
            raise FileError(f"{path}: not the {SUFFIX} file of an interrupted run")
        return cls(path, len(entries)), header, entries

    def append(self, entry: JsonObject) -> None:
        """Append a line. Raises FileError when it cannot be written, as on a full disk; earlier lines stay."""
        try:
            self._write(entry)
        except OSError as error:
            raise FileError(
                f"{self.path}: cannot be written ({error.strerror or error}); it keeps the {self.lines} measurements "
                f"made before; free some space, then run: {resume_command(self.path)}"
            ) from None
        self.lines += 1

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def _write(self, value: JsonObject) -> None:
        line = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        with open(self.path, "ab") as file:
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def artifacts_of(path: Path) -> list[Path]:
    """The artifacts of the interrupted run whose journal is `path`. Raises FileError for another file."""
    try:
        return list(dict.fromkeys(Path(cell["artifact"]) for cell in Journal.read(path)[1]["cells"]))
    except (KeyError, TypeError, IndexError) as error:
        raise FileError(f"{path}: not the file of an interrupted run ({type(error).__name__} at {error})") from None
