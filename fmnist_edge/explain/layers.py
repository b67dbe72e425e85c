"""Compare an artifact with its Keras model layer by layer, and attribute the noise at the output to layers.

The reference is the Keras model, with BatchNorm between dense layers folded as `export` does it, and with exact LRN, so
that an export's approximation of LRN counts as error. Every layer whose output the file has gets three measurements:

- Error: the difference from the reference, including the errors of the layers before.
- Own error: the layer is computed in float from its inputs in the file. The own error is the difference between the
  output in the file and this result.
- Noise: the own error is added to the layer's output in the reference, and the remaining layers are computed in float.
  The noise is the change at the model's output. Shares are relative to the sum over all layers.

The output of a layer kept in float is still rounded to the file's grid for the integer layers that read it. Keeping the
layer in float removes the rest of its own error; keeping its readers in float too removes the rounding.
Cf. TensorFlow's QuantizationDebugger, which computes the own error, but not the noise at the output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import numpy as np

from fmnist_edge.aliases import JsonObject, Tensor
from fmnist_edge.explain.graph import LayerGraph
from fmnist_edge.explain.matching import Matching
from fmnist_edge.explain.metrics import Comparison, Saturation
from fmnist_edge.explain.probe import Probe
from fmnist_edge.exporters.exporter import OpLayers
from fmnist_edge.runtime.engine import TensorSpec

__all__ = ["CHUNK", "LayerReport", "Progress", "compare_layers"]

CHUNK = 16  # images whose activations are in memory at a time

Progress = Callable[[int, int, str], None]


@dataclass
class LayerReport:
    """The measurements of one tensor of the artifact.

    Attributes:
        layers: the Keras layers between the matched tensors before and this one, in order; the last computes it.
        inputs: names of these matched tensors.
        spec: the tensor in the file.
        error: difference from the reference.
        own: difference from the same layers, computed in float on the artifact's own inputs.
        noise: Σ (difference)² at the model's output that the own error causes.
        rounding: the part of `noise` that remains if the layers are in float and their readers in integers.
        layer: the one of `layers` that represents them all, as the others are fused with it. Layers that `export` can
            keep in float come first, then layers with a kernel.
        keepable: whether `export` can keep `layer` in float. It cannot for an operation like `x + y`, which is not a
            layer.
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
        """The part of `noise` that is removed if the layers are in float; negative if errors happen to cancel."""
        return self.noise - self.rounding

    def as_dict(self) -> JsonObject:
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
    graph: LayerGraph, artifact: Probe, matching: Matching, op_layers: OpLayers, images: np.ndarray, progress: Progress
) -> dict[str, LayerReport]:
    """One report per matched tensor, by its name in the graph, in graph order.

    Args:
        graph: the graph of the reference.
        op_layers: the layers of the artifact's ops.
        images: preprocessed, float32 (n, *input_shape).
        progress: called with (done, total, what is next).
    """
    matches = matching.found
    reports = {name: empty_report(graph, artifact, matching, op_layers, name) for name in matches}
    done, total = 0, -(-len(images) // CHUNK) * len(matches)
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK]
        expected = to_numpy(graph.evaluate(list(graph.steps), {graph.input: chunk}))
        raw = artifact.capture(chunk, [item.key for item in matches.values()])
        actual = {
            name: item.arranged(reports[name].spec.dequantize(raw[item.key]), expected[name])
            for name, item in matches.items()
        }
        for name, report in reports.items():
            progress(done, total, name)
            report.saturation.add(raw[matches[name].key])
            report.error.add(expected[name], actual[name])
            add_own_error(graph, name, report, expected, actual)
            done += 1
    return reports


def empty_report(graph: LayerGraph, artifact: Probe, matching: Matching, op_layers: OpLayers, name: str) -> LayerReport:
    import keras

    between = graph.needed([name], matching.found.keys() - {name})
    inside = [graph.steps[item] for item in between if item == name or item not in matching.pass_through]
    inputs = {parent for item in between for parent in graph.steps[item].parents} & matching.found.keys()
    spec = artifact.tensors[matching.found[name].key]
    layers = [step for step in inside if isinstance(step.node.operation, keras.layers.Layer)]
    kernels = [step for step in layers if any(len(weight.shape) > 1 for weight in step.node.operation.weights)]
    # Without a kernel, only the op that computes this tensor counts: other ops may have the layer's name too.
    everywhere, at_tensor = {layer for made in op_layers.values() for layer in made}, op_layers.get(spec.name, ())
    keepable = [step for step in kernels if step.layer in everywhere] or [
        step for step in layers if step.layer in at_tensor
    ]
    return LayerReport(
        tuple(step.layer for step in inside),
        tuple(sorted(inputs)),
        spec,
        Saturation(spec),
        layer=(keepable or kernels or layers or inside)[0].layer,
        keepable=bool(keepable),
    )


def add_own_error(
    graph: LayerGraph, name: str, report: LayerReport, expected: dict[str, np.ndarray], actual: dict[str, np.ndarray]
) -> None:
    """Add a layer's own error on one chunk of images, and the noise that it causes, to `report`."""
    known = {other: value for other, value in actual.items() if other != name}
    float_output = expected[name] if name == graph.input else np.asarray(graph.evaluate([name], known)[name])
    report.own.add(float_output, actual[name])
    with np.errstate(over="ignore", invalid="ignore"):  # float16 overflows at 65504; inf - inf is invalid
        rounded = report.spec.dequantize(report.spec.quantize(float_output))
        own, rounding = actual[name] - float_output, rounded - float_output
    report.noise += output_noise(graph, name, expected, own)
    report.rounding += output_noise(graph, name, expected, rounding)


def output_noise(graph: LayerGraph, name: str, expected: dict[str, np.ndarray], error: np.ndarray) -> float:
    """Σ (difference)² at the reference's output if `error` is added to tensor `name`; 0 for an error not finite."""
    if not error.any() or not np.isfinite(error).all():
        return 0.0
    downstream = graph.downstream(name) | {name}
    given = {other: value for other, value in expected.items() if other not in downstream}
    output = graph.evaluate([graph.output], {**given, name: expected[name] + error})[graph.output]
    comparison = Comparison()
    comparison.add(expected[graph.output], output)
    return comparison.noise


def to_numpy(values: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in values.items()}
