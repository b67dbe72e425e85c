"""The interface of an exporter, and helpers that all exporters share."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.catalog.precisions import Precision
from fmnist_edge.catalog.runtimes import Runtime
from fmnist_edge.errors import ExportError, FmnistEdgeError, UnavailableError, one_line
from fmnist_edge.exporters.several import Samples, parts
from fmnist_edge.runtime.manifest import Manifest
from fmnist_edge.worker.temporary import check_room

if TYPE_CHECKING:
    import keras

__all__ = [
    "IN_NO_FORMAT",
    "Census",
    "Exporter",
    "OpLayers",
    "Sources",
    "batches",
    "check_room_for",
    "export_errors",
    "quiet",
]

WEIGHT_COPIES, GRAPH_BYTES = (
    2,
    1 << 19,
)  # what a converter writes to temporary files: copies of the float32 weights, bytes of graph
# TensorFlow's ops that neither TFLite nor ONNX has; the coverage table's way out for other ops is the other format.
IN_NO_FORMAT = frozenset(
    {
        "BesselI0", "BesselI0e", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Complex", "Erfinv", "HSVToRGB", "Invert",
        "LowerBound", "NextAfter", "RGBToHSV", "UpperBound",
    }
)  # fmt: skip
OpLayers = dict[str, tuple[str, ...]]  # an op's output -> its layers; several if they were fused


@dataclass(frozen=True)
class Census:
    """The ops in a file: how many of each type, and the names of those that compute in float."""

    ops: dict[str, int]
    float_ops: tuple[str, ...]

    @classmethod
    def of(cls, ops: list[tuple[str, str, bool]]) -> Census:
        """From (op type, name, computes in float) of every op, in graph order."""
        counts = Counter(kind for kind, _, _ in ops)
        return cls(dict(sorted(counts.items())), tuple(f"{kind} {name}" for kind, name, is_float in ops if is_float))


@dataclass(frozen=True)
class Sources:
    """Source files of an export.

    Attributes:
        files: file name -> text or bytes.
        facts: additional sections of the manifest. A folder that an engine runs has its own `sha256` and `size_bytes`.
        carries_manifest: whether the folder has a copy of its manifest, see `runtime.folder`.
    """

    files: Mapping[str, str | bytes]
    facts: JsonObject
    carries_manifest: bool = False


class Exporter(ABC):
    """Converts Keras models to one format.

    Attributes:
        packages: distributions whose versions determine the exported bytes.
    """

    packages: tuple[str, ...]

    @abstractmethod
    def convert(
        self,
        model: keras.Model,
        precision: Precision,
        batch: int | None,
        calibration: Samples | None,
        keep_float: tuple[str, ...] = (),
    ) -> bytes:
        """Serialise a Keras model.

        Args:
            batch: images per call; None leaves the batch axis open.
            calibration: preprocessed images, float32 (n, *input_shape), for precisions that need them; a tuple of
                arrays for a model with several inputs.
            keep_float: layers whose ops stay in float, for precisions that are `selective`.

        Raises ExportError when the model cannot be converted, or a layer in `keep_float` has no op.
        """

    @abstractmethod
    def census(self, content: bytes) -> Census:
        """The ops of a file that `convert` wrote."""

    def op_layers(self, content: bytes, model: keras.Model) -> OpLayers:
        """The layers of `model` behind each op of a file that `convert` wrote; `keep_float` accepts these layers."""
        return {}

    def obstacles_in(self, content: bytes) -> Callable[[Runtime], list[str]] | None:
        """A function that lists what a runtime lacks for a file that `convert` wrote, empty for one that runs it.

        None for a format without runtimes in the catalogue.
        """
        return None

    def sources(
        self, content: bytes, manifest: Manifest, image: np.ndarray, golden_files: Sequence[Path] = ()
    ) -> Sources:
        """Generate source files that embed `content`, for a format that `contains` another.

        Args:
            manifest: of the export, without the sections that this method adds.
            image: uint8 or float32, one example image that fits the contract.
            golden_files: the image files that golden vectors' images were read from.

        Raises ExportError when the file cannot run from sources.
        """
        raise NotImplementedError(f"{type(self).__name__} writes a single file, no sources")


def check_room_for(model: keras.Model) -> None:
    """Raises TemporaryFileError when the temporary folder is too full. A converter would blame the model instead."""
    check_room(WEIGHT_COPIES * 4 * model.count_params() + GRAPH_BYTES)


def batches(samples: Samples, size: int) -> Iterator[tuple[np.ndarray, ...]]:
    """All samples in batches of `size`, an array for each input."""
    return zip(*(one_input(array, size) for array in parts(samples)), strict=True)


def one_input(images: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """All images in batches of `size`. The first images fill up the last batch; repeating them changes no range."""
    filled = np.resize(images, (-(-len(images) // size) * size, *images.shape[1:]))
    return (filled[start : start + size] for start in range(0, len(filled), size))


def quiet() -> AbstractContextManager[object]:
    """Discard what converters print to stdout, which is for our own tables."""
    return redirect_stdout(io.StringIO())


@contextmanager
def export_errors(what: str) -> Iterator[None]:
    """Raise ExportError, in one line that starts with `what`, for any exception of a converter.

    Raises UnavailableError for a package that is not installed. Our own exceptions pass unchanged.
    """
    try:
        yield
    except FmnistEdgeError:
        raise
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "fmnist_edge":
            raise  # a fault of ours, not a missing package
        raise UnavailableError(f"{what} needs {error.name}; run: pip install 'fmnist-edge[export]'") from None
    except Exception as error:  # converters raise anything
        raise ExportError(f"{what} failed: {one_line(error, 200)}") from error
