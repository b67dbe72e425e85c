"""Match the tensors of a file with the outputs of layers, by their values in a float32 file of the same graph.

Names are not enough: converters fuse layers, fold BatchNorm, and name the result after one of the layers or none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fmnist_edge.errors import ArtifactError
from fmnist_edge.explain.graph import LayerGraph
from fmnist_edge.explain.metrics import Comparison
from fmnist_edge.explain.probe import INPUT, OUTPUT, Key, Probe

__all__ = ["Match", "Matching", "match"]

SAME_SQNR_DB = 60.0  # float32 computations of one value agree to 100 dB or more, different layers to about 10 dB


@dataclass(frozen=True)
class Match:
    """The tensor in a file that is a layer's output, and its order of axes."""

    key: Key
    channels_first: bool = False

    def arranged(self, values: np.ndarray, like: np.ndarray) -> np.ndarray:
        """The file's array (n, ...) in Keras's axes and the shape of `like`; ArtifactError if the sizes differ."""
        if values.size != like.size or values.ndim < 2:
            raise ArtifactError(
                f"the file's tensor {self.key[0]!r} has shape {values.shape}, its model's layer has {like.shape}; "
                "export the model again"
            )
        return (np.moveaxis(values, 1, -1) if self.channels_first else values).reshape(like.shape)


@dataclass(frozen=True)
class Matching:
    """The result of `match`.

    Attributes:
        found: tensor name in a LayerGraph -> its tensor in the file.
        pass_through: names of tensors that equal their input.
    """

    found: dict[str, Match]
    pass_through: frozenset[str]


def match(graph: LayerGraph, float_twin: Probe, artifact: Probe, images: np.ndarray) -> Matching:
    """Find the outputs of layers in `artifact`. The model's input and output are always found.

    Args:
        graph: of the model that both files were converted from.
        float_twin: a float32 file of that model.
        images: a few preprocessed images, float32 (n, *input_shape).
    """
    expected = {
        name: np.asarray(value) for name, value in graph.evaluate(list(graph.steps), {graph.input: images}).items()
    }
    pass_through = frozenset(name for name in graph.steps if is_pass_through(graph, expected, name))
    pairs = pair_keys(float_twin, artifact)
    # In file order, so that of two equal tensors the first one matches the earlier layer.
    captured = float_twin.capture(
        images, [key for key in float_twin.tensors if key in pairs and key not in (INPUT, OUTPUT)]
    )
    matches = {graph.input: Match(INPUT), graph.output: Match(OUTPUT)}
    for name, value in expected.items():
        if name in matches or name in pass_through:
            continue
        found = next(filter(None, (match_tensor(key, tensor, value) for key, tensor in captured.items())), None)
        if found:
            del captured[found.key]
            matches[name] = Match(pairs[found.key], found.channels_first)
    return Matching({name: matches[name] for name in graph.steps if name in matches}, pass_through)


def is_pass_through(graph: LayerGraph, values: dict[str, np.ndarray], name: str) -> bool:
    """Whether a layer returns its input, like Dropout."""
    parents = graph.steps[name].parents
    return len(parents) == 1 and np.array_equal(values[name], values[parents[0]])


def match_tensor(key: Key, tensor: np.ndarray, value: np.ndarray) -> Match | None:
    """The match if `tensor` equals `value`, both float arrays (n, ...), in either order of axes; else None."""
    if tensor.size != value.size or not value.any():
        return None
    for candidate in (Match(key), Match(key, channels_first=True))[: 2 if tensor.ndim > 2 else 1]:
        shape = np.moveaxis(tensor, 1, -1).shape if candidate.channels_first else tensor.shape
        if long_axes(shape) != long_axes(value.shape):
            continue
        comparison = Comparison()
        comparison.add(value, candidate.arranged(tensor, value))
        if comparison.exact or (comparison.sqnr_db or 0) >= SAME_SQNR_DB:
            return candidate
    return None


def long_axes(shape: tuple[int, ...]) -> list[int]:
    return [size for size in shape if size != 1]


def pair_keys(float_twin: Probe, artifact: Probe) -> dict[Key, Key]:
    """Key in the float32 file -> key in the artifact. A fused ReLU is paired with the op before it."""
    pairs = {key: key for key in float_twin.tensors if key in artifact.tensors}
    others, ours = (unnumbered(key for key in probe.tensors if key not in pairs) for probe in (float_twin, artifact))
    pairs |= {key: ours[name] for name, key in others.items() if name in ours}
    for relu, source in float_twin.relus.items():
        if relu not in pairs and source in pairs:
            pairs[relu] = pairs.pop(source)
    return pairs


def unnumbered(keys: Iterable[Key]) -> dict[Key, Key]:
    """Keys by their names without the numbers that tracing adds, which differ between files; without ambiguous ones."""
    found: dict[Key, list[Key]] = {}
    for name, index in keys:
        found.setdefault((re.sub(r"(_\d+)+(?=[/;]|$)", "", name), index), []).append((name, index))
    return {name: alike[0] for name, alike in found.items() if len(alike) == 1}
