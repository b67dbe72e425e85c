"""Models that were trained under a dtype policy answer as the same variables under float32, whoever wrote them."""

import json
import warnings

import numpy as np
import pytest
from support.keras_models import SHAPE, answers, distance, keras_2, randomised

from fmnist_edge import checkpoints
from fmnist_edge.cli import main

POLICIES = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64")
FORMS = {"tf_keras": (".h5", ".keras", "saved"), "keras": (".h5", ".keras")}


def writer(name):
    if name == "tf_keras":
        return keras_2()
    import keras

    return keras


def made(k, policy):
    """The model under a policy, its last layer in float32, as training guides advise."""
    layers = k.layers
    switch = k.mixed_precision.set_global_policy if hasattr(k, "mixed_precision") else k.config.set_dtype_policy
    switch(policy)
    try:
        inputs = k.Input(SHAPE)
        inner = k.Sequential([k.Input((14, 14, 4)), layers.Conv2D(4, 3), layers.LeakyReLU()])
        x = inner(layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3)(inputs))))
        if not hasattr(k, "mixed_precision"):  # Keras 2 takes seconds to write it into a SavedModel
            x = layers.GRU(3, return_sequences=True, recurrent_initializer="zeros")(layers.Reshape((12, 48))(x))
        x = layers.Flatten()(x)
        return k.Model(inputs, layers.Dense(4, dtype="float32")(x))
    finally:
        switch("float32")


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", [pytest.param("tf_keras", marks=pytest.mark.slow), "keras"])
def test_a_policy_of_training_leaves_what_float32_answers(name, policy, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        k = writer(name)
        model = randomised(made(k, policy))
        rebuilt = made(k, "float32")
        rebuilt.set_weights([np.asarray(weight).astype("float32") for weight in model.get_weights()])
        for form in FORMS[name]:
            path = tmp_path / f"model{form}"
            model.save(path, **({"save_format": "tf"} if form == "saved" else {}))
            loaded = checkpoints.load(path)
            assert distance(answers(loaded.model), answers(rebuilt)) <= 1e-5, form
            assert loaded.widths == ([] if policy.startswith("mixed") else [policy]), form


@pytest.mark.slow
def test_the_manifest_names_the_types_that_were_widened(tmp_path):
    k = writer("keras")
    for policy, widened in (("float16", ["float16"]), ("mixed_float16", None)):
        path = tmp_path / f"{policy}.keras"
        made(k, policy).save(path)
        command = ["export", str(path), "--format", "tflite", "--precision", "float32", "--out", str(tmp_path)]
        assert main(command) == 0
        manifest = json.loads((tmp_path / policy / "float32.tflite.json").read_text())
        assert manifest["model"].get("widened_from") == widened
