"""The same behaviour of every engine and format, and damaged or hostile files."""

import base64
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import ROOT
from support.installed import MICRO, NEEDS, installed, needs
from support.linear import BIAS, LINEAR, WEIGHTS, saved, with_manifest

from fmnist_edge.cli import main
from fmnist_edge.data import fashion_mnist
from fmnist_edge.errors import ArtifactError, FileError, InputError, UnavailableError, UnknownNameError
from fmnist_edge.lookup import load
from fmnist_edge.runtime import Classifier, Contract, Preprocessing
from fmnist_edge.runtime.engine import Engine
from fmnist_edge.runtime.engine_catalog import ENGINES, engines_for
from fmnist_edge.runtime.engines.onnxruntime import OnnxRuntimeEngine
from fmnist_edge.runtime.engines.tflite_micro import TFLiteMicroEngine
from fmnist_edge.runtime.golden import Golden
from fmnist_edge.runtime.images import read_image
from fmnist_edge.runtime.loading import read_whole
from fmnist_edge.runtime.manifest import Manifest, manifest_path
from fmnist_edge.runtime.runner import Runner
from fmnist_edge.runtime.trial import try_load
from fmnist_edge.worker.calls import child_environment

IMAGES = np.random.default_rng(11).integers(0, 256, (19, 28, 28), dtype=np.uint8)
EXPECTED = (IMAGES.reshape(19, 784) / 255) @ WEIGHTS + BIAS
TFLITE = ("float32.tflite", "int8.tflite", "int16x8.tflite")
# (model file, engine); None is the default for the suffix
CASES = (
    *((model, None) for model in (*TFLITE, "dynamic.tflite", "float32.onnx", "batch8.onnx", "dynamic.onnx")),
    ("dynamic.tflite", "litert-compiled"), ("dynamic.tflite", "tflite-micro"),
    ("dynamic.tflite", "numpy"), ("dynamic_int8.tflite", "numpy"),
    *((model, engine) for engine in engines_for(Path("x.tflite"))[1:] for model in TFLITE),
    *((model, engine) for engine in engines_for(Path("x.onnx"))[1:] for model in ("float32.onnx", "dynamic.onnx")),
    ("dynamic.tflite", "openvino"), ("batch8.onnx", "openvino"),
    ("float32.ncnn", "ncnn"), ("float32.mnn", "mnn"),
    *(("float32.keras", engine) for engine in engines_for(Path("x.keras"))),
)  # fmt: skip


def as_parameter(model, engine):
    marks = [needs(NEEDS[engine])] if engine in NEEDS else []
    if engine == "tflite-micro":
        marks = [pytest.mark.skipif(not MICRO, reason="tflite-micro has no wheel for this machine")]
    return pytest.param((model, engine), id="-".join(filter(None, (model, engine))), marks=marks)


TOLERANCE = {"int8.tflite": 0.25, "dynamic_int8.tflite": 0.25, "int16x8.tflite": 0.1}


@pytest.fixture(params=[as_parameter(*case) for case in CASES])
def case(request):
    return request.param


@pytest.fixture
def name(case):
    return case[0]


@pytest.fixture
def engine(case):
    return case[1]


@pytest.fixture(params=[pytest.param(model, marks=as_parameter(model, model.rpartition(".")[2]).marks)
                        for model in dict.fromkeys(model for model, _ in CASES)])  # fmt: skip
def any_file(request):
    """Each model file once, for tests that do not depend on the engine."""
    return request.param


@pytest.fixture(autouse=True)
def tflite_runtime(monkeypatch):
    """A stand-in for the module tflite_runtime, which needs NumPy 1: its successor has the same Interpreter."""
    import ai_edge_litert.interpreter

    monkeypatch.setitem(sys.modules, "tflite_runtime", ai_edge_litert)
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", ai_edge_litert.interpreter)


@pytest.fixture
def classifier(linear_models, name, engine):
    with Classifier.load(linear_models[name], engine=engine) as loaded:
        yield loaded


class TestContract:
    def test_scores_are_the_outputs_of_the_model(self, classifier, name):
        scores = classifier.scores(IMAGES)
        assert (scores.shape, scores.dtype) == ((19, 10), np.float32)
        assert np.abs(scores - EXPECTED).max() < TOLERANCE.get(name, 1e-4)

    def test_every_accepted_form_gives_the_same_answer(self, classifier):
        one = classifier(IMAGES[0])
        assert one.index == int(classifier.scores(IMAGES[:1]).argmax())
        units = IMAGES[0] / 255
        for form in (IMAGES[0][..., None], units, units.astype(np.float32), units.astype(np.float16)):
            answer = classifier(form)
            assert answer.index == one.index
            assert np.abs(answer.probabilities - one.probabilities).max() < 0.02
        for batch in (IMAGES, IMAGES[..., None]):
            answers = classifier(batch)
            assert len(answers) == 19
            # In Keras the order of sums depends on the batch size.
            rounding = 1e-6 if classifier.engine.name.startswith("keras") else 0
            assert np.abs(answers[0].probabilities - one.probabilities).max() <= rounding

    def test_a_batch_of_one_is_a_list(self, classifier):
        assert isinstance(classifier(IMAGES[:1]), list)
        assert len(classifier.classify(IMAGES[0])) == 1

    def test_prediction_is_consistent(self, classifier):
        for answer in classifier(IMAGES):
            assert answer.probabilities.sum() == pytest.approx(1, abs=1e-5)
            assert answer.index == answer.probabilities.argmax() == answer.top_k(3)[0]
            assert answer.label == f"class {answer.index}"
            assert answer.confidence == answer.probabilities.max()
            assert sorted(answer.top_k(10)) == list(range(10))
            assert list(answer.probabilities[answer.top_k(10)]) == sorted(answer.probabilities, reverse=True)

    def test_threads_do_not_change_the_answer(self, linear_models, name, engine, classifier):
        if name.endswith(".keras"):
            pytest.skip("TensorFlow's threads are the process's; TestKeras has them")
        with Classifier.load(linear_models[name], threads=2, engine=engine) as other:
            assert np.array_equal(other.scores(IMAGES), classifier.scores(IMAGES))

    def test_calls_from_several_threads_take_turns(self, classifier, monkeypatch):
        inside, most, run = [], [], classifier.engine.run

        def watched(batch):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.002)
            inside.pop()
            return run(batch)

        monkeypatch.setattr(classifier.engine, "run", watched)
        workers = [threading.Thread(target=classifier.scores, args=(IMAGES[:2],)) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert set(most) == {1}

    def test_shared_between_threads(self, classifier):
        steps = 5 if classifier.engine.name.startswith("keras") else 60  # Keras takes milliseconds per call
        expected = [classifier.scores(image)[0] for image in IMAGES]
        wrong = []

        def work(offset):
            for step in range(steps):
                index = (offset + step) % len(IMAGES)
                if not np.array_equal(classifier.scores(IMAGES[index])[0], expected[index]):
                    wrong.append(index)

        workers = [threading.Thread(target=work, args=(offset,)) for offset in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert not wrong

    @pytest.mark.parametrize(
        "image",
        [np.zeros((27, 28), np.uint8), np.zeros((28, 28), int), np.full((28, 28), np.nan), np.zeros((0, 28, 28))],
    )
    def test_bad_images_are_refused_and_the_classifier_still_works(self, classifier, image):
        with pytest.raises(InputError):
            classifier(image)
        assert len(classifier(IMAGES)) == 19


def test_engines_agree_on_a_real_int8_model():
    """Agreement of kernels: XNNPACK and LiteRT's kernels differ by a few steps, and ties may change."""
    images = fashion_mnist.load("test").images[:300]
    path = ROOT / "exported/compact_cnn/int8.tflite"
    scores = {}
    for engine in ("litert", "litert-builtin"):
        with Classifier.load(path, engine=engine) as classifier:
            scores[engine] = classifier.scores(images)
            step = classifier.engine.output.scale
    one, two = scores.values()
    assert np.abs(one - two).max() <= 3 * step
    assert (one != two).any(), "the two are meant to be different kernels"
    assert (one.argmax(1) == two.argmax(1)).mean() >= 0.99


def test_every_engine_claims_a_format():
    for name, record in ENGINES.items():
        assert record.suffixes and issubclass(load(record.implementation), Engine)
        assert all(name in engines_for(Path(f"x{suffix}"), record.target) for suffix in record.suffixes)


def test_onnxruntime_optimisation_levels(linear_models):
    levels = {
        "onnxruntime": "ORT_ENABLE_ALL", "onnxruntime-extended": "ORT_ENABLE_EXTENDED",
        "onnxruntime-basic": "ORT_ENABLE_BASIC", "onnxruntime-disabled": "ORT_DISABLE_ALL",
    }  # fmt: skip
    for engine, level in levels.items():
        with Classifier.load(linear_models["float32.onnx"], engine=engine) as classifier:
            assert classifier.engine._session.get_session_options().graph_optimization_level.name == level


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        ("float32.keras", "keras-call"),
        pytest.param("float32.ncnn", "ncnn", marks=needs("ncnn")),
        pytest.param("float32.mnn", "mnn", marks=needs("MNN")),
        pytest.param("int16x8.tflite", "openvino", marks=needs("openvino")),
    ],
)
def test_an_engine_that_cannot_fork_refuses_in_a_child(linear_models, name, engine):
    with Classifier.load(linear_models[name], engine=engine) as classifier:
        classifier(IMAGES[0])
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            try:
                classifier(IMAGES[0])
            except UnavailableError as error:
                os._exit(0 if "does not survive a fork" in str(error) else 7)
            os._exit(8)
        assert os.waitpid(child, 0)[1] == 0


class TestKeras:
    def test_threads_are_set_for_the_process(self, linear_models):
        code = (
            "import sys, tensorflow as tf\n"
            "from fmnist_edge.errors import UnavailableError\n"
            "from fmnist_edge.runtime.engines.keras import KerasCallEngine as Engine\n"
            "Engine(sys.argv[1], 2), Engine(sys.argv[1], 2), Engine(sys.argv[1])\n"
            "print(tf.config.threading.get_intra_op_parallelism_threads())\n"
            "try: Engine(sys.argv[1], 1)\n"
            "except UnavailableError as error: print(error)\n"
        )
        command = [sys.executable, "-c", code, str(linear_models["float32.keras"])]
        said = subprocess.run(command, capture_output=True, text=True, check=True, env=child_environment()).stdout
        threads, refusal = said.splitlines()
        assert threads == "2"
        assert refusal == (
            "TensorFlow already runs in this process with another number of threads than 1; use a new process"
        )

    def test_code_in_a_file_is_not_run(self, tmp_path, capfd):
        import keras

        inputs = keras.Input((28, 28, 1))
        ran = keras.layers.Lambda(lambda x: (print("ran"), x)[1], output_shape=(28, 28, 1))(inputs)
        model = keras.Model(inputs, keras.layers.Dense(10)(keras.layers.Flatten()(ran)))
        capfd.readouterr()
        path = with_manifest(tmp_path / "hostile.keras", saved(model))
        for engine in engines_for(Path("x.keras")):
            refused(path, "Lambda", engine=engine)
        assert "ran" not in capfd.readouterr().out


@needs("openvino")
class TestOpenVINO:
    def test_scales_are_those_in_the_file(self, linear_models):
        """OpenVINO has the scales in its graph; LiteRT reads them from the file."""
        for name in ("int8.tflite", "int16x8.tflite"):
            with (
                Classifier.load(linear_models[name], engine="openvino") as one,
                Classifier.load(linear_models[name]) as other,
            ):
                pairs = ((one.engine.input, other.engine.input), (one.engine.output, other.engine.output))
                for ours, expected in pairs:
                    assert ours.dtype == expected.dtype and ours.zero_point == expected.zero_point
                    assert ours.scale == pytest.approx(expected.scale, rel=1e-6)

    def test_threads_and_precision(self, linear_models):
        with Classifier.load(linear_models["float32.onnx"], engine="openvino", threads=1) as classifier:
            model = classifier.engine._request.get_compiled_model()
            assert model.get_property("INFERENCE_NUM_THREADS") == 1
            assert model.get_property("EXECUTION_MODE_HINT").name == "ACCURACY"

    def test_another_format_is_refused(self, linear_models, tmp_path):
        path = with_manifest(tmp_path / "x.tflite", linear_models["float32.onnx"].read_bytes())
        refused(path, "TFL3", engine="openvino")


@needs("ncnn")
class TestNcnn:
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda files: files.pop("model.bin"), "expected exactly model.param and model.bin"),
            (lambda files: files.update(more=b"x"), "expected exactly model.param and model.bin"),
            (lambda files: files.update({"model.bin": files["model.bin"][:900]}), "refuses the file (ModelBin read"),
            (lambda files: swap(files, b"InnerProduct", b"NoSuchLayer"), "refuses the file (layer NoSuchLayer not"),
            (lambda files: swap(files, b"-23330=4,3,1,28,28", b""), "has no shape for 'image'"),
            (lambda files: swap(files, b"7767517", b"1234567"), "refuses the file"),
            (lambda files: files.update({"model.param": b"\xff"}), "not a .ncnn file"),
        ],
    )
    def test_damaged_content_is_one_line(self, linear_models, tmp_path, capfd, change, said):
        with zipfile.ZipFile(linear_models["float32.ncnn"]) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        change(files)
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        refused(with_manifest(tmp_path / "x.ncnn", file.getvalue()), said)
        assert capfd.readouterr() == ("", "")

    def test_a_compressed_file_is_refused(self, tmp_path):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("model.param", b" " * 1000)
            archive.writestr("model.bin", b"")
        refused(with_manifest(tmp_path / "x.ncnn", file.getvalue()), "expected no compression")

    def test_threads(self, linear_models):
        with Classifier.load(linear_models["float32.ncnn"], threads=2) as classifier:
            assert classifier.engine._net.opt.num_threads == 2

    def test_float32_weights_are_not_computed_in_float16(self, linear_models):
        with Classifier.load(linear_models["float32.ncnn"]) as classifier:
            options = classifier.engine._net.opt
            assert not (options.use_fp16_storage or options.use_fp16_packed or options.use_fp16_arithmetic)


def swap(files: dict[str, bytes], old: bytes, new: bytes) -> None:
    files["model.param"] = files["model.param"].replace(old, new)


@needs("MNN")
class TestMNN:
    def test_library_output_is_captured(self, linear_models, tmp_path, capfd):
        with Classifier.load(linear_models["float32.mnn"]) as classifier:
            classifier(IMAGES)
        refused(with_manifest(tmp_path / "x.mnn", b"x" * 300), "mnn 3", "refuses the file")
        assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(not MICRO, reason="tflite-micro has no wheel for this machine")
class TestTFLiteMicro:
    def test_the_arena_it_reports_is_the_arena_it_needs(self, linear_models):
        path = linear_models["int8.tflite"]
        with Classifier.load(path, engine="tflite-micro") as classifier:
            expected = classifier.scores(IMAGES)
            arena = classifier.engine.arena
        assert arena["total"] == arena["head"] + arena["tail"] and arena["head"] >= 784
        with Classifier(TFLiteMicroEngine(str(path), arena_size=arena["total"]), LINEAR) as classifier:
            assert np.array_equal(classifier.scores(IMAGES), expected)
        with pytest.raises(ArtifactError, match="Failed to resize buffer"):
            TFLiteMicroEngine(str(path), arena_size=arena["total"] - 512)

    def test_a_refusal_says_the_librarys_reason_and_leaves_stderr_alone(self, linear_models, capfd):
        refused(linear_models["dynamic_int8.tflite"], "filter type: INT8 not supported", engine="tflite-micro")
        assert capfd.readouterr().err == ""
        os.write(2, b"still here")
        assert capfd.readouterr().err == "still here"


def test_probabilities_are_not_softmaxed_twice(linear_models, tmp_path):
    contract = Contract((28, 28, 1), "probabilities", LINEAR.labels)
    path = with_manifest(tmp_path / "p.onnx", linear_models["float32.onnx"].read_bytes(), contract)
    with Classifier.load(path) as classifier:
        np.testing.assert_allclose(classifier(IMAGES[0]).probabilities, EXPECTED[0], atol=1e-4)


@pytest.mark.parametrize("shape", [(2, 3, 1), (2, 3, 3)])
def test_sixteen_bit_png(tmp_path, shape):
    from PIL import Image

    grey = np.array([[0, 20, 78], [128, 200, 255]], np.uint8)
    Image.fromarray(grey).save(tmp_path / "8.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "16.png")
    narrow, wide = (read_image(tmp_path / name, shape) for name in ("8.png", "16.png"))
    assert np.array_equal(wide, narrow) and np.array_equal(wide[..., 0], grey)


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_exif_orientation(tmp_path, orientation, turns):
    """EXIF orientations; `turns` are counter-clockwise quarter turns."""
    from PIL import Image

    stored = np.zeros((32, 32), np.uint8)
    stored[:16, :8] = 200
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "photo.jpg", exif=exif, quality=95)
    found = read_image(tmp_path / "photo.jpg", (32, 32, 1))[..., 0]
    assert np.abs(found.astype(int) - np.rot90(stored, turns)).mean() < 5


def test_damaged_exif(tmp_path):
    """The checksum is right, so only Pillow's EXIF reader notices."""
    from PIL import Image

    Image.new("L", (28, 28)).save(tmp_path / "image.png")
    content = (tmp_path / "image.png").read_bytes()
    chunk = b"eXIf" + b"II*\0"
    chunk = len(chunk[4:]).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    (tmp_path / "image.png").write_bytes(content[:33] + chunk + content[33:])
    with pytest.raises(FileError, match="not a readable PNG or JPEG"):
        read_image(tmp_path / "image.png", (28, 28, 1))


class TestEnginesThatFail:
    def test_more_answers_than_images(self, linear_models, monkeypatch):
        with Classifier.load(linear_models["int8.tflite"]) as classifier:
            run = classifier.engine.run
            monkeypatch.setattr(classifier.engine, "run", lambda batch: np.repeat(run(batch), 2, axis=0))
            with pytest.raises(ArtifactError, match="gave 2 answers for 1 images"):
                classifier(IMAGES[:2])

    def test_tensors_of_other_types(self, linear_models):
        with Classifier.load(linear_models["float32.tflite"]) as classifier:
            classifier.engine.input = replace(classifier.engine.input, dtype="bool")
            with pytest.raises(ArtifactError, match="is bool; expected numbers"):
                Runner(classifier.engine, classifier.contract)

    def test_a_batch_that_the_model_cannot_run(self, tmp_path):
        """Its Reshape is for one image. The classifier still works for one image afterwards."""
        from onnx import TensorProto, helper, numpy_helper

        graph = helper.make_graph(
            [helper.make_node("Reshape", ["image", "one"], ["flat"]), helper.make_node("Gemm", ["flat", "w"], ["y"])],
            "one",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 28, 28, 1])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 10])],
            [numpy_helper.from_array(np.array([1, 784]), "one"), numpy_helper.from_array(WEIGHTS, "w")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        self.fails_on_two(with_manifest(tmp_path / "open.onnx", model.SerializeToString()))

    def test_a_size_that_litert_refuses(self, tmp_path):
        import keras
        import tensorflow as tf

        from fmnist_edge.export.exporter import quiet

        inputs = keras.Input((28, 28, 1))
        flat = keras.layers.Lambda(lambda x: tf.reshape(x, (1, 784)), output_shape=(784,))(inputs)
        converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(inputs, keras.layers.Dense(10)(flat)))
        with quiet():
            content = converter.convert()
        self.fails_on_two(with_manifest(tmp_path / "open.tflite", content))

    def fails_on_two(self, path):
        with Classifier.load(path) as classifier:
            before = classifier.scores(IMAGES[:1])
            with pytest.raises(ArtifactError, match="failed on a batch of 2") as refusal:
                classifier(IMAGES[:2])
            assert "\n" not in str(refusal.value)
            assert np.array_equal(classifier.scores(IMAGES[:1]), before)

    def test_a_closed_classifier(self, classifier):
        classifier.close()
        with pytest.raises(InputError, match="is closed"):
            classifier(IMAGES[0])

    def test_a_file_that_cannot_be_read(self, tmp_path):
        with pytest.raises(ArtifactError, match="cannot be read"):
            read_whole(tmp_path)


def uint8_onnx(path, preprocessing):
    """A model with a uint8 input without a scale. Its scores are the image's first ten pixels."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("Slice", ["flat", "from", "to", "axis"], ["ten"]),
        helper.make_node("Cast", ["ten"], ["y"], to=TensorProto.FLOAT),
    ]
    numbers = {"from": 0, "to": 10, "axis": 1}
    graph = helper.make_graph(
        nodes,
        "bytes",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 28, 28, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(np.array([value]), name) for name, value in numbers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    contract = Contract((28, 28, 1), "logits", LINEAR.labels, preprocessing)
    return with_manifest(path, model.SerializeToString(), contract)


def test_an_integer_input_without_a_scale_takes_only_pixels(tmp_path):
    path = uint8_onnx(tmp_path / "bytes.onnx", Preprocessing(scale=1.0))
    with Classifier.load(path) as classifier:
        for images in (IMAGES[:3], IMAGES[:3] / 255, (IMAGES[:3] / np.float32(255))):
            assert np.array_equal(classifier.scores(images), IMAGES[:3].reshape(3, 784)[:, :10])
    for preprocessing in (Preprocessing(), Preprocessing(scale=1.0, mean=0.5)):
        refused(uint8_onnx(tmp_path / "other.onnx", preprocessing), "uint8 without a scale", "scale=1.0, mean=0.0")


def refused(path, *said, error=ArtifactError, **options):
    with pytest.raises(error) as refusal:
        Classifier.load(path, **options)
    assert "\n" not in str(refusal.value)
    for part in said:
        assert part in str(refusal.value)


@pytest.mark.parametrize("shape", [(60_000, 60_000, 1), (1,) * 7])
def test_a_contract_with_a_huge_image_is_refused(shape):
    with pytest.raises(ArtifactError, match="6 axes and 16,777,216 values at most"):
        Contract(shape, "logits", ("a", "b"))


class TestLoading:
    def test_a_huge_sparse_file_is_not_read(self, tmp_path):
        with open(tmp_path / "x.onnx", "wb") as file:
            file.truncate(1 << 32)
        with pytest.raises(ArtifactError, match="4,294,967,296 bytes; expected 2,147,483,647 at most"):
            read_whole(tmp_path / "x.onnx")

    def test_a_file_replaced_during_loading_is_refused(self, linear_models, tmp_path, monkeypatch):
        content = linear_models["float32.onnx"].read_bytes()
        path = with_manifest(tmp_path / "float32.onnx", content)

        class Exchanged(OnnxRuntimeEngine):
            def __init__(self, name, threads=None):
                path.write_bytes(content + b"\x32\x01x")  # a doc_string: also a valid file
                super().__init__(name, threads)

        monkeypatch.setattr("fmnist_edge.runtime.engines.onnxruntime.OnnxRuntimeEngine", Exchanged)
        refused(path, "was truncated or altered")

    def test_bad_arguments(self, linear_models, tmp_path):
        path = linear_models["float32.onnx"]
        for threads in (0, -1, 1.5, True, "2"):
            refused(path, "threads", error=InputError, threads=threads)
        refused(path, *ENGINES, error=UnknownNameError, engine="tensorrt")
        refused(tmp_path / "model.bin", ".tflite or .onnx", error=InputError)
        refused(tmp_path / "none.onnx", "no such file")
        refused(linear_models["int8.tflite"], "refuses", engine="onnxruntime")
        refused(path, "TFL3", engine="litert")

    def test_engine_that_is_not_installed(self, linear_models, tmp_path, monkeypatch):
        for module in (
            "ai_edge_litert.interpreter",
            "tflite_runtime.interpreter",
            "tensorflow.lite.python.interpreter",
            "ai_edge_litert.compiled_model",
            "tflite_micro.python.tflite_micro",
            "onnxruntime",
            "openvino",
            "ncnn",
            "MNN",
            "keras",
        ):
            monkeypatch.setitem(sys.modules, module, None)
        for engine in engines_for(Path("x.onnx")):
            how = "pip install openvino" if engine == "openvino" else "pip install onnxruntime"
            refused(linear_models["float32.onnx"], how, error=UnavailableError, engine=engine)
        refused(linear_models["float32.ncnn"], "pip install ncnn", error=UnavailableError)
        mnn = with_manifest(tmp_path / "x.mnn", b"not read")
        refused(mnn, "pip install MNN", error=UnavailableError)
        for engine in engines_for(Path("x.keras")):
            how = "pip install 'fmnist-edge[export]'"
            refused(linear_models["float32.keras"], how, error=UnavailableError, engine=engine)
        int8 = linear_models["int8.tflite"]
        refused(int8, "pip install ai-edge-litert", error=UnavailableError)
        refused(int8, "pip install 'ai-edge-litert>=2.1'", error=UnavailableError, engine="litert-compiled")
        refused(int8, "pip install tflite-runtime 'numpy<2'", error=UnavailableError, engine="tflite-runtime")
        refused(int8, "pip install --pre tflite-micro", error=UnavailableError, engine="tflite-micro")

    def test_without_manifest(self, linear_models, tmp_path, any_file):
        bare = shutil.copy(linear_models[any_file], tmp_path / any_file)
        refused(bare, "no manifest")
        with Classifier.load(bare, contract=LINEAR) as classifier:
            assert np.abs(classifier.scores(IMAGES) - EXPECTED).max() < TOLERANCE.get(any_file, 1e-4)

    @pytest.mark.parametrize("change", [lambda c: c[:-1], lambda c: c + b"\0", lambda c: c[:99] + b"\xff" + c[100:]])
    def test_a_file_that_differs_from_its_manifest(self, linear_models, tmp_path, any_file, change):
        path = tmp_path / any_file
        path.write_bytes(change(linear_models[any_file].read_bytes()))
        shutil.copy(manifest_path(linear_models[any_file]), tmp_path)
        refused(path, "truncated or altered")

    @pytest.mark.parametrize("contract", [Contract((28, 28, 3), "logits", LINEAR.labels),
                                          Contract((28, 28, 1), "logits", ("a", "b"))])  # fmt: skip
    def test_contract_that_does_not_fit(self, linear_models, contract, name, tmp_path):
        path = with_manifest(tmp_path / name, linear_models[name].read_bytes(), contract)
        refused(path, "contract says")

    def test_weights_that_are_nan(self, linear_models, tmp_path):
        content = linear_models["float32.onnx"].read_bytes()
        broken = content.replace(BIAS.tobytes(), np.full(10, np.nan, np.float32).tobytes())
        classifier = Classifier.load(with_manifest(tmp_path / "nan.onnx", broken))
        with pytest.raises(ArtifactError, match="NaN"):
            classifier(IMAGES[0])


class TestTrial:
    """Files without a manifest are first loaded in a child process, so an engine cannot crash this one."""

    @pytest.mark.parametrize(
        ("suffix", "engine"),
        [
            (".tflite", None),
            (".onnx", None),
            pytest.param(".tflite", "openvino", marks=needs("openvino")),
            pytest.param(".onnx", "openvino", marks=needs("openvino")),
            pytest.param(".ncnn", "ncnn", marks=needs("ncnn")),
            pytest.param(".mnn", "mnn", marks=needs("MNN")),
            (".keras", "keras-predict"),
        ],
    )
    def test_hostile_files(self, linear_models, tmp_path, suffix, engine):
        content = linear_models[f"float32{suffix}"].read_bytes()
        rng = np.random.default_rng(5)
        flipped = bytearray(content)
        for position in rng.integers(0, 200, 20):
            flipped[position] = rng.integers(0, 256)
        cases = [
            b"",
            b"\0" * 100,
            rng.bytes(2000),
            content[:8] + rng.bytes(2000),
            content[: len(content) // 2],
            bytes(flipped),
        ]
        for number, case in enumerate(cases):
            path = tmp_path / f"{number}{suffix}"
            if suffix == ".keras" and number < 4:  # such a child takes seconds to start; a verified file needs none
                refused(with_manifest(path, case), path.name, engine=engine)
                continue
            path.write_bytes(case)
            refused(path, path.name, contract=LINEAR, engine=engine)

    def test_an_engine_that_crashes(self, tmp_path, monkeypatch):
        self.plant(tmp_path, monkeypatch, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
        with pytest.raises(ArtifactError, match="crashed on it"):
            try_load(tmp_path / "x.onnx", "onnxruntime")

    def test_an_engine_that_hangs(self, tmp_path, monkeypatch):
        self.plant(tmp_path, monkeypatch, "import time; time.sleep(60)")
        with pytest.raises(ArtifactError, match=r"did not finish loading it within 1 s"):
            try_load(tmp_path / "x.onnx", "onnxruntime", timeout_s=1)

    def test_modules_beside_the_model_are_not_imported(self, linear_models, tmp_path, monkeypatch):
        """Modules in the folder of an unpacked model are not imported."""
        shutil.copy(linear_models["float32.onnx"], tmp_path / "x.onnx")
        for name in ("json", "numpy", "onnxruntime", "fmnist_edge"):
            (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
        monkeypatch.chdir(tmp_path)
        try_load("x.onnx", "onnxruntime")
        code = "import sys; sys.exit('' in sys.path)"
        assert subprocess.run([sys.executable, "-c", code], env=child_environment(), check=False).returncode == 0
        assert not (tmp_path / "ran").exists()

    def test_the_message_has_the_given_path(self, tmp_path, monkeypatch):
        (tmp_path / "x.onnx").write_bytes(b"x")
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ArtifactError, match=r"^x\.onnx: ONNX Runtime refuses"):
            try_load("x.onnx", "onnxruntime")

    def plant(self, folder, monkeypatch, code):
        """Write a module that the child imports in place of onnxruntime."""
        (folder / "x.onnx").write_bytes(b"x")
        (folder / "sitecustomize.py").write_text(f"import sys\nif 'fmnist_edge.worker' in sys.orig_argv:\n    {code}\n")
        monkeypatch.setenv("PYTHONPATH", str(folder))

    def test_a_verified_file_is_not_tried(self, linear_models, monkeypatch):
        monkeypatch.setattr("fmnist_edge.runtime.loading.try_load", lambda *_: pytest.fail("tried"))
        Classifier.load(linear_models["float32.onnx"]).close()

    def test_a_verified_file_is_tried_with_try_first(self, tmp_path):
        """A well-formed file with an invalid operand. LiteRT 2.3 crashes on it."""
        content = (ROOT / "tests/hostile/litert-2.3-sigsegv.tflite").read_bytes()
        hostile = with_manifest(tmp_path / "x.tflite", content, Contract((28, 28, 1), "logits", fashion_mnist.LABELS))
        refused(hostile, "x.tflite", try_first=True)

    @pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_DATA")
    def test_a_file_that_needs_too_much_memory_is_refused(self, tmp_path):
        from onnx import TensorProto, helper, numpy_helper

        size = numpy_helper.from_array(np.array([1 << 31], np.int64), "size")  # 8 GiB of float32
        info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("image", "scores")]
        nodes = [
            helper.make_node("ConstantOfShape", ["size"], ["huge"]),
            helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0),
            helper.make_node("Add", ["image", "sum"], ["scores"]),
        ]
        graph = helper.make_graph(nodes, "huge", info[:1], info[1:], [size])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        path = tmp_path / "huge.onnx"
        path.write_bytes(model.SerializeToString())
        with pytest.raises(ArtifactError, match=r"huge\.onnx: .*(refuses|cannot run|crashed)"):
            try_load(path, "onnxruntime")


SHIPPED = sorted(path for name in ("float32.onnx", "int8.tflite") for path in ROOT.glob(f"exported/*/{name}"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_committed_artifacts_classify(path):
    """Every committed artifact classifies real images."""
    test = fashion_mnist.load("test").part(0, 200)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == Manifest.read(path).sha256
    with Classifier.load(path) as classifier:
        right = [answer.index == label for answer, label in zip(classifier(test.images), test.labels, strict=True)]
    assert np.mean(right) > 0.85


@needs("openvino")
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_openvino_agrees_on_committed_artifacts(path):
    """An independent implementation: float scores are alike, int8 scores within a few steps."""
    images = fashion_mnist.load("test").images[:300]
    scores = []
    for engine in (None, "openvino"):
        with Classifier.load(path, engine=engine) as classifier:
            scores.append(classifier.scores(images))
            step = classifier.engine.output.scale
    one, other = scores
    assert np.abs(one - other).max() <= (1e-4 if step is None else 5 * step)
    assert (one.argmax(1) == other.argmax(1)).mean() >= (1 if step is None else 0.99)


class TestInUse:
    """Behaviour that a device application needs beyond a single answer."""

    def test_latency_is_that_of_the_call(self, linear_models, monkeypatch):
        with Classifier.load(linear_models["int8.tflite"]) as classifier:
            run = classifier.engine.run
            monkeypatch.setattr(classifier.engine, "run", lambda batch: (time.sleep(0.02), run(batch))[1])
            assert classifier(IMAGES[0]).latency_ns >= 20_000_000
            batch = classifier(IMAGES[:3])
            assert len({answer.latency_ns for answer in batch}) == 1 and batch[0].latency_ns >= 60_000_000

    def test_warm_up_runs_the_engine(self, linear_models, monkeypatch):
        with Classifier.load(linear_models["int8.tflite"]) as classifier:
            run, batches = classifier.engine.run, []
            monkeypatch.setattr(classifier.engine, "run", lambda batch: (batches.append(batch.copy()), run(batch))[1])
            classifier.warm_up(4)
        assert len(batches) == 4 and (batches[0] == -128).all()

    @pytest.mark.parametrize("threads", [None, 2])
    def test_a_forked_child_can_classify(self, linear_models, name, engine, threads):
        if name.endswith((".keras", ".ncnn", ".mnn")) or engine == "openvino":
            pytest.skip("does not survive a fork, which has a test of its own")
        with Classifier.load(linear_models[name], engine=engine, threads=threads) as classifier:
            expected = classifier.scores(IMAGES)
            held = threading.Thread(target=lambda: [classifier.scores(IMAGES) for _ in range(50)])
            held.start()  # the lock may be held at the moment of the fork
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns about threads and forks
                child = os.fork()
            if child == 0:
                signal.alarm(60)
                os._exit(0 if np.array_equal(classifier.scores(IMAGES), expected) else 7)
            held.join()
            assert os.waitpid(child, 0)[1] == 0
            assert np.array_equal(classifier.scores(IMAGES), expected)

    def test_the_lookup_table_matches_the_formula(self, classifier):
        """The lookup table gives the same as preprocessing and quantisation."""
        levels = np.arange(784, dtype=np.uint16).astype(np.uint8).reshape(28, 28)
        contract = classifier.contract
        computed = classifier.engine.input.quantize(contract.preprocessing.apply(levels, contract.input_shape))
        prepared = Runner(classifier.engine, contract).prepare(levels[None, ..., None])
        assert prepared.dtype == computed.dtype and np.array_equal(prepared, computed)


class TestSelfTest:
    @pytest.fixture
    def golden(self, linear_models):
        with Classifier.load(linear_models["int8.tflite"]) as classifier:
            return Golden(IMAGES[:16, ..., None], classifier.scores(IMAGES[:16]), 0.25, "litert")

    def artifact(self, linear_models, folder, golden) -> Path:
        path = with_manifest(folder / "int8.tflite", linear_models["int8.tflite"].read_bytes())
        manifest = json.loads(manifest_path(path).read_text())
        manifest_path(path).write_text(json.dumps(manifest | {"golden": golden}))
        return path

    def test_every_engine_passes(self, linear_models, tmp_path, golden):
        path = self.artifact(linear_models, tmp_path, golden.as_dict())
        for engine in engines_for(Path("x.tflite")):
            if (engine == "tflite-micro" and not MICRO) or (engine in NEEDS and not installed(NEEDS[engine])):
                continue
            with Classifier.load(path, engine=engine, verify=True) as classifier:
                result = classifier.self_test()
            assert result.passed and len(result.vectors) == 16 and result.engine.startswith(f"{engine} (")
            assert result.advice == "nothing to do"

    def test_a_wrong_engine_fails(self, linear_models, tmp_path, golden):
        scores = golden.scores.copy()
        scores[3, 5] += 40
        path = self.artifact(linear_models, tmp_path, replace(golden, scores=scores).as_dict())
        with Classifier.load(path) as classifier:
            result = classifier.self_test()
        assert [vector.number for vector in result.vectors if not vector.passed] == [3]
        assert result.vectors[3].expected == 5 != result.vectors[3].found
        assert result.vectors[3].max_abs_delta == pytest.approx(40)
        refused(path, str(path), "1 of 16 golden vectors", "engine='numpy'", verify=True)

    def test_without_golden_vectors(self, linear_models):
        refused(linear_models["int8.tflite"], "has no golden vectors", verify=True)

    def test_damaged(self, linear_models, tmp_path, golden):
        good = golden.as_dict()
        bomb = base64.b64encode(zlib.compress(b"\0" * (1 << 24))).decode()
        for wrong in (
            [], 5, {}, good | {"tolerance": "nan"}, good | {"tolerance": -1}, good | {"images": good["scores"]},
            good | {"scores": good["scores"] | {"zlib_base64": "eA=="}},
            good | {"scores": good["scores"] | {"zlib_base64": bomb}},
            good | {"scores": good["scores"] | {"shape": [1 << 40, 10]}},
            good | {"scores": good["scores"] | {"shape": [1] * 20}},
            good | {"scores": replace(golden, scores=golden.scores * np.float32("nan")).as_dict()["scores"]},
            good | {"scores": good["scores"] | {"dtype": "object"}},
            good | {"images": good["images"] | {"zlib_base64": "%%%"}},
        ):  # fmt: skip
            refused(self.artifact(linear_models, tmp_path, wrong), "golden vectors: ", "damaged", verify=True)

    def test_doctor(self, linear_models, tmp_path, golden, capsys):
        path = self.artifact(linear_models, tmp_path, golden.as_dict())
        report = tmp_path / "doctor.json"
        assert main(["doctor", str(path), "--engine", "numpy", "--report", str(report)]) == 0
        shown = capsys.readouterr().out
        assert "nothing to do" in shown and shown.count("pass") == 16 and "SHA-256 matches the manifest" in shown
        saved = json.loads(report.read_text())["artifacts"][0]
        assert saved["passed"] and len(saved["vectors"]) == 16
        self.artifact(linear_models, tmp_path, replace(golden, scores=golden.scores + 9).as_dict())
        assert main(["doctor", str(path), "--report", str(report)]) == 1
        shown = capsys.readouterr()
        assert shown.out.count("FAIL") == 16
        assert "16 of 16 golden vectors differ from the export" in shown.err
