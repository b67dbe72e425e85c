"""Attacks on what configs say of calls: references, TensorFlow's functions and nodes, names, channels, nested models.

They change the config of an `.h5` file of Keras 2; `altered` is for any config.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from torture.bytes_attacks import Random
from torture.hdf5_attacks import opened
from torture.keras_attacks import SIZES, pick, places

__all__ = ["ATTACKS", "NODES", "altered"]

NODES = "nodes of TensorFlow's graph"
HUGE = 1 << 30
ODD_NAMES = (
    "", "\0", "\x1b[2J", "../../outside/written", "a" * 10_000, "ä" * 300, "\u202e", "…", "-rf", "_", "channels.1",
    "a.2", "_CONSTANT_VALUE", "kernel", "a\nb", "%s{0}", "layer", "image/", "/", "\ud800",
)  # fmt: skip
SYMBOLS = (
    "os.system", "tf.io.read_file", "io.write_file", "__import__", "raw_ops.ReadFile", "py_function", "math.", "",
    "reshape" * 1000, "__operators__.getitem", "math.multiply", "tf.tile", "pad", "tf.reshape", "repeat", "one_hot",
    "image.resize", "tf.stack", "tf.unstack", "tf.split", "tf.gather", "tf.range", "tf.zeros", "tf.fill", "cast",
    "linalg.matmul", "concat", "keras.backend.eval", "compat.v1.py_func", "broadcast_to", "transpose", "squeeze",
)  # fmt: skip
ODD = (
    *SIZES, "", "\x1b[2J", ["image", 0, 0], ["image", 0, 10**12], ["image", -1, -1], ["nowhere", 0, 0], [[]], [[[]]],
    ["_CONSTANT_VALUE", -1, [1.0] * 9], ["_CONSTANT_VALUE", -1, [[1], [1, 2]]], {"start": 0, "stop": HUGE, "step": 0},
    {"start": "x", "stop": None, "step": None}, {"class_name": "__tuple__", "items": [1, 2]}, [HUGE] * 3, [-1, -1],
    {"class_name": "__keras_tensor__", "config": {"keras_history": ["image", 0, 0]}}, {"class_name": "__ellipsis__"},
    {"class_name": "__numpy__", "config": {"value": [[0.0]], "dtype": "object"}}, "_CONSTANT_VALUE", [None] * 40,
    {"class_name": "TensorShape", "items": [None, HUGE, HUGE, HUGE]},
)  # fmt: skip


def layers_in(config: Any) -> list[dict[str, Any]]:
    """All layers of a config, those of models inside it too."""
    inner = config.get("config") if isinstance(config, dict) else None
    listed = inner.get("layers") if isinstance(inner, dict) else None
    found = [layer for layer in listed or [] if isinstance(layer, dict)]
    return found + [layer for item in found for layer in layers_in(item)]


def calls(config: Any, rng: Random) -> Any:
    """Something odd in a call, or in what a model begins and ends with."""
    ends = [(config["config"], key) for key in ("input_layers", "output_layers")]
    inside = [(layer, "inbound_nodes") for layer in layers_in(config) if layer.get("inbound_nodes")]
    for _ in range(rng.integers(1, 3)):
        owner, key = pick(rng, [*ends, *inside * 2])
        found = [(owner, key), *places(owner[key])]
        parent, place = pick(rng, found)
        parent[place] = pick(rng, ODD)
    return config


def loops(config: Any, rng: Random) -> Any:
    """Layers that take what comes after them, or another call of themselves."""
    text = json.dumps(config)
    names = [layer["name"] for layer in layers_in(config) if isinstance(layer.get("name"), str)]
    for _ in range(rng.integers(1, 4)):
        first, second = pick(rng, names), pick(rng, names)
        number = int(pick(rng, (0, 1, 7, 10**9)))
        text = text.replace(f'["{first}", 0, 0', f'["{second}", {number}, 0', int(rng.integers(1, 3)))
    return json.loads(text)


def doubling(config: Any, rng: Random) -> Any:
    """Models that call a model twice that calls a model twice: 2^n layers in n lines."""
    model: Any = {"class_name": "ReLU", "config": {"name": "relu", "trainable": True}}
    calls_of_one = int(pick(rng, (2, 2, 30, 1000)))
    for depth in range(int(pick(rng, (4, 15, 19, 60, 300)))):
        model = holding(model, f"level{depth}", calls_of_one)
    return model


def holding(inner: Any, name: str, times: int) -> Any:
    image = {"name": "image", "batch_input_shape": [None, 28, 28, 1], "dtype": "float32"}
    first = {"class_name": "InputLayer", "config": image, "name": "image", "inbound_nodes": []}
    nodes = [[["image", 0, 0, {}]], *([["inner", call, 0, {}]] for call in range(1, times))]
    ends = {"input_layers": [["image", 0, 0]], "output_layers": [["inner", times, 0]]}
    layers = [first, {**inner, "name": "inner", "inbound_nodes": nodes}]
    return {"class_name": "Functional", "config": {"name": name, "layers": layers, **ends}}


def functions(config: Any, rng: Random) -> Any:
    """Other functions than those of the table, or those with arguments that are not theirs."""
    found = [layer for layer in layers_in(config) if layer["class_name"] in ("TFOpLambda", "SlicingOpLambda")]
    layer = pick(rng, found)
    if rng.random() < 0.5:
        layer["config"]["function"] = pick(rng, SYMBOLS)
    node = layer["inbound_nodes"][0]
    arguments = node[3] if len(node) == 4 and isinstance(node[3], dict) else {}
    for _ in range(rng.integers(0, 3)):
        key = pick(rng, ["y", "axis", "shape", "multiples", "paddings", "size", "dtype", "values", "name", *arguments])
        arguments[key] = pick(rng, ODD)
    return config


def constants(config: Any, rng: Random) -> Any:
    """Functions of constants alone, which Keras computes at once: as large as the arguments ask."""
    layer = pick(rng, [layer for layer in layers_in(config) if layer["class_name"] == "TFOpLambda"])
    symbol, arguments = pick(rng, (
        ("tile", {"multiples": [HUGE, 64]}), ("pad", {"paddings": [[0, HUGE], [HUGE, 0]]}),
        ("repeat", {"repeats": HUGE, "axis": 0}), ("reshape", {"shape": [1 << 20, 1 << 20]}),
        ("math.pow", {"y": 1e308}), ("image.resize", {"size": [HUGE, HUGE]}),
    ))  # fmt: skip
    layer["config"]["function"] = symbol
    layer["inbound_nodes"] = [["_CONSTANT_VALUE", -1, [[1.0, 2.0]], arguments]]
    return config


def slices(config: Any, rng: Random) -> Any:
    """Slices of odd bounds."""
    layer = pick(rng, [layer for layer in layers_in(config) if layer["class_name"] == "SlicingOpLambda"])
    spec = [{key: pick(rng, SIZES) for key in ("start", "stop", "step")} for _ in range(rng.integers(1, 40))]
    layer["inbound_nodes"][0][3]["slice_spec"] = pick(rng, (spec, spec[0], [*spec, {"value": "x"}], [HUGE], "..."))
    return config


def nodes(config: Any, rng: Random) -> Any:
    """TensorFlow 1.15's nodes: ops, inputs, attributes and constants that are not what they should be."""
    layer = pick(rng, [layer for layer in layers_in(config) if layer["class_name"] == "TensorFlowOpLayer"])
    if rng.random() < 0.4:
        ops = ("ReadFile", "PyFunc", "Tile", "Fill", "StridedSlice", "Pack", "", 3)
        layer["config"]["node_def"]["op"] = pick(rng, ops)
    for _ in range(rng.integers(1, 3)):
        parent, key = pick(rng, list(places(layer["config"])))
        parent[key] = pick(rng, ODD)
    return config


def names(config: Any, rng: Random) -> Any:
    """Odd names, wherever the old one stood; or the same one for several layers."""
    text = json.dumps(config)
    known = sorted({layer["name"] for layer in layers_in(config) if isinstance(layer.get("name"), str)})
    for _ in range(rng.integers(1, 4)):
        text = text.replace(json.dumps(pick(rng, known)), json.dumps(pick(rng, (*ODD_NAMES, *known))))
    return json.loads(text)


def channels(config: Any, rng: Random) -> Any:
    """Layers that say channels_first, and axes of no tensor."""
    for _ in range(rng.integers(1, 4)):
        inner = pick(rng, layers_in(config))["config"]
        if isinstance(inner, dict):
            key = pick(rng, ("data_format", "data_format", "axis", "shared_axes", "dims", "target_shape"))
            inner[key] = "channels_first" if key == "data_format" else pick(rng, (*SIZES, [1], [-9], [[1]], "x"))
    return config


def types(config: Any, rng: Random) -> Any:
    """dtypes and policies of every kind."""
    policy = {"class_name": pick(rng, ("DTypePolicy", "Policy", "evil")), "config": {"name": pick(rng, (*SIZES, "x"))}}
    for _ in range(rng.integers(1, 4)):
        inner = pick(rng, layers_in(config))["config"]
        if isinstance(inner, dict):
            named = ("uint8", "bfloat16", "string", "complex64", "int8_from_float32")
            inner["dtype"] = pick(rng, (*named, policy, *SIZES))
    return config


def of_file(change: Callable[[Any, Random], Any]) -> Callable[[bytes, Random], bytes]:
    def attack(file: Any, rng: Random) -> None:
        file.attrs["model_config"] = json.dumps(change(json.loads(file.attrs["model_config"]), rng))

    return opened(attack)


CHANGES: dict[str, Callable[[Any, Random], Any]] = {
    "calls": calls,
    "calls in loops": loops,
    "models that double": doubling,
    "functions": functions,
    "functions of constants": constants,
    "slices": slices,
    "names of layers": names,
    "channels and axes": channels,
    "dtypes": types,
}
ATTACKS = {**{name: of_file(change) for name, change in CHANGES.items()}, NODES: of_file(nodes)}


def altered(config: Any, rng: Random) -> Any:
    """`config` of Keras 2 after one of these attacks."""
    return pick(rng, list(CHANGES.values()))(config, rng)
