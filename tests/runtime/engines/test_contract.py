"""One contract for every engine and format."""

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from support import ROOT
from support.engines import EXPECTED, IMAGES, TOLERANCE
from support.installed import needs

from fmnist_edge.data import fashion_mnist
from fmnist_edge.errors import InputError, UnavailableError
from fmnist_edge.lookup import load
from fmnist_edge.runtime import Classifier
from fmnist_edge.runtime.engine import Engine
from fmnist_edge.runtime.engine_catalog import ENGINES, engines_for


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
        steps = 2 if classifier.engine.name.startswith("keras") else 60  # Keras takes milliseconds per call
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
