"""A classifier in use: what it answers, engines that fail under it, forks, what ships."""

import hashlib
import os
import signal
import threading
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
from support import ROOT
from support.engines import EXPECTED, IMAGES, refused
from support.linear import LINEAR, WEIGHTS, with_manifest

from fmnist_edge.data import fashion_mnist
from fmnist_edge.errors import ArtifactError, InputError
from fmnist_edge.runtime import Classifier, Contract, Preprocessing
from fmnist_edge.runtime.loading import read_whole
from fmnist_edge.runtime.manifest import Manifest
from fmnist_edge.runtime.runner import Runner


def test_probabilities_are_not_softmaxed_twice(linear_models, tmp_path):
    contract = Contract((28, 28, 1), "probabilities", LINEAR.labels)
    path = with_manifest(tmp_path / "p.onnx", linear_models["float32.onnx"].read_bytes(), contract)
    with Classifier.load(path) as classifier:
        np.testing.assert_allclose(classifier(IMAGES[0]).probabilities, EXPECTED[0], atol=1e-4)


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

        from fmnist_edge.exporters.exporter import quiet

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


SHIPPED = sorted(path for name in ("float32.onnx", "int8.tflite") for path in ROOT.glob(f"exported/*/{name}"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_committed_artifacts_classify(path):
    """Every committed artifact classifies real images."""
    test = fashion_mnist.load("test").part(0, 200)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == Manifest.read(path).sha256
    with Classifier.load(path) as classifier:
        right = [answer.index == label for answer, label in zip(classifier(test.images), test.labels, strict=True)]
    assert np.mean(right) > 0.85


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
