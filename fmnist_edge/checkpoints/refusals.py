"""Why a file is refused, and what helps with this one."""

from __future__ import annotations

import re
from typing import Any

from fmnist_edge.checkpoints.allowed import REFUSED_LAYERS, REFUSED_OPERATIONS
from fmnist_edge.checkpoints.contents import shown

__all__ = ["AGAIN", "REBUILD", "ConfigRefusedError", "cause_of", "foreign", "not_built_in"]

REBUILD = "build it from built-in layers and save it again with model.save('model.keras')"
AGAIN = "load it where it was made and save it again with model.save('model.keras')"
# Classes that other packages put around a model or into it: what makes a model of built-in layers of it.
WAYS_OUT = {
    "Lambda": (
        "write it with built-in layers, such as Rescaling(1 / 255) for x / 255, or with keras.ops, copy the weights, "
        "and save the model again"
    ),
    "PruneLowMagnitude": "call tfmot.sparsity.keras.strip_pruning(model) and save what it returns",
    "ClusterWeights": "call tfmot.clustering.keras.strip_clustering(model) and save what it returns",
    "QuantizeWrapper": "export the float model from before quantisation-aware training, and let --precision choose",
    "QuantizeWrapperV2": "export the float model from before quantisation-aware training, and let --precision choose",
    "QuantizeLayer": "export the float model from before quantisation-aware training, and let --precision choose",
    "CuDNNGRU": "build it with GRU(reset_after=True), copy the weights, and save the model again",
    "CuDNNLSTM": "build it with LSTM, copy the weights, and save the model again",
    "TFSMLayer": "save the Keras model itself with model.save('model.keras'), not a layer around its SavedModel",
    "KerasLayer": "TensorFlow Hub layers hold a graph; build the network with keras.applications and copy the weights",
}


# Lines of Keras's messages that wrap what was wrong, or print whole configs.
NOISE = ("Exception encountered when calling", "Received:", "Full ", "Arguments received", "•", "{", "config=")


class ConfigRefusedError(ValueError):
    """Why Keras does not get to see this config. `way_out` says what to do about it, where that is known."""

    def __init__(self, reason: str, way_out: str = REBUILD) -> None:
        super().__init__(reason)
        self.way_out = way_out


def foreign(name: Any, module: Any, label: str) -> ConfigRefusedError:
    """A class or function that is not Keras's own."""
    simple = str(name).rpartition(">")[2]
    return ConfigRefusedError(f"{label} is {shown(name)} from {shown(module)}, not from Keras", way_out_of(simple))


def not_built_in(class_name: Any, label: str) -> ConfigRefusedError:
    """A class of no module that is none of the allowed ones."""
    reasons = {**REFUSED_OPERATIONS, **REFUSED_LAYERS}
    why = reasons.get(class_name, "is not a built-in layer free of code") if isinstance(class_name, str) else "is none"
    return ConfigRefusedError(f"{label} is a {shown(class_name)}, which {why}", way_out_of(class_name))


def way_out_of(class_name: Any) -> str:
    return WAYS_OUT.get(class_name, REBUILD) if isinstance(class_name, str) else REBUILD


def cause_of(error: Exception, limit: int = 240) -> str:
    """The line of a Keras message that says what is wrong: after what it wraps, without the configs it prints."""
    text = re.sub(r"\x1b\[\d*m", "", str(error))
    for wrapper in ("Exception encountered: ", "Error encountered:"):
        text = text.rpartition(wrapper)[2]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    useful = [line for line in lines if not line.startswith(NOISE)]
    line = next((line for line in useful if not line.endswith(":")), (useful or lines or [type(error).__name__])[0])
    line = "".join(letter if letter.isprintable() else "?" for letter in line)
    return line if len(line) <= limit else line[: limit - 1] + "…"
