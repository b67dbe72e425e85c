"""Compare an artifact with its Keras model layer by layer, and say what each layer's error costs at the output.

The reference is the Keras model itself, BatchNorm between dense layers folded as export folds it, LRN exact: what an
export approximates, it answers for. Three questions are asked of every layer whose output the file has:

- How far is it from the reference? Errors of the layers before included.
- How much of that does the layer add? The same layer is computed in float from the inputs that it has in the file;
  what the file has instead differs by the layer's own error.
- What does that cost? The own error is added to the layer's output in the reference, and the rest computed in float:
  the noise at the model's output is what this one layer does to it. Shares are of the sum over all layers.

A layer kept in float still has its output rounded to the file's grid, for the integer layers that read it. What goes
is the rest of the own error; the rounding goes as well once the readers are kept in float, too.
Cf. TensorFlow's QuantizationDebugger, which computes the own error but not what it costs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from fmnist_edge.explain.graph import LayerGraph
from fmnist_edge.explain.matching import Matching
from fmnist_edge.explain.metrics import Comparison, Saturation
from fmnist_edge.explain.probe import Probe
from fmnist_edge.export.exporter import Owners
from fmnist_edge.runtime.engine import TensorSpec

__all__ = ["CHUNK", "LayerReport", "Progress", "compare_layers"]

CHUNK = 16  # images whose activations are in memory at a time

Progress = Callable[[int, int, str], None]


@dataclass
class LayerReport:
    """What was found out about one tensor of the artifact.

    Attributes:
        layers: the Keras layers between the tensors before and this one, in order; the last one makes it.
        inputs: names of those tensors.
        error: against the reference.
        own: against the same layers in float on the artifact's own inputs.
        noise: Σ (difference)² at the model's output that the own error causes.
        rounding: what of it remains with the layers in float, for readers in integers.
        layer: the one that stands for all of `layers`, the others being fused to it: one that `export` can keep in
            float if there is any, with a kernel if there is any.
        keepable: whether `export` can keep it in float by that name. An operation like `x + y` is no layer.
    """

    layers: tuple[str, ...]
    inputs: tuple[str, ...]
    spec: TensorSpec
    saturation: Saturation
    error: Comparison = field(default_factory=Comparison)
    own: Comparison = field(default_factory=Comparison)
    noise: float = 0.0
    rounding: float = 0.0
    layer: str = ""
    keepable: bool = True

    def __post_init__(self) -> None:
        self.layer = self.layer or self.layers[0]

    @property
    def saved(self) -> float:
        """The part of `noise` that goes when the layers are kept in float; below 0 where errors happen to cancel."""
        return self.noise - self.rounding

    def as_dict(self) -> dict[str, Any]:
        return {
            "layer": self.layer,
            "layers": list(self.layers),
            "inputs": list(self.inputs),
            "tensor": {**asdict(self.spec), "shape": list(self.spec.shape)},
            **self.error.as_dict(),
            "saturation": self.saturation.share,
            "own": self.own.as_dict(),
        }


def compare_layers(
    graph: LayerGraph, artifact: Probe, matching: Matching, owners: Owners, images: np.ndarray, progress: Progress
) -> dict[str, LayerReport]:
    """One report per matched tensor, in the order of the graph, by its name there.

    Args:
        graph: of the reference.
        owners: of the artifact's ops.
        images: preprocessed, float32 (n, *input_shape).
    """
    matches = matching.found
    reports = {name: blank(graph, artifact, matching, owners, name) for name in matches}
    done, total = 0, -(-len(images) // CHUNK) * len(matches)
    for start in range(0, len(images), CHUNK):
        piece = images[start : start + CHUNK]
        expected = arrays(graph.evaluate(list(graph.steps), {graph.input: piece}))
        raw = artifact.capture(piece, [item.key for item in matches.values()])
        actual = {
            name: item.arranged(reports[name].spec.dequantize(raw[item.key]), expected[name])
            for name, item in matches.items()
        }
        for name, report in reports.items():
            progress(done, total, name)
            report.saturation.add(raw[matches[name].key])
            report.error.add(expected[name], actual[name])
            attribute(graph, name, report, expected, actual)
            done += 1
    return reports


def blank(graph: LayerGraph, artifact: Probe, matching: Matching, owners: Owners, name: str) -> LayerReport:
    import keras

    between = graph.needed([name], matching.found.keys() - {name})
    inside = [graph.steps[item] for item in between if item == name or item not in matching.passing]
    inputs = {parent for item in between for parent in graph.steps[item].parents} & matching.found.keys()
    spec = artifact.tensors[matching.found[name].key]
    layers = [step for step in inside if isinstance(step.node.operation, keras.layers.Layer)]
    kernels = [step for step in layers if any(len(weight.shape) > 1 for weight in step.node.operation.weights)]
    # A layer without a kernel is kept by the op that makes this tensor; its name may well stand at others, too.
    everywhere, here = {layer for made in owners.values() for layer in made}, owners.get(spec.name, ())
    keepable = [step for step in kernels if step.layer in everywhere] or [step for step in layers if step.layer in here]
    return LayerReport(
        tuple(step.layer for step in inside),
        tuple(sorted(inputs)),
        spec,
        Saturation(spec),
        layer=(keepable or kernels or layers or inside)[0].layer,
        keepable=bool(keepable),
    )


def attribute(
    graph: LayerGraph, name: str, report: LayerReport, expected: dict[str, np.ndarray], actual: dict[str, np.ndarray]
) -> None:
    """Add one chunk's own error of a layer, and what it costs, to `report`."""
    known = {other: value for other, value in actual.items() if other != name}
    in_float = expected[name] if name == graph.input else np.asarray(graph.evaluate([name], known)[name])
    report.own.add(in_float, actual[name])
    with np.errstate(over="ignore", invalid="ignore"):  # float16 ends at 65504, and infinities have no difference
        rounded = report.spec.dequantize(report.spec.quantize(in_float))
        own, rounding = actual[name] - in_float, rounded - in_float
    report.noise += cost(graph, name, expected, own)
    report.rounding += cost(graph, name, expected, rounding)


def cost(graph: LayerGraph, name: str, expected: dict[str, np.ndarray], error: np.ndarray) -> float:
    """Σ (difference)² at the output of the reference when `error` is added to one tensor of it; 0 if not finite."""
    if not error.any() or not np.isfinite(error).all():
        return 0.0
    behind = graph.behind(name) | {name}
    given = {other: value for other, value in expected.items() if other not in behind}
    output = graph.evaluate([graph.output], {**given, name: expected[name] + error})[graph.output]
    comparison = Comparison()
    comparison.add(expected[graph.output], output)
    return comparison.noise


def arrays(values: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in values.items()}
