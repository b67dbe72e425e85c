"""Models from anywhere: bytes, open files, files inside a package or zip."""

import importlib.resources
import io
import os
import pathlib
import shutil
import sys
import tempfile
import zipfile

import numpy as np
import pytest
from support import ROOT
from support.engines import IMAGES, refused
from support.installed import needs
from support.linear import LINEAR

from fmnist_edge.errors import ArtifactError, FileError, InputError, UnavailableError
from fmnist_edge.runtime import Classifier

CASES = [
    "int8.tflite", "float32.onnx", pytest.param("float32.ncnn", marks=needs("ncnn")),
    pytest.param("float32.mnn", marks=needs("MNN")),
]  # fmt: skip
ENGINE = {".mnn": "mnn"}  # what is not told by its first bytes


@pytest.fixture(autouse=True)
def folder_is_left_clean(tmp_path, monkeypatch):
    """What is written for an engine is gone after the load."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert not list(folder.iterdir())


def answers(model, **options) -> list[int]:
    with Classifier.load(model, threads=1, **options) as classifier:
        return [item.index for item in classifier.classify(IMAGES)]


@pytest.mark.parametrize("name", CASES)
def test_bytes_with_their_manifest(linear_models, monkeypatch, name):
    monkeypatch.setattr("fmnist_edge.runtime.loading.try_load", lambda *_, **__: pytest.fail("tried"))
    path = linear_models[name]
    options = {"manifest": path.with_name(f"{name}.json").read_bytes(), "engine": ENGINE.get(path.suffix)}
    for content in (path.read_bytes(), bytearray(path.read_bytes()), memoryview(path.read_bytes())):
        assert answers(content, **options) == answers(path)


def test_bytes_alone_are_tried_and_need_a_contract(linear_models):
    content = linear_models["float32.onnx"].read_bytes()
    assert answers(content, contract=LINEAR) == answers(linear_models["float32.onnx"])
    refused(content, "model.onnx: no manifest model.onnx.json beside it, and no contract inside")
    refused(b"TFL3TFL3" * 9, "model.tflite: ", contract=LINEAR)


def test_open_files(linear_models):
    path = linear_models["int8.tflite"]
    with open(path, "rb") as file:
        assert answers(file) == answers(path)  # by the manifest beside it
    with pytest.raises(ArtifactError, match=r"^model\.tflite: no manifest"):
        answers(io.BytesIO(path.read_bytes()))
    with pytest.raises(InputError, match="gives str; open it in binary mode, 'rb'"):
        answers(io.StringIO("text"))


@pytest.mark.parametrize("form", ["zip", "folder"])
def test_files_of_a_package(linear_models, tmp_path, monkeypatch, form):
    """As an app ships them, in a wheel or in a zipapp."""
    name = f"models_of_the_test_{form}"
    package = tmp_path / "source" / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    for source in (linear_models["int8.tflite"], linear_models["int8.tflite"].with_name("int8.tflite.json")):
        shutil.copy(source, package)
    place = package.parent
    if form == "zip":
        place = tmp_path / "app.zip"
        with zipfile.ZipFile(place, "w") as archive:
            for path in package.iterdir():
                archive.write(path, f"{name}/{path.name}")
    monkeypatch.syspath_prepend(place)
    monkeypatch.setattr("fmnist_edge.runtime.loading.try_load", lambda *_, **__: pytest.fail("tried"))
    resource = importlib.resources.files(name) / "int8.tflite"
    assert isinstance(resource, pathlib.Path) is (form == "folder")
    assert answers(resource) == answers(linear_models["int8.tflite"])
    with pytest.raises(FileError, match=r"none\.tflite: "):
        answers(importlib.resources.files(name) / "none.tflite")
    del sys.modules[name]


def test_a_member_of_a_zip_file_has_no_manifest_beside_it(linear_models, tmp_path, monkeypatch):
    """Its name is not that of a file, even where a file of that name exists."""
    path = linear_models["int8.tflite"]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "int8.tflite")
    (tmp_path / "int8.tflite").write_bytes(b"another")
    shutil.copy(path.with_name("int8.tflite.json"), tmp_path)
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("a.zip") as archive, archive.open("int8.tflite") as file:
        assert answers(file, contract=LINEAR) == answers(path)


@pytest.mark.parametrize("wrong", [None, 3, 2.5, ["a.tflite"], np.zeros(3), object()])
def test_other_types(wrong):
    refused(wrong, f"model is {type(wrong).__name__}; expected a path, bytes, a file", error=InputError)
    refused(ROOT / "exported/compact_cnn/int8.tflite", "manifest is ", error=InputError, manifest=object())


def test_unknown_bytes_and_another_contract():
    refused(b"what is this", "name the engine", error=InputError)
    refused(b"PK is no zip file", "name the engine", error=InputError)
    refused("a.tflite", "contract is dict; expected a Contract", error=InputError, contract={"labels": []})


def test_a_manifest_of_another_file(linear_models):
    path = linear_models["int8.tflite"]
    other = linear_models["float32.tflite"].with_name("float32.tflite.json")
    refused(path.read_bytes(), "model.tflite: SHA-256 is", manifest=other)
    refused(path, "int8.tflite: SHA-256 is", manifest=other)


def test_a_forked_child_loads_it_again(linear_models):
    path = linear_models["float32.onnx"]
    expected = answers(path)
    with Classifier.load(path.read_bytes(), manifest=path.with_name("float32.onnx.json"), threads=1) as classifier:
        child = os.fork()
        if not child:
            os._exit([item.index for item in classifier.classify(IMAGES)] != expected)
        assert os.waitpid(child, 0)[1] == 0


@pytest.fixture(scope="module")
def classify():
    with Classifier.load(ROOT / "exported/compact_cnn/int8.tflite", engine="numpy") as loaded:
        yield loaded


class TestFitImage:
    """Frames of any size, type and order of channels, as the model takes them."""

    FRAME = np.random.default_rng(3).integers(0, 256, (60, 80, 3), dtype=np.uint8)

    def test_order(self, classify):
        rgb = classify.fit_image(self.FRAME)
        assert rgb.shape == (28, 28, 1) and rgb.dtype == np.uint8
        np.testing.assert_array_equal(classify.fit_image(self.FRAME[:, :, ::-1], order="BGR"), rgb)
        assert (classify.fit_image(self.FRAME, order="BGR") != rgb).any()
        with pytest.raises(InputError, match="order is 'GRB'; expected 'RGB' or 'BGR'"):
            classify.fit_image(self.FRAME, order="GRB")

    def test_it_is_what_from_file_makes(self, classify, tmp_path):
        from PIL import Image

        Image.fromarray(self.FRAME).save(tmp_path / "a.png")
        with Image.open(tmp_path / "a.png") as image:
            fitted = classify.fit_image(image)
        np.testing.assert_array_equal(fitted, classify.fit_image(self.FRAME))
        assert classify(fitted, invert="auto") == classify.from_file(tmp_path / "a.png", invert="auto")

    GREY = FRAME[:, :, 0]

    @pytest.mark.parametrize(
        "frame", [GREY, FRAME[:, :, :1], (GREY / 255).astype(np.float32), GREY.astype(np.uint16) * 257]
    )
    def test_types_of_one_grey_frame(self, classify, frame):
        np.testing.assert_array_equal(classify.fit_image(frame), classify.fit_image(self.FRAME[:, :, 0]))

    def test_a_mask(self, classify):
        assert set(np.unique(classify.fit_image(np.ones((9, 9), bool)))) == {255}

    @pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
    def test_transparency_needs_a_ground(self, classify, mode):
        from PIL import Image

        image = Image.new("RGBA", (40, 40), (255, 255, 255, 0))
        image = image if mode == "RGBA" else image.convert(mode)
        if mode == "P":
            image.info["transparency"] = image.getpixel((0, 0))
        with pytest.raises(InputError, match="transparent pixels; say what lies behind them: ground=0"):
            classify.fit_image(image)
        assert classify.fit_image(image, ground=0).max() == 0
        assert classify.fit_image(image, ground=(255, 255, 255)).min() == 255

    def test_alpha_of_an_array(self, classify):
        opaque = np.dstack([self.FRAME, np.full((60, 80), 255, np.uint8)])
        np.testing.assert_array_equal(classify.fit_image(opaque), classify.fit_image(self.FRAME))
        opaque[:, :, 3] = 0
        assert set(np.unique(classify.fit_image(opaque, ground=9, order="BGR"))) == {9}
        for ground in (256, -1, "white", (1, 2), 0.5):
            with pytest.raises(InputError, match=r"expected a grey level 0\.\.255"):
                classify.fit_image(opaque, ground=ground)

    @pytest.mark.parametrize(("image", "said"), [
        (np.zeros((2, 9, 9, 3), np.uint8), r"ndarray of shape \(2, 9, 9, 3\)"), (np.zeros((0, 9), np.uint8), "shape"),
        (np.zeros((9, 9, 2), np.uint8), "shape"), ("photo.png", "image is str of shape"), (None, "NoneType"),
        (np.zeros((9, 9), np.int64), "int64; expected uint8, uint16"), (np.full((9, 9), 200.0), "spans 200 to 200"),
        (np.full((9, 9), np.nan), "NaN"),
    ])  # fmt: skip
    def test_what_is_no_image(self, classify, image, said):
        with pytest.raises(InputError, match=said):
            classify.fit_image(image)

    def test_without_pillow(self, classify, monkeypatch):
        monkeypatch.setitem(sys.modules, "PIL", None)
        with pytest.raises(UnavailableError, match="fitting an image needs Pillow"):
            classify.fit_image(self.FRAME)
