"""What stays refused is refused by what is true of the file, and by what helps with it."""

import json

import h5py
import numpy as np
import pytest

from fmnist_edge import checkpoints
from fmnist_edge.catalog.models import MODELS
from fmnist_edge.checkpoints.refusals import cause_of
from fmnist_edge.errors import CheckpointError


def layer(class_name, name="odd", calls="flatten", **config):
    node = {"class_name": class_name, "config": {"name": name, "trainable": True, **config}, "name": name}
    return {**node, "inbound_nodes": [[[calls, 0, 0, {}]]]}


def model_config(*odd, last="flatten", dtype="float32"):
    """A functional model as Keras 2 writes it, with odd layers behind Flatten."""
    image = {"name": "image", "batch_input_shape": [None, 4, 4, 1], "dtype": dtype}
    first = {"class_name": "InputLayer", "config": image, "name": "image", "inbound_nodes": []}
    ends = {"input_layers": [["image", 0, 0]], "output_layers": [[last, 0, 0]]}
    layers = [first, layer("Flatten", "flatten", "image"), *odd]
    return {"class_name": "Functional", "config": {"name": "model", "layers": layers, **ends}}


def written(path, config):
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = "2.15.0"
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = np.array([b"flatten"])
        group.create_group("flatten").attrs["weight_names"] = np.array([], "S1")
    return path


def call(symbol, **arguments):
    node = layer("TFOpLambda", function=symbol)
    node["inbound_nodes"] = [["flatten", 0, 0, arguments]]
    return node


TRAINING = {**layer("Dropout", rate=0.5), "inbound_nodes": [[["flatten", 0, 0, {"training": True}]]]}
QUANTISED = {"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8", "source_name": "float32"}}
# what is wrong with the file -> (its config, what is told of it, what helps)
CASES = {
    "lambda": (model_config(layer("Lambda")), "layer 'odd' is a 'Lambda', which runs code", "Rescaling(1 / 255)"),
    "custom layer": (
        model_config({**layer("Block"), "module": "mine", "registered_name": "mine>Block"}),
        "layer 'odd' is 'mine>Block' from 'mine', not from Keras", "built-in layers",
    ),
    "custom layer of Keras 2": (
        model_config(layer("ResidualUnit")), "'odd' is a 'ResidualUnit', which is not a built-in layer", "built-in",
    ),
    "pruning": (model_config(layer("PruneLowMagnitude")), "'odd' is a 'PruneLowMagnitude'", "strip_pruning(model)"),
    "clustering": (model_config(layer("ClusterWeights")), "'ClusterWeights'", "strip_clustering(model)"),
    "quantisation-aware training": (
        model_config(layer("QuantizeWrapperV2")), "'QuantizeWrapperV2'", "export the float model from before",
    ),
    "quantised": (model_config(layer("Dense", dtype=QUANTISED)), "'odd' has the dtype policy", "save the float model"),
    "CuDNN": (model_config(layer("CuDNNGRU")), "'CuDNNGRU'", "GRU(reset_after=True)"),
    "SavedModel inside": (model_config(layer("TFSMLayer")), "'TFSMLayer', which runs code", "the Keras model itself"),
    "vocabulary": (model_config(layer("StringLookup")), "which reads vocabularies", "built-in layers"),
    "TensorFlow's function": (
        model_config(call("linalg.inv")), "layer 'odd' is TensorFlow's function 'linalg.inv'", "keras.ops",
    ),
    "argument": (
        model_config(call("math.cumsum", axis=1, reverse=True), last="odd"), "'odd' calls tf.cumsum with reverse=True",
        "built-in layers",
    ),
    "setting": (
        model_config(layer("LSTM", units=3, time_major=True)), "'odd', a LSTM, has time_major=True", "save it again",
    ),
    "training": (model_config(TRAINING, last="odd"), "'odd' is called with training=True", "call it without"),
    "uint8": (
        model_config(dtype="uint8"), "input 'image' is uint8 and goes to 'flatten', a Flatten", "begin with Rescaling",
    ),
    "subclass": (
        {"class_name": "MyModel", "config": {}}, "its model is a 'MyModel', not a Sequential", "keras.Model(inputs",
    ),
    "activation": (model_config(layer("Dense", units=3, activation="mine")), "activation 'mine'", "built-in layers"),
    "loop": (
        model_config(layer("Dense", units=3, calls="odd"), last="odd"), "'odd' of model 'model' is never", "save",
    ),
    "two of one name": (model_config(layer("Flatten", "flatten")), "two layers of one model are", "save it again"),
    "bad setting": (model_config(layer("Dense", units=-1), last="odd"), "`units`", "save it again"),
}  # fmt: skip


@pytest.mark.parametrize("what", CASES)
def test_a_refusal_says_what_is_true_of_its_file_and_what_helps(what, tmp_path):
    config, reason, way_out = CASES[what]
    with pytest.raises(CheckpointError) as caught:
        checkpoints.load(written(tmp_path / "odd.h5", config))
    message = str(caught.value)
    assert reason in message and way_out in message, message
    assert message.count(";") >= 1 and "\n" not in message and message.isprintable() and len(message) < 700
    assert not [name for name in MODELS if name in message]  # no zoo model has anything to do with it


def test_a_zoo_name_appears_where_the_weights_nearly_match_one(tmp_path):
    model = MODELS["compact_cnn"].build()
    model.save_weights(tmp_path / "near.weights.h5")
    with h5py.File(tmp_path / "near.weights.h5", "r+") as file:
        kernel = next(group["vars"] for name, group in file["layers"].items() if name.startswith("dense"))
        shape = kernel["0"].shape
        del kernel["0"]
        kernel["0"] = np.zeros((shape[1], shape[0]), "float32")
    with pytest.raises(CheckpointError, match="nearly those of compact_cnn"):
        checkpoints.load(tmp_path / "near.weights.h5")


@pytest.mark.parametrize(
    "message, line",
    [
        ("Cannot do this.\nReceived: x\nFull config: {…}", "Cannot do this."),
        (
            "Exception encountered when calling Add.call().\n\n\x1b[1mCould not automatically infer the shape. "
            "Error encountered:\n\nCannot broadcast 4 to 12.\x1b[0m\n\nArguments received by Add.call():\n  • x=1",
            "Cannot broadcast 4 to 12.",
        ),
        ("{'a': 1}\nExpected:\n`units` must be positive", "`units` must be positive"),
        ("", "ValueError"),
    ],
)
def test_the_line_of_a_keras_message_that_says_something(message, line):
    assert cause_of(ValueError(message)) == line
