"""--preprocess and its neighbours: held to Keras's own functions, refused by name, and through a whole export."""

import argparse
import ctypes
import json
import shutil
import subprocess
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support.c_compiler import c_compiler, needs_c_compiler
from support.c_models import STRICT
from support.engines import load_with_one_thread
from support.web_models import needs_node, needs_wasm_compiler, node

from fmnist_edge import checkpoints, cli
from fmnist_edge.checkpoints import Checkpoint
from fmnist_edge.commands.arguments import by_channel, ratio
from fmnist_edge.commands.explain import as_before
from fmnist_edge.commands.export_input import add_input
from fmnist_edge.conversion.child import export_all
from fmnist_edge.conversion.job import Job
from fmnist_edge.errors import InputError
from fmnist_edge.exporters.c_source import CModel
from fmnist_edge.exporters.calibration_images import calibration_for
from fmnist_edge.exporters.contracts import contract_for, preprocessing_for
from fmnist_edge.runtime import Classifier, Contract, Preprocessing
from fmnist_edge.runtime.engine import TensorSpec
from fmnist_edge.runtime.manifest import Manifest
from fmnist_edge.runtime.presets import PRESETS

SIZE = (12, 10, 3)
IMAGES = np.random.default_rng(5).integers(0, 256, (40, *SIZE), dtype=np.uint8)
MODULES = {"imagenet": "densenet", "tf": "mobilenet_v2", "caffe": "resnet50", "none": "efficientnet"}


def model_of(*first, size=SIZE):
    import keras

    keras.utils.set_random_seed(3)
    inputs = x = keras.Input(size)
    for layer in first:
        x = layer(x)
    x = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="scores")(keras.layers.Flatten()(x)))


def own(model) -> Checkpoint:
    return Checkpoint("own", Path("own.keras"), "", model, "logits")


@pytest.mark.parametrize("name", MODULES)
def test_presets_are_keras_own_functions(name):
    import keras

    expected = getattr(keras.applications, MODULES[name]).preprocess_input(IMAGES.astype(np.float32))
    found = PRESETS[name].apply(IMAGES, SIZE)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


class TestOptions:
    @pytest.mark.parametrize("name", ["imagenet", "tf", "caffe", "unit", "none", "0..255"])
    def test_a_preset(self, name):
        decision = preprocessing_for(own(model_of()), preset=name)
        assert (decision.preprocessing, decision.source, decision.warnings) == (PRESETS[name], "options", ())
        assert decision.reason.endswith(f"given by --preprocess {name}")

    @pytest.mark.parametrize("given", [{"scale": 1.0}, {"mean": (0.5,) * 3}, {"std": 2.0}])
    def test_a_preset_beside_numbers_is_refused(self, given):
        with pytest.raises(InputError, match=f"--preprocess tf says .* leave out --{next(iter(given))}"):
            preprocessing_for(own(model_of()), preset="tf", **given)

    @pytest.mark.parametrize("name", ["imagenet", "caffe"])
    def test_a_preset_for_rgb_is_refused_by_name_for_grey_models(self, name):
        with pytest.raises(InputError, match=rf"--preprocess {name} is for images of 3 .*is \(12, 10, 1\); say"):
            preprocessing_for(own(model_of(size=(12, 10, 1))), preset=name)
        with pytest.raises(InputError, match=r"--mean: .*model's input"):
            preprocessing_for(own(model_of()), mean=(0.5, 0.5))

    def test_model_reads_the_model_or_refuses(self):
        import keras

        decision = preprocessing_for(own(model_of(keras.layers.Rescaling(1 / 255))), preset="model")
        assert (decision.preprocessing, decision.source) == (Preprocessing(1.0), "model")
        for first in ((), (keras.layers.Rescaling(0.5),)):
            with pytest.raises(InputError, match="--preprocess model: own does not say"):
                preprocessing_for(own(model_of(*first)), preset="model")

    def test_the_order_of_channels(self):
        import keras

        read = preprocessing_for(own(model_of(keras.layers.Rescaling(1 / 255))), order="BGR")
        assert read.preprocessing == Preprocessing(1.0, order="BGR") and "channels are BGR" in read.reason
        assert preprocessing_for(own(model_of()), preset="tf", order="BGR").preprocessing.order == "BGR"
        with pytest.raises(InputError, match="--preprocess caffe is for BGR"):
            preprocessing_for(own(model_of()), preset="caffe", order="RGB")
        with pytest.raises(InputError, match="for 3 channels"):
            preprocessing_for(own(model_of(size=(12, 10, 1))), order="BGR")

    def test_a_preset_that_the_model_contradicts_is_doubted(self):
        import keras

        decision = preprocessing_for(own(model_of(keras.layers.Rescaling(1 / 255))), preset="imagenet")
        assert "makes -2.118 to 2.64 of pixels 0 to 255, but the model takes pixels 0-255" in decision.warnings[0]

    def test_a_fill_without_bars_is_refused(self):
        with pytest.raises(InputError, match="only letterbox has bars"):
            contract_for(own(model_of()), Preprocessing(), None, fit="crop", fill=9)
        with pytest.raises(InputError, match="of an RGB model"):
            contract_for(own(model_of(size=(12, 10, 1))), Preprocessing(), None, fit="letterbox", fill=(1, 2, 3))

    def test_numbers(self):
        assert ratio("1/127.5") == 1 / 127.5 and ratio("-.5") == -0.5
        assert by_channel("0.5") == 0.5 and by_channel(".485,1/2,-1") == (0.485, 0.5, -1.0)

    @pytest.mark.parametrize("text", ["1/0", "1/2/3", "x", "1,", ""])
    def test_other_texts_are_usage_errors(self, capsys, text):
        with pytest.raises(SystemExit):
            cli.main(["export", "tiny_resnet", f"--mean={text}"])
        assert "argument --mean" in capsys.readouterr().err


@pytest.fixture(scope="module")
def caffe(tmp_path_factory):
    """A model behind `--preprocess caffe --fit letterbox`: (the Keras model, file by format)."""
    folder, made = tmp_path_factory.mktemp("caffe"), {}
    model_of().save(folder / "net.keras")
    np.save(folder / "images.npy", IMAGES)
    for format, name in (("tflite", "float32"), ("tflite", "int8_only"), ("c", "int8_only")):
        job = Job(
            str(folder / "net.keras"), "trained_model", str(folder), [[format, name]],
            calibration=str(folder / "images.npy"), preprocess="caffe", fit="letterbox", fill=(1, 2, 3),
        )  # fmt: skip
        events: dict = {}
        export_all(json.loads(json.dumps(asdict(job))), events.update)
        assert "written" in events, events
        made[format, name] = Path(events["written"]["path"])
    return checkpoints.load(str(folder / "net.keras")).model, made


class TestWholeExport:
    def test_the_float_file_answers_as_keras_with_preprocess_input(self, caffe):
        import keras

        model, files = caffe
        path = files["tflite", "float32"]
        expected = model.predict(keras.applications.resnet50.preprocess_input(IMAGES.astype(np.float32)), verbose=0)
        assert Manifest.read(path).contract.fit == "letterbox" and Manifest.read(path).contract.fill == (1, 2, 3)
        with load_with_one_thread(path) as classify:
            np.testing.assert_allclose(classify.scores(IMAGES), expected, rtol=1e-4, atol=1e-2)

    @pytest.mark.slow
    @needs_wasm_compiler()
    @needs_node()
    def test_the_web_form_is_python(self, tmp_path):
        """The golden photos and images of other sizes, through the table of each channel, the order and the bars."""
        model_of().save(tmp_path / "net.keras")
        np.save(tmp_path / "images.npy", IMAGES)
        job = Job(
            str(tmp_path / "net.keras"), "trained_model", str(tmp_path), [["web", "int8_only"]],
            calibration=str(tmp_path / "images.npy"), preprocess="caffe", fit="letterbox", fill=(1, 2, 3),
        )  # fmt: skip
        events: dict = {}
        export_all(json.loads(json.dumps(asdict(job))), events.update)
        folder = Path(events["written"]["path"])
        body = """
        const classify = await load();
        return classify({ data: input, width: +args[0], height: +args[1] });
        """
        with Classifier.load(folder) as classify:
            for height, width in ((12, 10), (33, 21), (50, 7), (9, 64)):
                image = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
                found = node(folder, body, width, height, stdin=image.tobytes())
                pixels = classify.fit_image(image)
                assert bytes(found["pixels"]) == pixels.tobytes()
                expected = classify(pixels)
                assert found["index"] == expected.index
                assert np.allclose(found["probabilities"], expected.probabilities, rtol=0, atol=3e-7)

    @needs_c_compiler()
    def test_c_is_python_for_every_pixel(self, caffe, tmp_path):
        """`classify` of the C form, from RGB pixels: the table of each channel, the order, and the scores."""
        _, files = caffe
        folder = files["c", "int8_only"]
        sources, objects = sorted(path for path in folder.glob("*.c") if path.name != "main.c"), tmp_path / "net.so"
        command = [c_compiler(), *STRICT, "-O1", "-shared", "-fPIC", *sources, "-o", objects]
        subprocess.run(command, check=True)
        library = ctypes.CDLL(str(objects))
        contract = Manifest.read(folder).contract
        with Classifier.load(files["tflite", "int8_only"], engine="numpy") as classify:
            grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
            expected = classify.engine.input.quantize(contract.preprocessing.apply(grey, grey.shape)[0, :, 0])
            table = np.array((ctypes.c_int8 * (3 * 256)).in_dll(library, "net_model_pixel_to_input")[:], np.int8)
            assert np.array_equal(table.reshape(3, 256).T, expected)
            wanted = classify.scores(IMAGES)
        scores, arena = np.zeros(3, np.float32), ctypes.create_string_buffer(1 << 20)
        for image, row in zip(IMAGES, wanted, strict=True):
            pixels = np.ascontiguousarray(image)
            library.net_model_classify(ctypes.c_void_p(pixels.ctypes.data), ctypes.c_void_p(scores.ctypes.data), arena)
            np.testing.assert_allclose(scores, row, rtol=1e-6)
        assert len(np.unique(wanted)) > 20


@pytest.mark.parametrize("name", ["imagenet", "caffe"])
def test_the_header_for_microcontrollers_computes_the_runtimes_input(name, tmp_path):
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++ here; run: apt-get install g++")
    tensor = TensorSpec("image", (1, *SIZE), "int8", 0.02 if name == "imagenet" else 1.1, 3)
    output, contract = (
        TensorSpec("scores", (1, 3), "int8", 1.0, 0),
        Contract(SIZE, "logits", ("a", "b", "c"), PRESETS[name]),
    )
    pixels = IMAGES[:3].copy()
    pixels.reshape(-1, 3)[:256] = np.arange(256, dtype=np.uint8)[:, None]
    golden = np.zeros(SIZE, np.int8)
    model = CModel("net", b"x", "0", 1, "none", ("CONV_2D",), tensor, output, contract, golden, np.zeros(3, np.int8))
    for file, text in model.files().items():
        (tmp_path / file).write_text(text)
    (tmp_path / "main.cc").write_text(
        f"""#include "net.h"
#include <cstdio>
static std::uint8_t pixels[{pixels.size}];
int main() {{
  if (std::fread(pixels, 1, sizeof pixels, stdin) != sizeof pixels) return 1;
  if (net::kPixelMean[2] == net::kPixelMean[0]) return 2;
  for (std::size_t i = 0; i < sizeof pixels; i++) std::putchar(net::InputValue(pixels, i));
}}
"""
    )
    strict = ["-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    subprocess.run([compiler, *strict, "main.cc", "net.cc", "-o", "net"], cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "net"], input=pixels.tobytes(), capture_output=True, check=True)
    expected = tensor.quantize(PRESETS[name].apply(pixels, SIZE))
    assert np.array_equal(np.frombuffer(done.stdout, np.int8).reshape(expected.shape), expected)


def test_the_command_of_explain_exports_with_the_same_input():
    contract = Contract(SIZE, "logits", ("a", "b", "c"), PRESETS["caffe"], fit="letterbox", fill=(1, 2, 3))
    path = Path("exported/own/int8.tflite")
    artifact = SimpleNamespace(contract=contract, manifest=SimpleNamespace(batch=1), model="own", path=path)
    options = SimpleNamespace(images=None, trained=Path("trained_model"))
    parser = argparse.ArgumentParser()
    add_input(parser)
    found = parser.parse_args(as_before(artifact, options))
    decision = preprocessing_for(own(model_of()), found.scale, found.mean, found.std, order=found.channel_order)
    assert decision.preprocessing == PRESETS["caffe"] and (found.fit, found.fill) == ("letterbox", (1, 2, 3))
    artifact.contract = Contract(SIZE, "logits", ("a", "b", "c"))
    assert as_before(artifact, options) == []
    artifact.contract = Contract(SIZE, "logits", ("a", "b", "c"), polarity="light-on-dark", resize="box")
    artifact.path, options.labels = Path("other/own/int8.tflite"), "names.txt"
    words = ["--labels=names.txt", "--resize=box", "--polarity=light-on-dark", "--out=other"]
    assert as_before(artifact, options) == words, "as the project file has the labels"


def test_calibration_images_are_fitted_as_the_device_will(tmp_path):
    from PIL import Image, ImageOps

    photo = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 20, 3), np.uint8))
    photo.save(tmp_path / "a.png")
    contract = Contract(SIZE, "logits", ("a", "b", "c"), resize="box", fit="crop")
    found = calibration_for(contract, str(tmp_path), None)
    assert np.array_equal(found.images[0], np.asarray(ImageOps.fit(photo, (10, 12), Image.Resampling.BOX)))
    assert found.notes == ()
    (note,) = calibration_for(replace(contract, fit="stretch"), str(tmp_path), None).notes
    assert "1 of 1 images: an image is stretched to 10 x 12" in note
