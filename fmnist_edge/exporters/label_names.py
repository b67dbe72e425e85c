"""The names of a model's classes: from a file, from class folders, or made up."""

from __future__ import annotations

from pathlib import Path

from fmnist_edge.errors import FileError, InputError, one_line

__all__ = ["binary_names", "class_names"]

BINARY_LABELS = ("negative", "positive")


def binary_names(file: Path | None, folders: tuple[str, ...] | None, positive: str | None) -> tuple[str, ...]:
    """Two labels, the positive class second; of two class folders the second one, as in Keras."""
    own = folders if file is None and folders is not None and len(folders) == 2 else None
    names = own or (BINARY_LABELS if file is None else read_names(file))
    if len(names) != 2:
        raise InputError(f"{file}: {len(names)} labels for a binary model; expected two, the positive class last")
    if positive is None:
        return names
    if file is None and own is None and positive not in names:
        return f"not {positive}", positive
    if positive not in names:
        raise InputError(
            f"--positive {positive}: no such label{f' in {file}' if file else ''}; choose from: {', '.join(names)}"
        )
    return names if names[1] == positive else (names[1], names[0])


def class_names(file: Path | None, folders: tuple[str, ...] | None, classes: int) -> tuple[str, ...]:
    if file is None and folders is not None and len(folders) == classes:
        return folders
    if file is None:
        return tuple(f"class {i}" for i in range(classes))
    names = read_names(file)
    if len(names) != classes:
        raise InputError(f"{file}: {len(names)} labels for a model of {classes} classes; expected one per line")
    return names


def read_names(file: Path) -> tuple[str, ...]:
    try:
        return tuple(line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, ValueError) as error:
        raise FileError(f"{file}: not a readable text file ({one_line(error, 80)})") from None
