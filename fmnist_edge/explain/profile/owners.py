"""The Keras layers behind the ops that an engine runs, as `explain` knows them."""

from __future__ import annotations

from collections.abc import Callable

from fmnist_edge.artifact import Artifact
from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.checkpoints import Checkpoint
from fmnist_edge.exporters.recipe import precision_of
from fmnist_edge.parity.check import check_origin

__all__ = ["owners_in"]


def owners_in(artifact: Artifact, checkpoint: Checkpoint) -> Callable[[str], tuple[str, ...]]:
    """A function that gives an op's layers: by its output's name in a `.tflite` file, by its own in an `.onnx` file.

    ONNX Runtime changes the names of nodes that it fuses or moves; the layer stands before the first "/". An op that
    it adds, such as ReorderOutput, has none.

    Raises ArtifactError when the file was made from another model, and what the readers of the file raise.
    """
    check_origin(artifact, checkpoint)
    model = checkpoint.model
    op_layers = FORMATS[precision_of(artifact.manifest).format].exporter().op_layers(artifact.path.read_bytes(), model)
    layers = {layer.name for layer in model.layers}

    def owners(name: str) -> tuple[str, ...]:
        if name in op_layers:
            return op_layers[name]
        first = name.removeprefix("fused ").partition("/")[0]
        return (first,) if first in layers else ()

    return owners
