"""What the pipeline asks of a format, and what the formats share."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_edge.catalog.precisions import Precision
from fmnist_edge.errors import ExportError, FmnistEdgeError, UnavailableError, one_line
from fmnist_edge.runtime.manifest import Manifest
from fmnist_edge.worker.temporary import check_room

__all__ = ["Census", "Exporter", "Owners", "Sources", "check_room_for", "quiet", "translated"]

COPIES, CONVERTERS = 2, 1 << 19  # of float32 weights in temporary files, and the graphs beside them in bytes
Owners = dict[str, tuple[str, ...]]  # an op's output -> layers; several where they were fused


@dataclass(frozen=True)
class Census:
    """What ops a file holds: how many of each, and the names of those that compute in float."""

    ops: dict[str, int]
    float_ops: tuple[str, ...]

    @classmethod
    def of(cls, ops: list[tuple[str, str, bool]]) -> Census:
        """From (op type, name, computes in float) of every op, in graph order."""
        counts = Counter(kind for kind, _, _ in ops)
        return cls(dict(sorted(counts.items())), tuple(f"{kind} {name}" for kind, name, is_float in ops if is_float))


@dataclass(frozen=True)
class Sources:
    """What a format of sources writes: file name -> text, and what the manifest is to say beyond the usual."""

    files: dict[str, str]
    facts: dict[str, Any]


class Exporter(ABC):
    """One format.

    Attributes:
        packages: distributions whose versions decide the bytes.
    """

    packages: tuple[str, ...]

    @abstractmethod
    def convert(
        self,
        model: Any,
        precision: Precision,
        batch: int | None,
        calibration: np.ndarray | None,
        keep_float: tuple[str, ...] = (),
    ) -> bytes:
        """Serialise a Keras model; `batch=None` leaves the batch axis open.

        `calibration`: float32 (n, *input_shape), preprocessed, for precisions that need it. `keep_float`: layers of
        the model whose ops stay in float, for precisions that are `selective`. Raises ExportError when the model cannot
        be converted, and for a layer in `keep_float` without ops.
        """

    @abstractmethod
    def census(self, content: bytes) -> Census:
        """The ops of a file that `convert` wrote."""

    def owners(self, content: bytes, model: Any) -> Owners:
        """Which layers of `model` the ops of a file that `convert` wrote are of: those that `keep_float` can name."""
        return {}

    def sources(self, content: bytes, manifest: Manifest, image: np.ndarray) -> Sources:
        """The sources around `content`, of a format that `contains` another.

        `manifest`: what is known of it so far; `image`: uint8 or float32, one image that its contract takes, to go with
        them. Raises ExportError where the file cannot run from sources.
        """
        raise NotImplementedError(f"{type(self).__name__} writes one file")


def check_room_for(model: Any) -> None:
    """Raises TemporaryFileError where the converters have no room: they would blame the model."""
    check_room(COPIES * 4 * model.count_params() + CONVERTERS)


def quiet() -> AbstractContextManager[Any]:
    """Keep what the converters print out of stdout, which belongs to our own tables."""
    return redirect_stdout(io.StringIO())


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn whatever a converter raises into one line of ours."""
    try:
        yield
    except FmnistEdgeError:
        raise
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "fmnist_edge":
            raise  # our own module: nothing to install
        raise UnavailableError(f"{what} needs {error.name}; run: pip install 'fmnist-edge[export]'") from None
    except Exception as error:  # converters raise anything
        raise ExportError(f"{what} failed: {one_line(error, 200)}") from error
