"""Hostile configs and object graphs: the readers of calls, operations, names and SavedModels refuse them in time."""

import copy
import json
import random
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.keras_models import SHAPE

from fmnist_edge import checkpoints
from fmnist_edge.checkpoints.config import clean
from fmnist_edge.checkpoints.names import safe
from fmnist_edge.checkpoints.object_graph import ObjectGraph
from fmnist_edge.checkpoints.parts import plan_of
from fmnist_edge.checkpoints.savedmodel import list_of
from fmnist_edge.errors import CheckpointError

FILES = Path(__file__).parent / "files"


def config_in(path):
    with h5py.File(path) as file:
        return json.loads(file.attrs["model_config"])


def with_config(source, target, config):
    shutil.copy(source, target)
    target.chmod(0o644)
    with h5py.File(target, "r+") as file:
        file.attrs["model_config"] = json.dumps(config)
    return target


def holding(inner, name):
    """A model that calls `inner` twice, one after the other, as Keras 2 writes it."""
    image = {"name": "image", "batch_input_shape": [None, *SHAPE], "dtype": "float32"}
    first = {"class_name": "InputLayer", "config": image, "name": "image", "inbound_nodes": []}
    twice = {**inner, "name": "inner", "inbound_nodes": [[["image", 0, 0, {}]], [["inner", 1, 0, {}]]]}
    ends = {"input_layers": [["image", 0, 0]], "output_layers": [["inner", 2, 0]]}
    return {"class_name": "Functional", "config": {"name": name, "layers": [first, twice], **ends}}


def test_models_that_double_are_refused_before_they_are_made(tmp_path):
    model = {"class_name": "ReLU", "config": {"name": "relu", "trainable": True}}
    for depth in range(18):
        model = holding(model, f"level{depth}")
    path = with_config(FILES / "tf1.15" / "plain.h5", tmp_path / "doubling.h5", model)
    with pytest.raises(CheckpointError, match="calls more than 20,000 layers"):
        checkpoints.load(path)
    for depth in range(10):
        model = holding(model, f"more{depth}")
    with pytest.raises(CheckpointError, match="nested more than 20 deep"):
        checkpoints.load(with_config(path, tmp_path / "deep.h5", model))


class Node:
    def __init__(self, children, attributes=()):
        self.children = [type("Child", (), {"local_name": name, "node_id": id_})() for name, id_ in children.items()]
        self.attributes = attributes


def test_an_object_graph_that_loops_or_points_nowhere():
    loop = ObjectGraph([Node({"cell": 1}), Node({"cell": 0, "other": 0})], lambda key: np.zeros(1))
    assert not loop.source(0).all
    nowhere = ObjectGraph([Node({"cell": 7})], lambda key: np.zeros(1))
    with pytest.raises(CheckpointError, match="object 7, which it does not have"):
        nowhere.source(0)
    wide = ObjectGraph(
        [Node({str(i): j for i in range(9)}) for j in range(1, 40)] + [Node({})], lambda key: np.zeros(1)
    )
    wide.visited = 999_000
    with pytest.raises(CheckpointError, match="more than 1,000,000 edges"):
        wide.source(0)


ODD = (None, -1, 10**30, 1e308, "", "x" * 5000, "\x1b[2J", [], {}, [[]], True, {"class_name": "__tuple__"}, "../../x",
       ["image", 0, 0], {"start": 1, "stop": [], "step": "x"}, "_CONSTANT_VALUE", "math.multiply")  # fmt: skip


def test_functions_of_constants_are_refused_before_they_are_computed(tmp_path):
    config = config_in(FILES / "tf2.4" / "tfop_preprocess.h5")
    layer = next(item for item in config["config"]["layers"] if item["class_name"] == "TFOpLambda")
    layer["config"]["function"] = "tile"
    layer["inbound_nodes"] = [["_CONSTANT_VALUE", -1, [1.0, 2.0], {"multiples": [1 << 40]}]]
    path = with_config(FILES / "tf2.4" / "tfop_preprocess.h5", tmp_path / "constants.h5", config)
    with pytest.raises(CheckpointError, match=f"layer '{layer['name']}' is called with constants alone"):
        checkpoints.load(path)


def test_a_call_with_what_is_no_tensor_names_its_layer(tmp_path):
    config = config_in(FILES / "tf1.15" / "nested_partly_frozen.h5")
    layer = next(item for item in config["config"]["layers"] if item["inbound_nodes"])
    layer["inbound_nodes"][0][0][1] = None
    path = with_config(FILES / "tf1.15" / "nested_partly_frozen.h5", tmp_path / "odd.h5", config)
    with pytest.raises(CheckpointError, match=f"layer '{layer['name']}' is called with .*, which is no output of"):
        checkpoints.load(path)


def test_a_variable_that_is_listed_twice_is_not_counted_twice(tmp_path):
    class Variable:
        name, checkpoint_key, full_name = "VARIABLE_VALUE", "kernel", "kernel"

    nodes = [Node({"variables": 1}), Node({"0": 2, "1": 3}), Node({}, [Variable]), Node({}, [Variable])]
    with pytest.raises(CheckpointError, match="lists 'kernel' twice"):
        list_of(ObjectGraph(nodes, lambda key: np.zeros(1)))


def places_in(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places_in(item, (*path, key))


def changed(config, rng):
    """`config` with something odd in one place."""
    path = rng.choice([path for path in places_in(config) if path])
    config = copy.deepcopy(config)
    inner = config
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = rng.choice(ODD)
    return config


@pytest.mark.parametrize(
    "name", ["tf1.15/tfop_preprocess.h5", "tf2.4/tfop_preprocess.h5", "tf1.15/nested_partly_frozen.h5"]
)
def test_changed_configs_load_or_are_refused_in_a_line(name, tmp_path):
    rng = random.Random(name)
    sound = config_in(FILES / name)
    for number in range(40):
        path = with_config(FILES / name, tmp_path / "changed.h5", changed(sound, rng))
        try:
            checkpoints.load(path)
        except CheckpointError as error:
            message = str(error)
            assert "\n" not in message and message.isprintable() and len(message) < 900, number


def test_changed_saved_models_load_or_are_refused_in_a_line(tmp_path):
    rng = random.Random(4)
    for number in range(12):
        folder = tmp_path / str(number)
        shutil.copytree(FILES / "tf1.15" / "tfop_preprocess_sm", folder)
        target = rng.choice([path for path in folder.rglob("*") if path.is_file()])
        target.chmod(0o644)
        content = bytearray(target.read_bytes())
        for _ in range(rng.choice((1, 8, 64))):
            content[rng.randrange(len(content))] = rng.randrange(256)
        target.write_bytes(content)
        try:
            checkpoints.load(folder)
        except CheckpointError as error:
            assert "\n" not in str(error) and str(error).isprintable(), number


@pytest.mark.parametrize(
    "name", ["", "\0", "\x1b[2J", "../../etc/passwd", "a" * 10_000, "ä" * 300, "\u202e", "…", "-rf", "_"]
)
def test_a_label_of_any_name_is_safe(name):
    label = safe(name)
    assert 0 < len(label) <= 85 and label.isascii() and label[0].isalnum()
    assert not set(label) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


def test_a_wide_model_is_read_in_linear_time():
    """Calls in an order that makes each wait for the next are still few passes, or refused."""
    image = {"name": "image", "batch_input_shape": [None, 4], "dtype": "float32"}
    layers = [{"class_name": "InputLayer", "config": image, "name": "image", "inbound_nodes": []}]
    for number in range(300):
        before = f"relu{number - 1}" if number else "image"
        layer = {"class_name": "ReLU", "config": {"name": f"relu{number}", "trainable": True}, "name": f"relu{number}"}
        layers.append({**layer, "inbound_nodes": [[[before, 0, 0, {}]]]})
    ends = {"input_layers": [["image", 0, 0]], "output_layers": [["relu299", 0, 0]]}
    config = {"class_name": "Functional", "config": {"name": "m", "layers": layers[::-1], **ends}}
    assert len(plan_of(clean(config)).root.parts) == 301 < sys.getrecursionlimit()
