"""Model configs are data: an allow-list of built-in names, checked and rewritten before Keras sees them."""

from __future__ import annotations

from typing import Any

from fmnist_edge.checkpoints.allowed import ACTIVATIONS, DATA, HELPERS, LAYERS, OPERATIONS, POLICIES
from fmnist_edge.checkpoints.contents import shown

__all__ = ["ConfigRefusedError", "clean", "head_of", "layers_of"]

PACKAGES = ("keras", "tf_keras", "builtins")  # "builtins" is what Keras 3 wrote for its own functions
LRN = "fmnist_edge>LocalResponseNormalization"
KERNEL = ("kernel_initializer", "kernel_regularizer", "kernel_constraint")
# What Keras 2 wrote and Keras 3 refuses: part of a class name, settings, the value at which they say nothing.
UNSAID: tuple[tuple[str, tuple[str, ...], Any], ...] = (
    ("DepthwiseConv", KERNEL, ...),
    ("DepthwiseConv", ("filters",), None),
    ("SeparableConv", KERNEL, ...),
    ("DepthwiseConv", ("groups",), 1),
    ("SeparableConv", ("groups",), 1),
    ("Transpose", ("groups",), 1),
    ("SpatialDropout", ("trainable", "noise_shape"), ...),
    ("Random", ("rng_type",), ...),
    ("MultiHeadAttention", ("query_shape", "key_shape", "value_shape"), ...),
    ("MultiHeadAttention", ("softmax_robust_masking",), False),
    ("", ("time_major",), False),
)
PASS_THROUGH = frozenset({"Dropout", "Flatten", "Identity", "Reshape", "ActivityRegularization"})


class ConfigRefusedError(ValueError):
    """Why Keras does not get to see this config."""


def clean(config: Any) -> dict[str, Any]:
    """A copy of a Keras 2 or 3 model config made of allow-listed classes only, every module name ours.

    Compile settings are dropped and a fixed batch size is opened. Raises ConfigRefusedError, which names the layer.
    """
    if not isinstance(config, dict) or config.get("class_name") not in ("Functional", "Model", "Sequential"):
        received = config.get("class_name") if isinstance(config, dict) else config
        raise ConfigRefusedError(f"its model is a {shown(received)}, not a Sequential or functional one")
    return clean_layer(config)


def clean_value(key: str, value: Any) -> Any:
    if key.endswith("activation"):
        return clean_activation(value)
    if key in ("batch_shape", "batch_input_shape") and isinstance(value, list) and value:
        return [None, *value[1:]]
    if isinstance(value, list):
        return [clean_value(key, item) for item in value]
    if not isinstance(value, dict):
        return value
    if "class_name" not in value:
        return {name: clean_value(name, item) for name, item in value.items()}
    return clean_object(key, value)


def clean_object(key: str, node: dict[str, Any]) -> Any:
    class_name = node["class_name"]
    if class_name == "__tuple__":  # Keras 2's way to tell tuples from lists
        return clean_value(key, node.get("items"))
    if class_name in DATA:
        return {"class_name": class_name, "config": clean_value("", node.get("config"))}
    if key in ("dtype", "dtype_policy"):
        name = (node.get("config") or {}).get("name")
        if class_name in POLICIES and isinstance(name, str):
            return name
        raise ConfigRefusedError(f"its dtype policy {shown(class_name)} is not a floating-point one")
    for kind, names in HELPERS.items():
        if key.endswith(kind[:-1]):
            check_origin(node, kind[:-1])
            if class_name not in names:
                raise ConfigRefusedError(f"{key} {shown(class_name)} is not built in")
            inner = clean_value("", node.get("config") or {})
            return {"module": f"keras.{kind}", "class_name": class_name, "config": inner, "registered_name": None}
    return clean_layer(node)


def clean_activation(value: Any) -> Any:
    if isinstance(value, dict) and value.get("class_name") == "function":  # Keras 3 wrote functions so at first
        check_origin(value, "activation")
        value = value.get("config")
    elif isinstance(value, dict) and "class_name" in value:
        return clean_layer(value)
    if value is None or (isinstance(value, str) and value in ACTIVATIONS):
        return value
    raise ConfigRefusedError(f"activation {shown(value)} is not built in")


def clean_layer(node: dict[str, Any]) -> dict[str, Any]:
    class_name, config = node["class_name"], node.get("config")
    name = node.get("name") or (config.get("name") if isinstance(config, dict) else None)
    module, registered = home_of(node, f"layer {shown(name)}")
    if class_name == "Sequential" and isinstance(config, list):  # Keras 2.0 and 2.1
        config = {"layers": config}
    if not isinstance(config, dict):
        raise ConfigRefusedError(f"layer {shown(name)} has no config")
    inner = {key: clean_value(key, value) for key, value in config.items()}
    inner["name"] = name if isinstance(name, str) else None
    if module == "keras.layers":
        inner = modernise(class_name, inner)
    elif class_name == "Sequential":
        inner["layers"] = with_input(inner.get("layers"))
    elif class_name in ("Functional", "Model"):
        class_name = "Functional"
    cleaned = {"module": module, "class_name": class_name, "config": inner, "registered_name": registered}
    for key in ("name", "inbound_nodes", "build_config"):
        if key in node:
            cleaned[key] = clean_value("", node[key])
    return cleaned


def home_of(node: dict[str, Any], label: str) -> tuple[str, str | None]:
    """The module and registered name under which Keras will find this layer's class."""
    class_name, module = node["class_name"], node.get("module")
    if node.get("registered_name") == LRN and class_name == "LocalResponseNormalization":
        return "fmnist_edge.models.layers", LRN
    check_origin(node, label)
    if isinstance(module, str) and class_name in OPERATIONS.get(module, ()):
        return module, None
    if class_name == "Sequential":
        return "keras", None
    config = node.get("config")
    if class_name in ("Functional", "Model") and isinstance(config, dict) and "output_layers" in config:
        return "keras.src.models.functional", None
    if class_name in LAYERS and not str(module).startswith("keras.src.ops"):
        return "keras.layers", None
    raise ConfigRefusedError(f"{label} is a {shown(class_name)}, which is not a built-in layer free of code")


def check_origin(node: dict[str, Any], label: str) -> None:
    class_name, module, registered = node["class_name"], node.get("module"), node.get("registered_name")
    known = module is None or (isinstance(module, str) and module.partition(".")[0] in PACKAGES)
    function = class_name == "function" and registered == node.get("config")
    if not isinstance(class_name, str) or not known or not (registered in (None, class_name) or function):
        raise ConfigRefusedError(f"{label} is {shown(registered or class_name)} from {shown(module)}, not from Keras")
    if module == "builtins" and class_name != "function":
        raise ConfigRefusedError(f"{label} is {shown(class_name)} from {shown(module)}, not from Keras")


def modernise(class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Keras 2's spelling of a layer's settings in Keras 3's."""
    axis = config.get("axis")
    if class_name == "BatchNormalization" and isinstance(axis, list) and len(axis) == 1:
        config["axis"] = axis[0]
    for part, keys, silent in UNSAID:
        if part in class_name:
            config = {key: value for key, value in config.items() if key not in keys or silent not in (..., value)}
    return config


def with_input(layers: Any) -> Any:
    """Sequential layers, the first layer's own `batch_input_shape` made an InputLayer."""
    if not isinstance(layers, list) or not all(isinstance(layer, dict) and "config" in layer for layer in layers):
        raise ConfigRefusedError("a Sequential model has no list of layers")
    shapes = [layer["config"].pop("batch_input_shape", None) for layer in layers if layer["class_name"] != "InputLayer"]
    if layers and layers[0]["class_name"] != "InputLayer" and shapes[0]:
        config = {"batch_shape": shapes[0]}
        first = {"module": "keras.layers", "class_name": "InputLayer", "config": config, "registered_name": None}
        return [first, *layers]
    return layers


def layers_of(config: Any) -> dict[str, dict[str, Any]]:
    """A model's own layers by name, in its order, from a config that need not be clean."""
    inner = config.get("config") if isinstance(config, dict) else None
    listed = inner.get("layers") if isinstance(inner, dict) else inner
    found = {}
    for layer in listed if isinstance(listed, list) else []:
        if isinstance(layer, dict) and isinstance(layer.get("config"), dict):
            found[str(layer.get("name") or layer["config"].get("name"))] = layer
    return found


def head_of(config: Any) -> str:
    """The activation that a model's config ends in; '' when the config does not tell."""
    layers = layers_of(config)
    last = names_in(config["config"].get("output_layers")) if isinstance(config.get("config"), dict) else []
    name = last[0] if last else next(reversed(layers), "")
    for _ in range(len(layers)):
        layer = layers.get(name, {"class_name": "", "config": {}})
        class_name, activation = layer.get("class_name"), layer["config"].get("activation")
        if class_name in ("Softmax", "ReLU"):
            return str(class_name).lower()
        if class_name not in PASS_THROUGH and not (class_name == "Activation" and activation == "linear"):
            return (activation if isinstance(activation, str) else "") if class_name in ("Dense", "Activation") else ""
        parents = names_in(layer.get("inbound_nodes")) or [*layers][: [*layers].index(name)][-1:]
        name = parents[0] if parents else ""
    return ""


def names_in(nodes: Any) -> list[str]:
    """Layer names in `inbound_nodes` or `output_layers`, written by Keras 2 or 3."""
    if isinstance(nodes, list):
        if nodes and isinstance(nodes[0], str):
            return [nodes[0]]
        return [name for node in nodes for name in names_in(node)]
    if isinstance(nodes, dict):
        history = nodes.get("keras_history")
        return names_in(history) if history else [name for item in nodes.values() for name in names_in(item)]
    return []
