"""Load a trained Keras model from an untrusted file. Nothing from the file is run."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.catalog.models import MODELS
from fmnist_edge.checkpoints import hdf5, keras_zip, savedmodel
from fmnist_edge.checkpoints.build import check_model, head_activation, model_of, output_of
from fmnist_edge.checkpoints.contents import Contents, printable, shown
from fmnist_edge.errors import (
    CheckpointError,
    FmnistEdgeError,
    TemporaryFileError,
    UnavailableError,
    UnknownNameError,
    one_line,
)
from fmnist_edge.runtime.engines.tflite_file import IDENTIFIER

if TYPE_CHECKING:
    import keras

__all__ = ["Checkpoint", "find", "load"]

MAX_BYTES = 2 << 30  # larger models are out of scope
SUFFIXES = (".weights.h5", ".keras", ".h5", ".hdf5")


@dataclass(frozen=True)
class Checkpoint:
    """A trained model and the file it came from.

    Attributes:
        name: the zoo name, or the file's name without its suffix.
        path: the file, or the SavedModel's folder.
        sha256: of the file's content; for a SavedModel of its files' contents, sorted by path.
        model: float32 inputs and outputs, one of each as a rule, of shapes known but for the batch; weights are finite.
        output: what the model answers with: "logits" or "probabilities".
        names: of its layers in the file, by what they are called here, where that differs.
        widths: floating-point types, other than float32, in which the file holds weights.
        head: what the first output is computed by last: an activation, such as "sigmoid" or "linear", or a layer.
    """

    name: str
    path: Path
    sha256: str
    model: keras.Model
    output: str
    names: dict[str, str] = field(default_factory=dict)
    widths: list[str] = field(default_factory=list)
    head: str = "linear"

    def shown_name(self, layer: str) -> str:
        """A layer's name in the file."""
        return self.names.get(layer, layer)

    def labels(self, names: Iterable[str]) -> tuple[str, ...]:
        """Our names of layers, given their names in the file. A name that no layer has stays as it is."""
        here = {original: label for label, original in self.names.items()}
        taken = {layer.name for layer in self.model.layers} - set(self.names)
        return tuple(name if name in taken else here.get(name, name) for name in names)


def load(name_or_path: str | Path, *, folder: Path = Path("trained_model")) -> Checkpoint:
    """Load a `.keras`, `.h5` (whole model or weights) or SavedModel, by path or zoo name.

    A zoo name means `folder/<name>.keras`. A model made of built-in layers is rebuilt from its checked config. One
    that is not (Lambda or custom layers, weights alone) loads when its weights are, in order and shape, those of a
    zoo model: they are copied into ours. Weights without a config are taken to end in logits.

    Raises UnknownNameError for a name that is neither, UnavailableError for a zoo model not trained yet or when Keras
    is not installed, and CheckpointError for a file that is missing, damaged, hostile, or of a model that cannot be
    exported.
    """
    name, path = find(name_or_path, folder)
    require("keras", "h5py")
    try:
        contents, digest = read(path)
        model, names = model_of(contents)
        check_model(model, names)
    except TemporaryFileError:  # no fault of the model
        raise
    except FmnistEdgeError as error:
        raise CheckpointError(f"{printable(str(path))}: {error}") from error
    except Exception as error:  # h5py, zipfile, protobuf and Keras raise what they like on hostile files
        reason = printable(f"{path}: cannot be read as a Keras model ({one_line(error)})")
        raise CheckpointError(reason) from error
    return Checkpoint(name, path, digest, model, output_of(model), names, contents.widths, head_activation(model))


def require(*modules: str) -> None:
    """Raises UnavailableError when one cannot be imported: below, that would look like a fault of the file."""
    for module in modules:
        try:
            import_module(module)
        except ImportError as error:
            if (error.name or "").partition(".")[0] == "fmnist_edge":
                raise  # our own module: nothing to install
            raise UnavailableError(
                f"loading Keras models needs {error.name or module}; run: pip install 'fmnist-edge[export]'"
            ) from None


def find(name_or_path: str | Path, folder: Path = Path("trained_model")) -> tuple[str, Path]:
    """The checkpoint's name and its path, which exists."""
    text = str(name_or_path)
    if isinstance(name_or_path, str) and text in MODELS:
        path = Path(folder) / f"{text}.keras"
        if not exists(path):
            raise UnavailableError(f"{path}: no such file; `fmnist-edge train {text}` makes it")
        return text, path
    path = Path(text)
    if text and exists(path):
        name = path.resolve().name or "model" if path.name in ("", "..") else path.name
        suffix = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
        return name[: len(name) - len(suffix)] or name, path
    if isinstance(name_or_path, Path) or "/" in text or path.suffix in (*SUFFIXES, ".pb"):
        raise CheckpointError(
            f"{one_line(ValueError(text))}: no such file; give a .keras, .h5 or SavedModel, or a zoo name"
        )
    raise UnknownNameError(f"{shown(text)}: no such file, and {MODELS.unknown(text)}")


def exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error


def read(path: Path) -> tuple[Contents, str]:
    """The contents of the file at `path` and its SHA-256. Its first bytes decide the format, not its suffix."""
    try:
        if path.is_dir():
            return savedmodel.read(path, MAX_BYTES)
        if not path.is_file():
            raise CheckpointError("is not a regular file; expected a .keras or .h5 file or a SavedModel folder")
        if path.stat().st_size > MAX_BYTES:
            raise CheckpointError(f"holds {path.stat().st_size:,} bytes; expected at most {MAX_BYTES:,}")
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot be read ({error.strerror or error})") from error
    return reader_of(content)(content), hashlib.sha256(content).hexdigest()


def reader_of(content: bytes) -> Callable[[bytes], Contents]:
    if content.startswith(keras_zip.SIGNATURE):
        return keras_zip.read
    if content.startswith(hdf5.SIGNATURE):
        return hdf5.read
    if content[4:8] == IDENTIFIER:
        raise CheckpointError("is a .tflite file; expected the .keras, .h5 or SavedModel that it was converted from")
    received = f"starts with {content[:8].hex(' ')}" if content else "is empty"
    raise CheckpointError(
        f"{received}, so it is neither .keras (zip) nor .h5 (HDF5); save it again with model.save('model.keras')"
    )
