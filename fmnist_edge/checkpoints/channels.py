"""channels_first models as channels_last ones: channels stay last as long as layers allow it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fmnist_edge.checkpoints.contents import shown
from fmnist_edge.checkpoints.parts import Part, leaves_of
from fmnist_edge.checkpoints.refusals import ConfigRefusedError

if TYPE_CHECKING:
    import keras

__all__ = ["Channels"]

FIRST, LAST = "channels_first", "channels_last"
# They compute each value alone, so the order of axes does not matter. Inputs that are merged must have the same order.
ELEMENTWISE = frozenset({
    "Activation", "ActivityRegularization", "Add", "AlphaDropout", "Average", "Dropout", "ELU", "GaussianDropout",
    "GaussianNoise", "Identity", "LeakyReLU", "Maximum", "Minimum", "Multiply", "ReLU", "Subtract",
})  # fmt: skip
BY_AXIS = frozenset({
    "BatchNormalization", "Concatenate", "GroupNormalization", "LayerNormalization", "Normalization",
    "RMSNormalization", "Softmax", "UnitNormalization",
})  # fmt: skip
# Activations that read along the last axis: the columns of a channels_first tensor.
ALONG_LAST = frozenset({"glu", "log_softmax", "softmax", "sparsemax"})


class Channels:
    """Which tensors of one model have their channels last here and first in the file.

    Keras's kernels are the same for both. `data_format` and axes differ. Flatten does not: in Keras a channels_first
    Flatten reads in the order of channels_last.
    """

    def __init__(self, root: Part) -> None:
        self.used = any(says_first(leaf.node["config"]) for leaf in leaves_of(root))
        self.permutations = 0
        self.moved: dict[int, keras.KerasTensor] = {}  # by id; the tensors are kept, so that no id is used again

    def input_shape(self, shape: list[int | None]) -> list[int | None]:
        """(batch, channels, rows, columns) -> (batch, rows, columns, channels)."""
        return [shape[0], *shape[2:], shape[1]] if self.used and len(shape) > 2 else shape

    def mark(self, tensor: keras.KerasTensor) -> keras.KerasTensor:
        if self.used and len(tensor.shape) > 2:
            self.moved[id(tensor)] = tensor
        return tensor

    def as_said(self, tensor: Any) -> Any:
        """A tensor with its axes in the file's order."""
        if id(tensor) not in self.moved:
            return tensor
        rank = len(tensor.shape)
        return self.permuted(tensor, (rank - 1, *range(1, rank - 1)))

    def permuted(self, tensor: keras.KerasTensor, dims: tuple[int, ...]) -> keras.KerasTensor:
        import keras

        self.permutations += 1
        return keras.layers.Permute(dims, name=f"channels.{self.permutations}")(tensor)

    def with_last(self, tensor: Any) -> Any:
        rank = len(getattr(tensor, "shape", ()))
        if id(tensor) in self.moved or rank < 3:
            return tensor
        return self.permuted(tensor, (*range(2, rank), 1))

    def settle(self, part: Part, args: list[Any]) -> tuple[dict[str, Any], list[Any], bool]:
        """How to call a layer: its config, its arguments, and whether its outputs have channels last."""
        import keras

        node, class_name = part.node, part.node["class_name"]
        config = node["config"]
        if not self.used:
            return config, args, False
        if says_first(config):
            check_plain(part)
            image, *rest = args  # what follows is a kernel
            moved = [keras.tree.map_structure(self.with_last, image), *self.all_as_said(rest)]
            return {**config, "data_format": LAST}, moved, True
        tensors = [item for item in keras.tree.flatten(args) if isinstance(item, keras.KerasTensor)]
        alike = bool(tensors) and all(id(tensor) in self.moved for tensor in tensors)
        if part.layer is not None:  # another call of the same layer: as at the first one
            move = self.with_last if part.lies_last else self.as_said
            return config, keras.tree.map_structure(move, args), part.lies_last
        if node["module"] == "keras.layers" and alike:
            axis = config.get("axis", -1)
            if class_name in ELEMENTWISE and not config.get("noise_shape") and not reads_along_last(config):
                return config, args, True
            alone = isinstance(axis, int) or (isinstance(axis, list) and len(axis) == 1)  # several: weights lie by them
            if class_name in BY_AXIS and (alone or class_name == "Softmax"):
                return {**config, "axis": moved_axis(axis, len(tensors[0].shape))}, args, True
        return config, self.all_as_said(args), False

    def all_as_said(self, value: Any) -> Any:
        import keras

        return keras.tree.map_structure(self.as_said, value) if self.used else value


def says_first(config: Any) -> bool:
    """Whether a layer's config, or one in it, is channels_first."""
    if isinstance(config, dict):
        return config.get("data_format") == FIRST or any(map(says_first, config.values()))
    return isinstance(config, list) and any(map(says_first, config))


def check_plain(part: Part) -> None:
    """Raises ConfigRefusedError where channels do not come right behind the batch."""
    config = part.node["config"]
    if config.get("data_format") != FIRST or part.class_name.startswith("ConvLSTM"):
        raise ConfigRefusedError(
            f"layer {shown(part.name)}, a {part.class_name}, is channels_first",
            "build the model with data_format='channels_last', copy the weights, and save it again",
        )
    if reads_along_last(config):
        raise ConfigRefusedError(
            f"layer {shown(part.name)} is channels_first and ends in {shown(config['activation'])}, which reads along "
            "the columns there",
            "build the model with data_format='channels_last', copy the weights, and save it again",
        )


def reads_along_last(config: dict[str, Any]) -> bool:
    activation = config.get("activation")
    name = activation.get("class_name") if isinstance(activation, dict) else activation
    return isinstance(name, str) and name.lower().replace("_", "") in {item.replace("_", "") for item in ALONG_LAST}


def moved_axis(axis: Any, rank: int) -> Any:
    """Where an axis of a channels_first tensor is once channels lie last."""
    if isinstance(axis, list):
        return [moved_axis(item, rank) for item in axis]
    if not isinstance(axis, int):
        return axis
    place = axis % rank
    return place if place == 0 else rank - 1 if place == 1 else place - 1
