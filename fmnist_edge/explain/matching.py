"""Which tensor of a file is which layer's output: found by its values, in a float32 file of the very same graph.

Names would not do. Converters fuse layers, fold BatchNorm away and name the result after one of them or after none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmnist_edge.errors import ArtifactError
from fmnist_edge.explain.graph import LayerGraph
from fmnist_edge.explain.metrics import Comparison
from fmnist_edge.explain.probe import INPUT, OUTPUT, Key, Probe

__all__ = ["Match", "Matching", "match"]

SAME_DB = 60.0  # two float32 computations of one value agree to 100 dB and more, two different layers to some 10


@dataclass(frozen=True)
class Match:
    """Where a file has a layer's output, and in which order of axes."""

    key: Key
    channels_first: bool = False

    def arranged(self, values: np.ndarray, like: np.ndarray) -> np.ndarray:
        """The file's array (n, ...) in the axes and shape of Keras's; ArtifactError where it is of another size."""
        if values.size != like.size or values.ndim < 2:
            raise ArtifactError(
                f"the file's tensor {self.key[0]!r} is {values.shape} where its model's layer is {like.shape}; "
                "export the model again"
            )
        return (np.moveaxis(values, 1, -1) if self.channels_first else values).reshape(like.shape)


@dataclass(frozen=True)
class Matching:
    """Tensor name in a LayerGraph -> where the file has it; and the names of those that are just their input."""

    found: dict[str, Match]
    passing: frozenset[str]


def match(graph: LayerGraph, twin: Probe, artifact: Probe, images: np.ndarray) -> Matching:
    """Find each layer's output in `artifact`. Those of the input and the output are always found.

    Args:
        graph: of the model that both files were converted from.
        twin: its float32 file.
        images: a few preprocessed ones, float32 (n, *input_shape).
    """
    expected = {
        name: np.asarray(value) for name, value in graph.evaluate(list(graph.steps), {graph.input: images}).items()
    }
    passing = frozenset(name for name in graph.steps if passes_on(graph, expected, name))
    pairs = paired(twin, artifact)
    # In the order of the file, so that of two equal tensors the first is the earlier layer's.
    captured = twin.capture(images, [key for key in twin.tensors if key in pairs and key not in (INPUT, OUTPUT)])
    matches = {graph.input: Match(INPUT), graph.output: Match(OUTPUT)}
    for name, value in expected.items():
        if name in matches or name in passing:
            continue
        found = next(filter(None, (arrangement(key, tensor, value) for key, tensor in captured.items())), None)
        if found:
            del captured[found.key]
            matches[name] = Match(pairs[found.key], found.channels_first)
    return Matching({name: matches[name] for name in graph.steps if name in matches}, passing)


def passes_on(graph: LayerGraph, values: dict[str, np.ndarray], name: str) -> bool:
    """Whether a layer, like Dropout, hands on what it gets."""
    parents = graph.steps[name].parents
    return len(parents) == 1 and np.array_equal(values[name], values[parents[0]])


def arrangement(key: Key, tensor: np.ndarray, value: np.ndarray) -> Match | None:
    """How `tensor` is `value`, float arrays (n, ...); None when it is not."""
    if tensor.size != value.size or not value.any():
        return None
    for candidate in (Match(key), Match(key, channels_first=True))[: 2 if tensor.ndim > 2 else 1]:
        shape = np.moveaxis(tensor, 1, -1).shape if candidate.channels_first else tensor.shape
        if long_axes(shape) != long_axes(value.shape):
            continue
        comparison = Comparison()
        comparison.add(value, candidate.arranged(tensor, value))
        if comparison.exact or (comparison.sqnr_db or 0) >= SAME_DB:
            return candidate
    return None


def long_axes(shape: tuple[int, ...]) -> list[int]:
    return [size for size in shape if size != 1]


def paired(twin: Probe, artifact: Probe) -> dict[Key, Key]:
    """Key in the twin -> key in the artifact."""
    pairs = {key: key for key in twin.tensors if key in artifact.tensors}
    for relu, source in twin.relus.items():
        if relu not in pairs and source in pairs:
            pairs[relu] = pairs.pop(source)
    return pairs
