"""Model configs are data: an allow-list of built-in names, checked and rewritten before Keras sees them."""

from __future__ import annotations

from typing import Any

from fmnist_edge.checkpoints.allowed import (
    ACTIVATIONS,
    APPLICATION_LAYERS,
    DATA,
    HELPERS,
    KERAS_2_LAYERS,
    LAYERS,
    OPERATIONS,
    POLICIES,
)
from fmnist_edge.checkpoints.contents import shown
from fmnist_edge.checkpoints.refusals import ConfigRefusedError, foreign, not_built_in
from fmnist_edge.checkpoints.settings import accepted, dtype_of, modern

__all__ = ["ConfigRefusedError", "clean", "head_of", "layers_of"]

PACKAGES = ("keras", "tf_keras", "builtins")  # "builtins" is what Keras 3 wrote for its own functions
LRN = "fmnist_edge>LocalResponseNormalization"
INITIALISERS_OF_TENSORFLOW = "tensorflow.python.ops.init_ops"  # as tf-keras's EfficientNetV2 has them
HARD_SIGMOID = "fmnist_edge>hard_sigmoid_of_keras_2"
MODELS = ("Functional", "Model", "Network", "Sequential")
TENSORFLOW = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")
PASS_THROUGH = frozenset({"Dropout", "Flatten", "Identity", "Reshape", "ActivityRegularization"})


def clean(config: Any, keras_2: bool = False) -> dict[str, Any]:
    """A copy of a Keras 2 or 3 model config made of allow-listed classes only, every module name ours.

    Compile settings, a fixed batch size and what today's Keras does not take are dropped. Calls (`inbound_nodes`) stay
    as they are: `graph` reads them. Raises ConfigRefusedError, which names the layer.
    """
    if not isinstance(config, dict) or config.get("class_name") not in MODELS:
        received = config.get("class_name") if isinstance(config, dict) else config
        raise ConfigRefusedError(
            f"its model is a {shown(received)}, not a Sequential or functional one",
            "make it one with keras.Model(inputs, outputs) and save it again",
        )
    cleaned = clean_layer(config)
    return with_old_hard_sigmoid(cleaned) if keras_2 else cleaned


def clean_value(key: str, value: Any, layer: str = "") -> Any:
    if key.endswith("activation"):
        return clean_activation(value)
    if key in ("batch_shape", "batch_input_shape"):
        shape = shape_of(value)
        return [None, *shape[1:]] if shape else value
    if key in ("dtype", "dtype_policy") and isinstance(value, str):
        return dtype_of(value, layer)
    if isinstance(value, list):
        return [clean_value(key, item, layer) for item in value]
    if not isinstance(value, dict):
        return value
    if "class_name" not in value:
        return {name: clean_value(name, item, layer) for name, item in value.items()}
    return clean_object(key, value, layer)


def shape_of(value: Any) -> list[Any]:
    """A shape in any form: a list, Keras 2's tuple, TensorFlow's TensorShape."""
    if isinstance(value, dict):
        value = value.get("items") or value.get("config") or value.get("shape")
    return list(value) if isinstance(value, (list, tuple)) else []


def clean_object(key: str, node: dict[str, Any], layer: str) -> Any:
    class_name = node["class_name"]
    if class_name in ("__tuple__", "TensorShape"):  # Keras 2's way to tell tuples from lists
        return clean_value(key, node.get("items"), layer)
    if class_name in DATA:
        return {"class_name": class_name, "config": clean_value("", node.get("config"), layer)}
    if key in ("dtype", "dtype_policy"):
        name = (node.get("config") or {}).get("name")
        if class_name in POLICIES and isinstance(name, str):
            return dtype_of(name, layer)
        raise ConfigRefusedError(
            f"layer {shown(layer)} has the dtype policy {shown(class_name)}, which is not a floating-point one",
            "save the float model, from before quantize(), and let --precision choose",
        )
    for kind, names in HELPERS.items():
        if key.endswith(kind[:-1]):
            if not str(node.get("module")).startswith(INITIALISERS_OF_TENSORFLOW):
                check_origin(node, kind[:-1])
            if class_name not in names:
                raise ConfigRefusedError(f"layer {shown(layer)} has the {key} {shown(class_name)}, not a built-in one")
            known = accepted(kind, class_name) or frozenset()
            config = node.get("config") or {}
            inner = {name: clean_value("", item, layer) for name, item in config.items() if name in known}
            return {"module": f"keras.{kind}", "class_name": class_name, "config": inner, "registered_name": None}
    return clean_layer(node)


def clean_activation(value: Any) -> Any:
    if isinstance(value, dict) and value == old_hard_sigmoid():
        return old_hard_sigmoid()
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
    name = name if isinstance(name, str) else None
    if class_name in TENSORFLOW and isinstance(config, dict):
        check_origin(node, f"layer {shown(name)}")
        kept = {key: config[key] for key in ("function", "node_def", "constants") if key in config}
        return {**calls(node), "module": "tensorflow", "class_name": class_name, "config": kept, "name": name or ""}
    module, registered = home_of(node, f"layer {shown(name)}")
    if class_name == "Sequential" and isinstance(config, list):  # Keras 2.0 and 2.1
        config = {"layers": config}
    if not isinstance(config, dict):
        raise ConfigRefusedError(f"layer {shown(name)} has no config")
    raw = ("input_layers", "output_layers")
    inner = {key: value if key in raw else clean_value(key, value, name or "") for key, value in config.items()}
    inner["name"] = name
    written = class_name = class_name.removeprefix("Custom>")
    if module == "keras.layers":
        class_name, inner = renamed(class_name, inner)
        inner = modern(class_name, inner)
    elif class_name == "Sequential":
        inner["layers"] = with_input(inner)
    elif class_name in MODELS:
        class_name = "Functional"
    cleaned = {"module": module, "class_name": class_name, "config": inner, "registered_name": registered}
    extra = {"written": written} if written != class_name else {}
    if class_name != "InputLayer" and isinstance(config.get("batch_input_shape"), (list, dict)):
        extra["takes"] = shape_of(config["batch_input_shape"])
    return {**cleaned, **calls(node), **extra}


def calls(node: dict[str, Any]) -> dict[str, Any]:
    return {key: node[key] for key in ("name", "inbound_nodes") if key in node}


def renamed(class_name: str, config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A class of Keras 2 that Keras 3 does not have as one that computes the same."""
    if class_name not in KERAS_2_LAYERS:
        return class_name, config
    ours, settings = KERAS_2_LAYERS[class_name]
    if settings is None:
        return ours, {"name": config["name"]}
    return ours, {settings.get(key, key): value for key, value in config.items()}


def old_hard_sigmoid() -> dict[str, Any]:
    return {"module": "builtins", "class_name": "function", "config": HARD_SIGMOID, "registered_name": "function"}


def with_old_hard_sigmoid(value: Any, key: str = "") -> Any:
    """Keras 2's hard_sigmoid is clip(0.2x + 0.5, 0, 1), where Keras 3's is relu6(x + 3) / 6."""
    if isinstance(value, dict):
        return {name: with_old_hard_sigmoid(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [with_old_hard_sigmoid(item, key) for item in value]
    return old_hard_sigmoid() if key.endswith("activation") and value == "hard_sigmoid" else value


def home_of(node: dict[str, Any], label: str) -> tuple[str, str | None]:
    """The module and registered name under which Keras will find this layer's class."""
    class_name, module = node["class_name"], node.get("module")
    if node.get("registered_name") == LRN and class_name == "LocalResponseNormalization":
        return "fmnist_edge.models.layers", LRN
    config = node.get("config")
    home = application_of(node)
    if home is not None:
        return home, None
    check_origin(node, label)
    if isinstance(module, str) and class_name in OPERATIONS.get(module, ()):
        return module, None
    if module is None and isinstance(config, dict) and "trainable" not in config and "inbound_nodes" in node:
        for home, names in OPERATIONS.items():  # as Keras 3 writes operations into .h5
            if class_name in names and takes_as_operation(node):
                return home, None
    if class_name == "Sequential":
        return "keras", None
    if class_name in MODELS and isinstance(config, dict) and "output_layers" in config:
        return "keras.src.models.functional", None
    if (class_name in LAYERS or class_name in KERAS_2_LAYERS) and not str(module).startswith("keras.src.ops"):
        return "keras.layers", None
    raise not_built_in(class_name, label)


def application_of(node: dict[str, Any]) -> str | None:
    """The module of a layer that keras.applications has for itself; None when it is not exactly that."""
    module, config = str(node.get("module") or "keras"), node.get("config")
    found = APPLICATION_LAYERS.get(str(node["class_name"]).removeprefix("Custom>"))
    if found is None or not isinstance(config, dict) or module.partition(".")[0] not in PACKAGES:
        return None
    own = set(config) - {"name", "trainable", "dtype", "batch_input_shape"}
    return found[0] if own == found[1] else None


def takes_as_operation(node: dict[str, Any]) -> bool:
    """Whether a node without a module is an operation and no layer of the same name: it has calls as Keras 3 does."""
    nodes = node["inbound_nodes"]
    return isinstance(nodes, list) and bool(nodes) and all(isinstance(item, dict) for item in nodes)


def check_origin(node: dict[str, Any], label: str) -> None:
    class_name, module, registered = node["class_name"], node.get("module"), node.get("registered_name")
    known = module is None or (isinstance(module, str) and module.partition(".")[0] in PACKAGES)
    function = class_name == "function" and registered == node.get("config")
    if not isinstance(class_name, str) or not known or not (registered in (None, class_name) or function):
        raise foreign(registered or class_name, module, label)
    if module == "builtins" and class_name != "function":
        raise foreign(class_name, module, label)


def with_input(config: dict[str, Any]) -> Any:
    """The layers of a Sequential model, with an InputLayer in front where the config gives its shape elsewhere."""
    layers = config.get("layers")
    if not isinstance(layers, list) or not all(isinstance(layer, dict) and "config" in layer for layer in layers):
        raise ConfigRefusedError("a Sequential model has no list of layers")
    if not layers or layers[0]["class_name"] == "InputLayer":
        return layers
    shape = layers[0].get("takes") or shape_of(config.get("build_input_shape"))
    if shape and layers[0]["class_name"] not in ("Functional", "Sequential"):
        inner = {"batch_shape": [None, *shape[1:]]}
        return [
            {"module": "keras.layers", "class_name": "InputLayer", "config": inner, "registered_name": None},
            *layers,
        ]
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
    """The activation that a model's config ends in; '' when the config does not say."""
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
