"""`project.toml`: what `export` was told about a model and its data, kept beside its artifacts for other commands.

Paths in the file are relative to its folder. It can be written by hand.
"""

from __future__ import annotations

import json
import math
import os
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Union

from fmnist_edge.errors import FileError, InputError, one_line
from fmnist_edge.files import write_atomic
from fmnist_edge.runtime.images import FITS, RESIZES
from fmnist_edge.runtime.preprocess import ORDERS
from fmnist_edge.runtime.presets import MODEL, PRESETS
from fmnist_edge.runtime.tasks import TASKS

__all__ = ["FILE", "KEYS", "Key", "Project", "Value", "project_beside"]

FILE = "project.toml"
LARGEST = 1 << 20  # bytes
HEADER = """\
# What is known of a model and its data. `check`, `explain`, `bench` and `matrix` read it for the artifacts in this
# folder; `export FILE.toml` takes it, too. Options on the command line override it. Paths are relative to this file.
"""
Value = Union[str, float, tuple[float, ...]]


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class Key:
    """One key of the file.

    Attributes:
        about: comment in the file.
        kind: "path", "text", "number" or "numbers": one, or a list of several.
        choices: the texts that it can be; empty for any.
    """

    about: str
    kind: str = "path"
    choices: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        expected = {
            "path": "a path, as a text in quotes",
            "number": "a finite number",
            "numbers": "a finite number, or a list of them such as [1.0, 2.0]",
        }
        return expected.get(self.kind, "a text in quotes")

    def accepts(self, value: object) -> bool:
        if self.kind == "numbers" and isinstance(value, list):
            return bool(value) and all(map(is_number, value))
        if self.kind in ("number", "numbers"):
            return is_number(value)
        return isinstance(value, str) and value != "" and "\0" not in value and (value in (self.choices or (value,)))


KEYS: dict[str, Key] = {
    "model": Key("the Keras model"),
    "train": Key("training images, some of which set the ranges of integer precisions"),
    "test": Key("test images"),
    "test_labels": Key("classes of the test images, if the images are an array"),
    "labels": Key("names of the classes, one per line, in the order of the output"),
    "task": Key("what the outputs mean", "text", TASKS),
    "positive": Key("the positive class of a binary model", "text"),
    "threshold": Key("what a probability must exceed, for a binary or multilabel model", "numbers"),
    "input": Key("what the model takes", "text", ("image", "numbers")),
    "preprocess": Key("how pixels become the model's input", "text", (*PRESETS, MODEL)),
    "scale": Key("the model's input is (pixel * scale - mean) / std", "number"),
    "mean": Key("one number, or one for each channel", "numbers"),
    "std": Key("one number, or one for each channel", "numbers"),
    "channel_order": Key("of the model's channels", "text", ORDERS),
    "resize": Key("filter for images of another size", "text", RESIZES),
    "fit": Key("how images of another shape get the model's", "text", FITS),
    "fill": Key("colour of the bars of a letterbox", "numbers"),
    "polarity": Key("of the training images", "text", ("light-on-dark", "dark-on-light", "either")),
    "tune_accuracy": Key("percentage points of accuracy that int8 may lose", "number"),
    "budget": Key("minutes for the remedies of tune_accuracy", "number"),
}


@dataclass(frozen=True)
class Project:
    """What a project file says.

    Attributes:
        path: of the file.
        values: of its keys, see KEYS. A path is as commands take it: absolute, or relative to the current folder.
    """

    path: Path
    values: Mapping[str, Value]

    @classmethod
    def read(cls, path: Path) -> Project | None:
        """Read a file; None on Python before 3.11, which has no tomllib.

        Raises FileError when it cannot be read, InputError for an unknown key and for a wrong value.
        """
        try:
            import tomllib  # novm
        except ImportError:
            return None
        try:
            with open(path, "rb") as file:
                content = file.read(LARGEST + 1)
            if len(content) > LARGEST:
                raise FileError(f"{path}: more than {LARGEST:,} bytes; expected a project file")
            found = tomllib.loads(content.decode("utf-8"))
        except OSError as error:
            raise FileError(f"{path}: cannot be read ({error.strerror or error})") from None
        except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
            raise FileError(f"{path}: not a readable TOML file ({one_line(error, 100)})") from None
        values = {name: checked(path, name, value) for name, value in found.items()}
        if "test_labels" in values and "test" not in values:
            raise InputError(f"{path}: test_labels without test; expected test images for them")
        return cls(path, values)

    def existing(self, key: str) -> str | None:
        """The path under `key`; None if the file does not have the key. Raises InputError when nothing is there."""
        value = self.values.get(key)
        if value is None:
            return None
        try:
            there = Path(str(value)).exists()
        except OSError:
            there = False
        if not there:
            raise InputError(
                f"{self.path}: {key} is {str(value)!r}: no such file; expected a path relative to this file"
            )
        return str(value)

    def text(self) -> str:
        """The file's content. Raises InputError for a path that is not UTF-8."""
        lines = [HEADER]
        for name, key in KEYS.items():
            if name in self.values:
                about = f"  # {key.about}" if key.about else ""
                lines.append(f"{name} = {self._written(name, self.values[name])}{about}\n")
        return "".join(lines)

    def write(self) -> None:
        """Write the file, unless it says the same already: the user's comments stay. Raises FileError."""
        before = None if not self.path.exists() else Project.read(self.path)
        if before is None or before.text() != self.text():
            write_atomic(self.path, self.text())

    def _written(self, name: str, value: Value) -> str:
        if isinstance(value, str):
            return quoted(relative(value, self.path) if KEYS[name].kind == "path" else value, f"{self.path}: {name}")
        return repr(list(value) if isinstance(value, tuple) else value)


def project_beside(artifact: Path) -> Project | None:
    """The project file in an artifact's folder; None if there is none. Raises what `Project.read` raises."""
    path = artifact.parent / FILE
    return Project.read(path) if path.is_file() else None


def checked(path: Path, name: str, value: object) -> Value:
    key = KEYS.get(name)
    if key is None:
        raise InputError(f"{path}: unknown key {reprlib.repr(name)}; expected {', '.join(KEYS)}")
    if not key.accepts(value):
        raise InputError(f"{path}: {name} is {reprlib.repr(value)}; expected {key.expected}")
    if isinstance(value, str):
        return resolved(value, path) if key.kind == "path" else value
    if isinstance(value, list):
        return tuple(map(float, value))
    return float(value)  # type: ignore[arg-type]  # `accepts` has checked it


def resolved(value: str, path: Path) -> str:
    """A path of the file, as commands take it: relative to the current folder where it is below that."""
    folder, parts = path.parent.resolve(), Path(value).parts
    while parts and parts[0] == "..":  # of the real folder, so that this is right where a link leads to it
        folder, parts = folder.parent, parts[1:]
    full, here = folder.joinpath(*parts), Path.cwd()
    return str(full.relative_to(here) if here in full.parents else full)


def relative(value: str, path: Path) -> str:
    """A path for the file: relative to its folder, with slashes; absolute on another drive of Windows."""
    full = Path(value).resolve() if ".." in Path(value).parts else Path.cwd() / value
    try:
        return Path(os.path.relpath(full, path.parent.resolve())).as_posix()
    except ValueError:
        return str(full)


def quoted(text: str, where: str) -> str:
    """A text as a TOML basic string. JSON escapes the same way, but leaves DEL, which TOML does not take.

    >>> print(quoted('say "hi"', ""))
    "say \\\\"hi\\\\""
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{where}: {text!r} is not UTF-8, and cannot be written; rename the file") from None
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
