"""Images at the edges of what numbers can be, in every engine: the same answer, or the same words of refusal."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["EDGES", "EdgeCase", "Row", "compare", "engines_of"]

HUGE = 300  # images in one call, beyond what the runtime hands to an engine at once
SLOW = ("tflite-micro", "litert-reference", "numpy")  # engines for which a huge batch is a hundred images
ELSEWHERE = ("tflite-runtime",)  # needs another NumPy: `make compat`


@dataclass(frozen=True)
class EdgeCase:
    """Images to classify: `make(image)` of a plain uint8 (28, 28) image.

    `like`: the case whose answers these must be, bit for bit but for `rounding`, a part of the spread of the scores;
    None where they stand for themselves.
    """

    name: str
    make: Callable[[np.ndarray], np.ndarray]
    like: str | None = None
    rounding: float = 0.0


def filled(value: float, dtype: str = "float32") -> Callable[[np.ndarray], np.ndarray]:
    return lambda image: np.full((2, *image.shape), value, dtype)


def with_one(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def make(image: np.ndarray) -> np.ndarray:
        changed = (image / np.float32(255)).astype(np.float32)
        changed[3, 4] = value
        return changed

    return make


def floats(image: np.ndarray, dtype: str) -> np.ndarray:
    return (image / np.float32(255)).astype(dtype)


def read_only(image: np.ndarray) -> np.ndarray:
    image = image.copy()
    image.setflags(write=False)
    return image


def misaligned(image: np.ndarray) -> np.ndarray:
    """float32 that begins at an odd address."""
    wanted = floats(image, "float32")
    space = np.zeros(wanted.nbytes + 1, np.uint8)
    view = space[1:].view(np.float32).reshape(wanted.shape)
    view[...] = wanted
    return view


EDGES = (
    EdgeCase("plain uint8", lambda image: image),
    EdgeCase("plain float32", lambda image: floats(image, "float32")),
    EdgeCase("all 0", filled(0, "uint8")),
    EdgeCase("all 255", filled(255, "uint8")),
    EdgeCase("all 0.0", filled(0.0), like="all 0"),
    EdgeCase("all 1.0", filled(1.0), like="all 255"),
    EdgeCase("negative zero", filled(-0.0), like="all 0"),
    EdgeCase("denormals", filled(1e-40), like="all 0"),
    EdgeCase("smallest denormal", filled(1e-45), like="all 0"),
    EdgeCase("NaN", with_one(float("nan"))),
    EdgeCase("infinity", with_one(float("inf"))),
    EdgeCase("minus infinity", with_one(-float("inf"))),
    EdgeCase("largest float32", with_one(3.4e38)),
    EdgeCase("0..255 in float32", lambda image: image.astype(np.float32)),
    EdgeCase("below 0", with_one(-0.5)),
    EdgeCase("batch of 0", lambda image: np.zeros((0, *image.shape), np.uint8)),
    EdgeCase("batch of 0, float32", lambda image: np.zeros((0, *image.shape), np.float32)),
    EdgeCase("batch of 1", lambda image: image[None], like="plain uint8"),
    # Where a file takes many images at once, floats are summed in another order.
    EdgeCase("huge batch", lambda image: np.repeat(image[None], HUGE, 0), like="plain uint8", rounding=1e-5),
    EdgeCase("stride of 0", lambda image: np.broadcast_to(image, (3, *image.shape)), like="plain uint8", rounding=1e-5),
    EdgeCase("not contiguous", lambda image: np.stack([image, image], -1)[..., 0], like="plain uint8"),
    EdgeCase("strides backwards", lambda image: image[::-1, ::-1].copy()[::-1, ::-1], like="plain uint8"),
    EdgeCase("Fortran order", np.asfortranarray, like="plain uint8"),
    EdgeCase("read-only", read_only, like="plain uint8"),
    EdgeCase("misaligned float32", misaligned, like="plain float32"),
    EdgeCase("big-endian float32", lambda image: floats(image, ">f4"), like="plain float32"),
    EdgeCase("big-endian float64", lambda image: floats(image, "float32").astype(">f8"), like="plain float32"),
    EdgeCase("float64", lambda image: floats(image, "float32").astype(np.float64), like="plain float32"),
    EdgeCase("big-endian uint16", lambda image: image.astype(">u2")),
    EdgeCase("int64", lambda image: image.astype(np.int64)),
    EdgeCase("bool", lambda image: image > 127),
    EdgeCase("complex", lambda image: image.astype(np.complex64)),
    EdgeCase("objects", lambda image: image.astype(object)),
    EdgeCase("text", lambda image: image.astype("U3")),
    EdgeCase("wrong shape", lambda image: image[:, :-1]),
    EdgeCase("no axis", lambda image: image[0, 0]),
)


@dataclass
class Row:
    """One file in one engine on one edge: "answered" or "refused", and what is wrong with that."""

    file: str
    engine: str
    edge: str
    outcome: str
    faults: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def engines_of(path: Path) -> list[str]:
    """The engines that can run it and are installed."""
    from fmnist_edge.errors import ArtifactError, UnavailableError
    from fmnist_edge.runtime import Classifier
    from fmnist_edge.runtime.engine_catalog import engines_for

    found = []
    for name in engines_for(path):
        try:
            Classifier.load(path, engine=name).close()
        except (UnavailableError, ArtifactError):  # an op that it does not have
            continue
        found += [name] if name not in ELSEWHERE else []
    return found


def compare(path: Path, engines: Sequence[str], image: np.ndarray) -> Iterator[Row]:
    """Every edge in every engine, the first of which is the one that others are held against.

    Between engines scores may differ as far as between plain images, twice: right engines round differently.
    """
    from fmnist_edge.runtime import Classifier

    first: dict[str, Any] = {}
    for number, engine in enumerate(engines):
        with Classifier.load(path, engine=engine) as classifier:
            found = {edge.name: answer_of(classifier, edge, image, engine) for edge in EDGES}
        first = first or found
        allowed = 2 * distance(first, found, "plain uint8") + 1e-3 * spread(first["plain uint8"])
        for edge in EDGES:
            outcome = "refused" if isinstance(found[edge.name], str) else "answered"
            row = Row(f"{path.parent.name}/{path.name}", engine, edge.name, outcome)
            row.faults += faults(edge, found, first, allowed if number else 0.0)
            yield row
        gc.collect()


def answer_of(classifier: Any, edge: EdgeCase, image: np.ndarray, engine: str) -> Any:
    """Scores float32 (n, classes), or the words of the refusal; any other exception as what it is."""
    from fmnist_edge.errors import InputError

    given = edge.make(image)
    if engine in SLOW and len(given.shape) and len(given) > 100:
        given = given[:100]
    try:
        return classifier.scores(given)
    except InputError as error:
        return str(error)
    except Exception as error:
        return error


def faults(edge: EdgeCase, found: dict[str, Any], first: dict[str, Any], allowed: float) -> Iterator[str]:
    answer, theirs = found[edge.name], first[edge.name]
    if isinstance(answer, Exception):
        yield f"{type(answer).__name__}: {answer}"
    elif isinstance(answer, str):
        if answer != theirs:
            yield f"other words than the first engine's: {answer}"
        if "\n" in answer:
            yield "a refusal of several lines"
    elif isinstance(theirs, str):
        yield f"answered what the first engine refused: {theirs}"
    else:
        if not np.isfinite(answer).all():
            yield "answered with what is no number"
        if edge.like is not None:
            expected = found[edge.like][:1]
            if np.abs(answer - expected).max() > edge.rounding * spread(expected):
                yield f"other scores than for {edge.like!r}"
        far = float(np.abs(answer[:1] - theirs[:1]).max())
        if far > allowed:
            yield f"{far:.3g} from the first engine's scores, allowed {allowed:.3g}"


def distance(first: dict[str, Any], found: dict[str, Any], edge: str) -> float:
    return float(np.abs(first[edge] - found[edge]).max())


def spread(scores: np.ndarray) -> float:
    return float(scores.max() - scores.min())
