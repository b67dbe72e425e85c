"""Checkpoints of every format, written by Keras 3 and Keras 2, compared by their answers; and hostile ones, refused."""

import io
import json
import pickle
import re
import shutil
import subprocess
import sys
import warnings
import zipfile

import numpy as np
import pytest

from fmnist_edge import checkpoints
from fmnist_edge.catalog.models import MODELS
from fmnist_edge.checkpoints.contents import Contents, Weight
from fmnist_edge.checkpoints.recognise import recognise
from fmnist_edge.errors import CheckpointError, UnavailableError, UnknownNameError

IMAGES = np.random.default_rng(0).random((4, 28, 28, 1), np.float32)
COLOUR = np.random.default_rng(1).random((4, 32, 32, 3), np.float32)


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Keras says about its own legacy formats
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("checkpoints")


def answers(model, images=IMAGES):
    return np.asarray(model(images, training=False))


def same(checkpoint, model, images=IMAGES):
    np.testing.assert_allclose(answers(checkpoint.model, images), answers(model, images), rtol=1e-5, atol=1e-5)


def shuffled(model):
    """Random weights, moving variances included: two layers swapped never answer alike."""
    rng = np.random.default_rng(2)
    for variable in model.weights:
        if variable.dtype in ("float32", np.float32):
            width = np.sqrt(np.prod(variable.shape[:-1])) + 1
            variable.assign(
                rng.uniform(0.2, 1.2, variable.shape)
                if len(variable.shape) == 1
                else rng.normal(0, 1 / width, variable.shape)
            )
    return model


def refused(path, saying=""):
    with pytest.raises(CheckpointError) as caught:
        checkpoints.load(path)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 700 and message.isprintable()
    assert re.search(saying, message), message
    return message


# Keras 3


@pytest.fixture(scope="module")
def zoo(folder):
    made = {}
    for name in ("compact_cnn", "tiny_resnet"):
        made[name] = shuffled(MODELS[name].build())
        made[name].save(folder / f"{name}.keras")
    return made


def colour_sequential():
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Rescaling(2.0, -1.0),
            layers.DepthwiseConv2D(3),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            layers.Conv2D(8, 3, strides=2, kernel_regularizer=keras.regularizers.L2(1e-4)),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5, activation="softmax"),
        ]
    )


def colour_functional():
    import keras
    from keras import layers

    inputs = keras.Input((32, 32, 3), batch_size=2)
    x = layers.SeparableConv2D(8, 3, strides=2, padding="same", activation=layers.LeakyReLU(0.1))(inputs)
    x = keras.ops.relu(layers.Conv2D(8, 1)(x) + x) * 0.5
    inner = keras.Sequential([keras.Input((16, 16, 8)), layers.Conv2D(4, 3), layers.BatchNormalization()])
    x = layers.Flatten()(layers.MaxPooling2D()(inner(x)))[:, :100]
    return keras.Model(inputs, layers.Dense(7)(x))


@pytest.mark.parametrize("name", ["compact_cnn", "tiny_resnet"])
def test_a_zoo_model_comes_back_by_name_and_by_path(zoo, folder, name):
    loaded = checkpoints.load(name, folder=folder)
    assert (loaded.name, loaded.output, loaded.path) == (name, "logits", folder / f"{name}.keras")
    assert re.fullmatch("[0-9a-f]{64}", loaded.sha256)
    same(loaded, zoo[name])
    assert checkpoints.load(folder / f"{name}.keras").sha256 == loaded.sha256
    assert type(loaded.model.layers[2]).__name__ == type(zoo[name].layers[2]).__name__


@pytest.mark.parametrize(
    "make, suffix, classes, output",
    [
        (colour_sequential, ".keras", 5, "probabilities"),
        (colour_sequential, ".h5", 5, "probabilities"),
        (colour_functional, ".keras", 7, "logits"),
    ],
)
def test_a_users_own_model_of_any_shape_and_class_count(folder, make, suffix, classes, output):
    model = shuffled(make())
    path = folder / f"{make.__name__}{suffix}"
    model.compile("adam", "mse")
    model.save(path)
    loaded = checkpoints.load(path)
    assert loaded.name == make.__name__
    assert loaded.output == output
    assert loaded.model.input_shape == (None, 32, 32, 3)  # a fixed batch was opened
    assert loaded.model.output_shape == (None, classes)
    same(loaded, model, COLOUR[:2])


def test_keras_3_weights_alone_are_recognised(zoo, folder):
    zoo["tiny_resnet"].save_weights(folder / "some.weights.h5")
    loaded = checkpoints.load(folder / "some.weights.h5")
    assert (loaded.name, loaded.output) == ("some", "logits")
    same(loaded, zoo["tiny_resnet"])


def test_an_exported_saved_model_is_recognised_by_its_variables(zoo, folder):
    zoo["compact_cnn"].export(folder / "exported", verbose=False)
    loaded = checkpoints.load(folder / "exported")
    assert (loaded.name, loaded.output) == ("exported", "logits")
    same(loaded, zoo["compact_cnn"])


# Keras 2: the published form, with Lambda LRN and a ResidualUnit that cannot be rebuilt from its config


def legacy_resnet(head="softmax", skip_first=False):
    import tensorflow as tf
    from tf_keras import Sequential, layers

    def lrn():
        return layers.Lambda(lambda x: __import__("tensorflow").nn.local_response_normalization(x))

    def conv(filters, size, strides=1):
        return layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False)

    class ResidualUnit(layers.Layer):
        def __init__(self, filters, strides=1, **kwargs):
            super().__init__(**kwargs)
            main = [conv(filters, 3, strides), lrn(), layers.Activation("relu"), conv(filters, 3), lrn()]
            skip = [conv(filters, 1, strides), lrn()] if strides > 1 else []
            if skip_first:
                self.skip_layers, self.main_layers = skip, main
            else:
                self.main_layers, self.skip_layers = main, skip

        def call(self, inputs):
            x, skip = inputs, inputs
            for layer in self.main_layers:
                x = layer(x)
            for layer in self.skip_layers:
                skip = layer(skip)
            return tf.nn.relu(x + skip)

        def get_config(self):
            return super().get_config()  # as published: the arguments are lost

    model = Sequential([layers.Conv2D(16, 3, padding="same", input_shape=(28, 28, 1)), lrn(), layers.ReLU()])
    for filters in (32, 64, 128):
        model.add(layers.Dropout(0.25))
        model.add(ResidualUnit(filters, 2))
        model.add(ResidualUnit(filters))
    for layer in (
        layers.Flatten(),
        layers.Dense(250, activation="relu"),
        layers.BatchNormalization(),
        layers.Dropout(0.5),
        layers.Dense(10, activation=head),
    ):
        model.add(layer)
    return shuffled(model)


def legacy_googlenet(head="softmax", sizes=(3, 5), padding="same"):
    from tensorflow.nn import local_response_normalization as lrn
    from tf_keras import Input, Model, layers

    inputs = Input((28, 28, 1))
    x = layers.Conv2D(16, 3, padding="same")(inputs)
    x = layers.ReLU()(layers.Lambda(lrn)(x))
    for filters in (16, 32, 64, 128):
        x = layers.Dropout(0.25)(x)
        branches = []
        for size in sizes:
            reduced = layers.Conv2D(filters, 1, padding=padding, activation="relu")(x)
            branches.append(layers.Conv2D(filters, size, padding="same", activation="relu")(reduced))
        x = layers.Lambda(lrn)(layers.Concatenate()(branches))
        x = layers.MaxPooling2D(2, 2, padding="same")(x)
    x = layers.BatchNormalization()(layers.Dense(250, activation="relu")(layers.Flatten()(x)))
    return shuffled(Model(inputs, layers.Dense(10, activation=head)(layers.Dropout(0.35)(x))))


@pytest.fixture(scope="module")
def legacy(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = {"resnet": legacy_resnet(), "googlenet": legacy_googlenet()}
        for name, model in made.items():
            model.compile("adam", "categorical_crossentropy")
            model.save(folder / f"{name}.h5")
            model.save(folder / f"{name}_v3.keras")
            model.save_weights(folder / f"{name}_only.h5")
    return made


@pytest.mark.parametrize("name", ["resnet", "googlenet"])
@pytest.mark.parametrize("form", ["{}.h5", "{}_v3.keras"])
def test_a_published_model_loads_into_ours_and_keeps_its_probabilities(legacy, folder, name, form):
    loaded = checkpoints.load(folder / form.format(name))
    assert loaded.output == "probabilities"
    assert answers(loaded.model).sum(axis=1) == pytest.approx(1, abs=1e-5)
    same(loaded, legacy[name])
    assert any(type(layer).__name__ == "LocalResponseNormalization" for layer in loaded.model.layers)


@pytest.mark.parametrize("name", ["resnet", "googlenet"])
def test_published_weights_alone_are_taken_as_logits(legacy, folder, name):
    import tf_keras

    loaded = checkpoints.load(folder / f"{name}_only.h5")
    assert loaded.output == "logits"
    probabilities = np.asarray(tf_keras.activations.softmax(tf_keras.backend.constant(answers(loaded.model))))
    np.testing.assert_allclose(probabilities, answers(legacy[name]), atol=1e-5)


def test_a_published_saved_model_is_read_and_not_run(legacy, folder):
    legacy["resnet"].save(folder / "saved", save_format="tf")
    loaded = checkpoints.load(folder / "saved")
    assert loaded.output == "probabilities"
    same(loaded, legacy["resnet"])


def test_a_skip_convolution_listed_first_finds_its_place(folder):
    model = legacy_resnet(head="linear", skip_first=True)
    model.save(folder / "skip.h5")
    loaded = checkpoints.load(folder / "skip.h5")
    assert loaded.output == "logits"
    same(loaded, model)


@pytest.mark.parametrize("first, recognised", [("3", True), ("5", False)])
def test_inception_branches_listed_one_after_the_other(first, recognised):
    model = shuffled(MODELS["tiny_googlenet"].build())

    layers = {layer.name: layer for layer in model.layers if layer.weights}
    second = "35".replace(first, "")
    modules = [
        f"module_{filters}_{part}{size}"
        for filters in (16, 32, 64, 128)
        for size in (first, second)
        for part in ("reduce", "conv")
    ]
    names = ["stem_conv", *modules, "dense", "batch_norm", "logits"]
    assert set(names) == set(layers)
    weights = [Weight("", variable.name, np.asarray(variable)) for name in names for variable in layers[name].weights]
    found = recognise(Contents(None, [weights], load=print))
    assert (found is not None) == recognised
    if found is not None:
        np.testing.assert_array_equal(answers(found), answers(model))


def test_a_relu_head_is_kept(folder):
    model = legacy_googlenet(head="relu")
    model.save(folder / "relu.h5")
    loaded = checkpoints.load(folder / "relu.h5")
    assert loaded.output == "logits"
    assert answers(loaded.model).min() >= 0
    same(loaded, model)


@pytest.mark.parametrize("change", [{"sizes": (5, 3)}, {"padding": "valid"}, {"head": "tanh"}])
def test_same_shapes_that_are_another_model_are_refused(folder, change):
    legacy_googlenet(**change).save(folder / "other.h5")
    refused(folder / "other.h5", "Lambda|activation")


@pytest.fixture(scope="module")
def own_legacy(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tf_keras import Input, Model, layers

        inputs = Input((32, 32, 3))
        x = layers.DepthwiseConv2D(3, activation="relu6")(layers.ZeroPadding2D()(inputs))
        x = layers.LeakyReLU(0.2)(layers.BatchNormalization()(x))
        x = layers.concatenate([x, layers.SeparableConv2D(3, 3, padding="same")(x)])
        model = shuffled(Model(inputs, layers.Dense(3, activation="softmax")(layers.GlobalMaxPooling2D()(x))))
        model.compile("adam", "mse")
        model.save(folder / "own.h5")
        model.save(folder / "own.keras")
        model.save(folder / "own_saved", save_format="tf")
    return model


@pytest.mark.parametrize("form", ["own.h5", "own.keras", "own_saved"])
def test_a_users_keras_2_model_is_rebuilt_from_its_config(own_legacy, folder, form):
    loaded = checkpoints.load(folder / form)
    assert loaded.output == "probabilities"
    same(loaded, own_legacy, COLOUR)


def test_unknown_weights_alone_are_refused_with_a_way_out(own_legacy, folder):
    own_legacy.save_weights(folder / "own_only.h5")
    refused(folder / "own_only.h5", r"weights without a model config.*model\.save\('model\.keras'\)")


def test_an_activation_that_changed_its_meaning_keeps_the_old_one(folder):
    from tf_keras import Sequential, layers

    model = Sequential([layers.Flatten(input_shape=(8, 8, 1)), layers.Dense(3, "hard_sigmoid")])
    model.save(folder / "sigmoid.h5")
    same(checkpoints.load(folder / "sigmoid.h5"), model, 4 * COLOUR[:, :8, :8, :1] - 2)


# Names


def test_names_that_are_neither():
    with pytest.raises(UnknownNameError, match=r"tiny_resnet.*Did you mean"):
        checkpoints.load("tiny_resnot")
    with pytest.raises(UnknownNameError):
        checkpoints.load("")
    refused("no/such/file.keras", "no such file")
    refused("x" * 5000 + ".keras", "no such file")
    refused("nul\0.keras", "no such file")


def test_a_zoo_model_that_is_not_trained_yet(tmp_path):
    with pytest.raises(UnavailableError, match="fmnist-edge train wide_cnn"):
        checkpoints.load("wide_cnn", folder=tmp_path)


def test_importing_the_module_imports_no_framework():
    code = (
        "import sys, fmnist_edge.checkpoints\n"
        "found = {'tensorflow', 'keras', 'h5py'} & set(sys.modules)\n"
        "sys.exit(str(found) if found else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Hostile files


@pytest.fixture(scope="module")
def small(folder):
    import keras

    layers = [keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3), keras.layers.Flatten(), keras.layers.Dense(3)]
    keras.Sequential(layers).save(folder / "small.keras")
    keras.Sequential(layers).save(folder / "small.h5")
    return folder / "small.keras"


def rezipped(source, target, config=None, extra=None, drop=(), **options):
    """A copy of a .keras file with another config, more members or fewer."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", **options) as new:
        for name in old.namelist():
            if name not in drop:
                changed = name == "config.json" and config is not None
                new.writestr(name, json.dumps(config) if changed else old.read(name))
        for name, content in (extra or {}).items():
            new.writestr(name, content)
    return target


def config_of(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))


def with_layer(source, target, layer):
    """`source` with one more layer before Flatten, in .keras or .h5."""
    if target.suffix == ".keras":
        config = config_of(source)
        config["config"]["layers"].insert(2, layer)
        return rezipped(source, target, config)
    import h5py

    shutil.copy(source.with_suffix(".h5"), target)
    with h5py.File(target, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"].insert(2, layer)
        file.attrs["model_config"] = json.dumps(config)
    return target


def payloads(marker):
    code = f"lambda x: (open({str(marker)!r}, 'w').close(), x)[1]"
    from keras.src.utils import python_utils

    dumped, defaults, closure = python_utils.func_dump(eval(code))
    bomb = {"class_name": "__lambda__", "config": {"code": dumped, "defaults": defaults, "closure": closure}}
    wrapped = {"class_name": "__lambda__", "config": {"value": [dumped, defaults, closure]}}

    class Pickled:
        def __reduce__(self):
            return open, (str(marker), "w")

    pickled = pickle.dumps(Pickled()).decode("latin-1")

    def layer(class_name, module="keras.layers", registered=None, **config):
        config = {"name": "bad", **config}
        return {"module": module, "class_name": class_name, "config": config, "registered_name": registered}

    def function(module, name):
        return {"module": module, "class_name": "function", "config": name, "registered_name": name}

    return {
        "lambda": layer("Lambda", function=bomb),
        "keras_2_lambda": layer("Lambda", function=[dumped, defaults, closure], function_type="lambda"),
        "lambda_activation": layer("Activation", activation=wrapped),
        "lambda_initializer": layer("PReLU", alpha_initializer=wrapped),
        "lambda_inside": layer("TimeDistributed", layer=layer("Lambda", function=bomb)),
        "pickled_torch": layer("TorchModuleWrapper", module=pickled),
        "tfsm": layer("TFSMLayer", filepath=str(marker)),
        "os": layer("system", module="os", command=f"touch {marker}"),
        "subprocess": layer("Popen", module="subprocess", args=["touch", str(marker)]),
        "builtins": layer("eval", module="builtins", source=f"open({str(marker)!r}, 'w')"),
        "relabelled": layer("Conv2D", module="os"),
        "registered": layer("Flatten", registered="evil>Layer"),
        "os_function": layer("Activation", activation=function("os", "system")),
        "builtin_function": layer("Activation", activation=function("builtins", "exec")),
        "keras_function": layer("Activation", activation=function("keras.utils", "get_file")),
        "get_file": layer("get_file", module="keras.utils", origin="file:///etc/passwd"),
        "vocabulary": layer("StringLookup", vocabulary="/etc/passwd"),
        "enable_unsafe": layer("enable_unsafe_deserialization", module="keras.config"),
        "map_operation": layer("Map", module="keras.src.ops.core"),
        "compiled_inside": {
            **layer("Sequential", module="keras", layers=[layer("Lambda", function=bomb)]),
            "compile_config": {"loss": wrapped},
        },
        "not_even_a_layer": {"module": ["os"], "class_name": {"os": 1}, "config": None},
    }


@pytest.fixture(scope="module")
def marker(folder):
    return folder / "marker"


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_no_code_from_a_file_is_run(small, folder, marker, suffix):
    for name, layer in payloads(marker).items():
        path = with_layer(small, folder / f"payload{suffix}", layer)
        message = refused(path)
        assert not marker.exists(), name
        if name in ("lambda", "tfsm", "os", "subprocess", "builtins"):
            assert "'bad'" in message and layer["class_name"] in message


def test_the_payload_is_one_that_keras_would_run(small, folder, marker):
    """What the tests above refuse does make the marker when it is trusted."""
    import keras

    path = with_layer(small, folder / "trusted.keras", payloads(marker)["lambda"])
    keras.saving.load_model(path, safe_mode=False)
    assert marker.exists()
    marker.unlink()


def test_compile_settings_are_not_read(small, folder):
    config = config_of(small)
    config["compile_config"] = {"optimizer": {"module": "os", "class_name": "system", "config": {"command": "true"}}}
    assert checkpoints.load(rezipped(small, folder / "compiled.keras", config)).output == "logits"


def test_a_lambda_in_a_zoo_model_is_left_out_and_not_run(zoo, folder, marker):
    config = config_of(folder / "compact_cnn.keras")
    layers = config["config"]["layers"]
    flatten = next(index for index, layer in enumerate(layers) if layer["class_name"] == "Flatten")
    layers[flatten] = {**layers[flatten], **payloads(marker)["lambda"], "name": "flatten"}
    loaded = checkpoints.load(rezipped(folder / "compact_cnn.keras", folder / "lambda.keras", config))
    same(loaded, zoo["compact_cnn"])
    assert not marker.exists()


def test_damaged_files(small, folder):
    path = folder / "damaged.keras"
    for suffix in (".keras", ".h5"):
        whole = small.with_suffix(suffix).read_bytes()
        for content in (b"", b"\0" * 100, pickle.dumps({}), np.random.default_rng(3).bytes(5000), whole[:8]):
            path.write_bytes(content)
            refused(path)
        for end in range(9, len(whole) - 1, len(whole) // 12):
            path.write_bytes(whole[:end])
            refused(path)
    flipped = bytearray(small.read_bytes())
    for place in range(0, len(flipped), len(flipped) // 40):
        flipped[place] ^= 0xFF
    path.write_bytes(flipped)
    refused(path)


@pytest.mark.parametrize(
    "extra, saying",
    [
        ({"../../escaped.txt": "x"}, r"\.\./\.\./escaped"),
        ({"/tmp/absolute.txt": "x"}, "/tmp/absolute"),
        ({"assets/vocabulary.txt": "x"}, "assets"),
        ({"model.weights.npz": "x"}, "npz"),
    ],
)
def test_zip_members_that_do_not_belong(small, folder, extra, saying):
    refused(rezipped(small, folder / "members.keras", extra=extra), saying)


def test_zip_bombs_and_missing_members(small, folder):
    zeros = {"model.weights.h5": b"\0" * (20 << 20)}
    options = {"compression": zipfile.ZIP_DEFLATED}
    bomb = rezipped(small, folder / "bomb.keras", extra=zeros, drop=("model.weights.h5",), **options)
    assert bomb.stat().st_size < 100_000
    refused(bomb, "expands")
    refused(rezipped(small, folder / "part.keras", drop=("model.weights.h5",)), "no model.weights.h5")
    refused(rezipped(small, folder / "part.keras", drop=("config.json",)), "no config.json")
    refused(rezipped(small, folder / "part.keras", extra={"config.json": "{}"}), "twice")
    for config in ([], "x", {}, {"class_name": "Sequential"}, {"class_name": "Sequential", "config": {"layers": [1]}}):
        refused(rezipped(small, folder / "config.keras", config))
    deep = "[" * 100_000 + "]" * 100_000
    refused(rezipped(small, folder / "deep.keras", extra={"config.json": deep}, drop=("config.json",)), "JSON")


def test_a_config_larger_than_its_weights(small, folder):
    config = config_of(small)
    config["config"]["layers"][3]["config"]["units"] = 10**10
    refused(rezipped(small, folder / "huge.keras", config), r"asks for 730,000,000,020 weights")
    config["config"]["layers"][3]["config"]["units"] = 4
    refused(rezipped(small, folder / "other.keras", config), "cannot rebuild")


def test_hdf5_that_reaches_out_of_itself_or_lies_about_its_size(small, folder):
    import h5py

    secret = folder / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["kernel"] = np.zeros((3, 3, 1, 2), "float32")

    def variant(change):
        path = folder / "reaching.h5"
        shutil.copy(small.with_suffix(".h5"), path)
        with h5py.File(path, "r+") as file:
            weights = next(
                group
                for group in file["model_weights"].values()
                if "weight_names" in group.attrs and len(group.attrs["weight_names"])
            )
            change(weights, weights.attrs["weight_names"][0])
        return path

    def external_link(group, name):
        del group[name]
        group[name] = h5py.ExternalLink(str(secret), "kernel")

    def soft_link(group, name):
        del group[name]
        group[name] = h5py.SoftLink("/elsewhere")

    def external_data(group, name):
        del group[name]
        group.create_dataset(name, (3, 3, 1, 2), "float32", external=[("/etc/passwd", 0, 72)])

    def virtual(group, name):
        del group[name]
        layout = h5py.VirtualLayout((3, 3, 1, 2), "float32")
        layout[:] = h5py.VirtualSource(str(secret), "kernel", (3, 3, 1, 2))
        group.create_virtual_dataset(name, layout)

    def huge(group, name):
        del group[name]
        group.create_dataset(name, (1 << 40,), "float32", chunks=(1 << 20,), compression="gzip")

    def loop(group, name):
        group["again"] = group

    def text(group, name):
        del group[name]
        group[name] = "text"

    def doubled(group, name):
        group.attrs["weight_names"] = [name, name]

    for change, saying in (
        (doubled, "twice"),
        (external_link, "ExternalLink"),
        (soft_link, "SoftLink"),
        (external_data, "another file"),
        (virtual, "another file"),
        (huge, "declares"),
        (loop, "linked twice"),
        (text, "expected numbers"),
    ):
        refused(variant(change), saying)


def test_loading_writes_no_temporary_file(small):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        checkpoints.load(small)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(folder, value):
    model = MODELS["compact_cnn"].build()
    bias = model.get_layer("dense_95").bias
    bias.assign(np.where(np.arange(95) == 7, value, 0).astype("float32"))
    for name in ("nan.keras", "nan.weights.h5"):
        (model.save if name == "nan.keras" else model.save_weights)(folder / name)
        refused(folder / name, "NaN or infinity")


def test_models_that_cannot_be_exported(folder):
    import keras
    from keras import layers

    def saved(inputs, outputs):
        keras.Model(inputs, outputs).save(folder / "not.keras")
        return folder / "not.keras"

    image, other = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    scores = layers.Dense(3)(layers.Flatten()(image))
    two = checkpoints.load(
        saved([image, other], [layers.Dense(3)(layers.Flatten()(layers.Add()([image, other]))), image, scores])
    )
    assert (len(two.model.inputs), len(two.model.outputs), two.head) == (2, 3, "linear")
    assert checkpoints.load(saved(image, layers.Conv2D(3, 3, activation="sigmoid")(image))).head == "sigmoid"
    free = keras.Input((None, None, 1))
    refused(saved(free, layers.Dense(3)(layers.GlobalMaxPooling2D()(free))), "known but for the batch")
    refused(saved(free, layers.Conv2D(3, 3)(free)), "known but for the batch")
    for inside in (False, True):
        large = layers.GlobalMaxPooling2D()(layers.UpSampling2D(1000, name="large")(image))
        pooled = keras.Model(image, large)(image) if inside else large
        refused(saved(image, layers.Dense(3)(pooled)), "'large' answers with .*, 64,000,000 values an image")


def test_folders_that_are_no_saved_model(folder, tmp_path):
    refused(tmp_path, "saved_model.pb")
    (tmp_path / "variables").mkdir()
    for name in ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"):
        (tmp_path / name).write_bytes(np.random.default_rng(4).bytes(500))
    refused(tmp_path)


def test_a_member_that_is_not_hdf5(small, folder):
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    extra = {"model.weights.h5": buffer.getvalue()}
    refused(rezipped(small, folder / "npy.keras", extra=extra, drop=("model.weights.h5",)), "not an HDF5 file")
