"""export and explain show layers' names as the file has them, whatever they are called here."""

import numpy as np
import pytest

from fmnist_edge.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    import keras
    from keras import layers

    folder = tmp_path_factory.mktemp("names")
    keras.utils.set_random_seed(1)
    image = keras.Input((28, 28, 1), name="in put")
    x = layers.Conv2D(2, 3, strides=4, name="Größe+1")(image)
    x = layers.Conv2D(2, 3, strides=4, name="a b")(x)
    model = keras.Model(image, layers.Dense(10, name="x:0")(layers.Flatten(name="a_b")(x)))
    model.save(folder / "odd.keras")
    np.save(folder / "images.npy", np.random.default_rng(0).integers(0, 256, (32, 28, 28, 1), np.uint8))
    return folder


def exported(folder, layer):
    command = ["export", str(folder / "odd.keras"), "--format", "tflite", "--precision", "int8", "--keep-float", layer]
    return main([*command, "--calibration", str(folder / "images.npy"), "--out", str(folder)])


@pytest.mark.slow
def test_keep_float_and_explain_speak_of_layers_by_their_names_in_the_file(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    assert exported(folder, "a b") == 0
    capsys.readouterr()
    command = ["explain", "odd/int8.tflite", "--reference", "odd.keras", "--images", "images.npy", "--limit", "4"]
    assert main(command) == 0
    said = capsys.readouterr().out
    names = [row[0] for line in said.splitlines() if (row := [part.strip() for part in line.split("|")[1:2]])]
    assert set(names[2:]) == {"in put", "Größe+1", "a b", "a_b", "x:0"}
    assert "--keep-float 'a b'" in said  # what is kept already stays in the command that it proposes


@pytest.mark.slow
def test_a_layer_that_is_not_there_is_told_from_those_that_are(folder, capsys):
    assert exported(folder, "Grösse+1") == 2
    said = capsys.readouterr().err
    assert "no layer 'Grösse+1'" in said and "It has: Größe+1, a b, a_b, x:0" in said
