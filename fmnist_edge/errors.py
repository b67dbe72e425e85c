"""Every error this package raises on purpose.

FmnistEdgeError                 anything below; `.exit_code` is what the command line exits with
├── InputError          (2)     an argument, array, image or name is wrong
│   └── UnknownNameError        a name that does not exist; the message lists those that do
├── FileError           (2)     a file is missing, truncated, corrupt, hostile, or cannot be written
│   ├── DataError               a Fashion-MNIST file is not the published one
│   ├── CheckpointError         a .keras / .h5 / SavedModel that cannot be loaded safely
│   ├── ArtifactError           an exported model file or its manifest that cannot be trusted or loaded
│   └── TemporaryFileError      no room, or no right to write, where temporary files go
├── ExportError         (2)     a model that cannot be converted as asked
├── UnavailableError    (3)     something to install or fetch first: an engine, an extra, the data
│   └── UnreachableError        a device that cannot be reached now; it may be later
└── GateError           (1)     the work was done and the verdict is "no"
"""

from __future__ import annotations

__all__ = [
    "ArtifactError",
    "CheckpointError",
    "DataError",
    "ExportError",
    "FileError",
    "FmnistEdgeError",
    "GateError",
    "InputError",
    "TemporaryFileError",
    "UnavailableError",
    "UnknownNameError",
    "UnreachableError",
    "one_line",
]


class FmnistEdgeError(Exception):
    """Base of the tree; catch this one to catch them all."""

    exit_code = 2


class InputError(FmnistEdgeError):
    """An argument, array, image or name is not what was expected."""


class UnknownNameError(InputError):
    """A name that no record has."""


class FileError(FmnistEdgeError):
    """A file is missing, truncated, corrupt or hostile, or cannot be written."""


class DataError(FileError):
    """A Fashion-MNIST file whose content is not the published one."""


class CheckpointError(FileError):
    """A trained model file that cannot be loaded without trusting it."""


class ArtifactError(FileError):
    """An exported model, or its manifest, that cannot be loaded."""


class TemporaryFileError(FileError):
    """The folder for temporary files cannot be written."""


class ExportError(FmnistEdgeError):
    """A model that cannot be converted as asked."""


class UnavailableError(FmnistEdgeError):
    """Something must be installed or fetched before this can work."""

    exit_code = 3


class UnreachableError(UnavailableError):
    """The link to a device cannot be made or broke; trying again may help."""


class GateError(FmnistEdgeError):
    """A check ran to its end and failed."""

    exit_code = 1


def one_line(error: BaseException, limit: int = 300) -> str:
    """The first non-empty line of `error`'s message, at most `limit` characters, none that a terminal would obey.

    A longer line loses its middle: what it is about stands at its start, the reason and the remedy often at its end.
    """
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    text = text or type(error).__name__
    end = limit // 4
    return text if len(text) <= limit else f"{text[: limit - end - 1]}…{text[-end:]}"
