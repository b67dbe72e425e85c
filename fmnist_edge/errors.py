"""The exceptions that this package raises on purpose.

FmnistEdgeError                 base of all; `.exit_code` is the exit code of the command line
├── InputError          (2)     an argument, array, image or name is wrong
│   └── UnknownNameError        a name does not exist; the message lists those that do
├── FileError           (2)     a file is missing, truncated, corrupt, hostile, or cannot be written
│   ├── DataError               a Fashion-MNIST file is not the published one
│   ├── CheckpointError         a .keras, .h5 or SavedModel cannot be loaded safely
│   ├── ArtifactError           an exported model file or its manifest cannot be trusted or loaded
│   └── TemporaryFileError      the folder for temporary files is full or not writable
├── ExportError         (2)     a model cannot be converted as requested
├── UnavailableError    (3)     an engine, an extra or the data must be installed or fetched first
│   └── UnreachableError        a device cannot be reached; trying again may help
└── GateError           (1)     a check ran to its end and failed
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
    """Base of all errors of this package."""

    exit_code = 2


class InputError(FmnistEdgeError):
    """An argument, array, image or name is not what was expected."""


class UnknownNameError(InputError):
    """A name does not exist; the message lists those that do."""


class FileError(FmnistEdgeError):
    """A file is missing, truncated, corrupt or hostile, or cannot be written."""


class DataError(FileError):
    """A Fashion-MNIST file is not the published one."""


class CheckpointError(FileError):
    """A trained model file cannot be loaded safely."""


class ArtifactError(FileError):
    """An exported model file or its manifest cannot be trusted or loaded."""


class TemporaryFileError(FileError):
    """The folder for temporary files is full or not writable."""


class ExportError(FmnistEdgeError):
    """A model cannot be converted as requested."""


class UnavailableError(FmnistEdgeError):
    """Something must be installed or fetched before this can work."""

    exit_code = 3


class UnreachableError(UnavailableError):
    """The connection to a device failed; trying again may help."""


class GateError(FmnistEdgeError):
    """A check ran to its end and failed."""

    exit_code = 1


def one_line(error: BaseException, limit: int = 300) -> str:
    """The first non-empty line of `error`'s message: at most `limit` characters, without control characters.

    A longer line loses its middle: its start names the subject, its end gives the reason and the remedy.
    """
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    text = text or type(error).__name__
    end = limit // 4
    return text if len(text) <= limit else f"{text[: limit - end - 1]}…{text[-end:]}"
