"""A fitted confidence in use: the temperature, unknown answers, manifests with and without it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support import ROOT
from support.engines import IMAGES
from support.linear import LINEAR

from fmnist_edge.cli import main
from fmnist_edge.errors import ArtifactError, InputError
from fmnist_edge.runtime import Classifier
from fmnist_edge.runtime.confidence import Confidence, contrast_of, energy_of
from fmnist_edge.runtime.manifest import Manifest, manifest_path
from fmnist_edge.runtime.prediction import softmax

NOTHING = {"threshold": 0.0, "energies": None, "contrast": 0.0}  # no answer is unknown
ORIGIN = {"coverage": 0.95, "images": 500, "source": "mine", "seen": False}
SECTION = {"temperature": 2.0, **NOTHING, "abstain": False, **ORIGIN}
SCORES = np.float32([[3, 1, 0], [0.5, 0.4, 0.3]])
GREY = np.full((2, 4, 4), 100, np.uint8)


def confidence(**changed):
    return Confidence.from_json({**SECTION, **changed}, "confidence")


def artifact(folder, models, **changed):
    """The linear model with a confidence in its manifest."""
    path = Path(shutil.copy(models["float32.tflite"], folder))
    document = json.loads(manifest_path(models["float32.tflite"]).read_text())
    manifest_path(path).write_text(json.dumps({**document, "confidence": {**SECTION, **changed}}))
    return path


class TestProbabilities:
    def test_logits_are_divided_by_the_temperature(self):
        np.testing.assert_allclose(confidence().probabilities(SCORES, "logits"), softmax(SCORES / 2), rtol=1e-6)

    def test_a_model_that_ends_in_softmax(self):
        """p^(1/T), made to sum to 1; a probability of 0 stays finite."""
        found = confidence().probabilities(softmax(SCORES), "probabilities")
        np.testing.assert_allclose(found, softmax(SCORES / 2), rtol=1e-5)
        assert np.isfinite(confidence().probabilities(np.float32([[1, 0, 0]]), "probabilities")).all()


class TestKnown:
    """Each threshold alone makes an answer unknown, and the value itself is enough."""

    def test_probability(self):
        exact = float(softmax(SCORES / 2).max(axis=1)[1])
        below, above = np.nextafter(np.float32(exact), np.float32([0, 1]))
        assert confidence(threshold=float(below)).known(SCORES, "logits", GREY).tolist() == [True, True]
        assert confidence(threshold=float(above)).known(SCORES, "logits", GREY).tolist() == [True, False]

    def test_energy_by_the_class_of_the_answer(self):
        energies = energy_of(SCORES, 2.0)
        np.testing.assert_allclose(energies, 2 * np.log(np.exp(SCORES / 2).sum(axis=1)), rtol=1e-6)
        assert confidence(energies=[float(energies[1]), 99.0, 99.0]).known(SCORES, "logits", GREY).all()
        assert not confidence(energies=[99.0, -99.0, -99.0]).known(SCORES, "logits", GREY).any()

    def test_contrast_on_one_scale_for_bytes_and_floats(self):
        image = np.zeros((1, 4, 4), np.uint8)
        image[:, :2] = 200
        assert contrast_of(image) == contrast_of(image / np.float32(255)) == pytest.approx(100)
        assert confidence(contrast=100.0).known(SCORES[:1], "logits", image).all()
        assert not confidence(contrast=100.5).known(SCORES[:1], "logits", image).any()


class TestClassifier:
    def test_applies_the_temperature_and_keeps_the_class(self, linear_models, tmp_path):
        with (
            Classifier.load(linear_models["float32.tflite"]) as plain,
            Classifier.load(artifact(tmp_path, linear_models)) as calibrated,
        ):
            scores = plain.scores(IMAGES)
            assert np.array_equal(calibrated.scores(IMAGES), scores), "scores are the model's"
            for before, after, row in zip(plain.classify(IMAGES), calibrated.classify(IMAGES), scores, strict=True):
                assert after.label == before.label and after.confidence < before.confidence
                np.testing.assert_allclose(after.probabilities, softmax(row[None] / 2)[0], rtol=1e-6)

    def test_answers_unknown_only_where_it_is_asked_to(self, linear_models, tmp_path):
        path = artifact(tmp_path, linear_models, threshold=1.0)
        for asked, label in ((None, LINEAR.labels[0]), (False, LINEAR.labels[0]), (True, None)):
            with Classifier.load(path, abstain=asked) as classifier:
                answer = classifier(IMAGES[0])
                assert (answer.label is None) == (label is None), asked
                assert answer.index == int(answer.probabilities.argmax()) and answer.confidence > 0
        path = artifact(tmp_path, linear_models, threshold=1.0, abstain=True)
        with Classifier.load(path) as classifier:
            assert classifier(IMAGES[0]).label is None
        with Classifier.load(path, abstain=False) as classifier:
            assert classifier(IMAGES[0]).label is not None

    def test_asked_without_a_confidence_is_an_error(self, linear_models):
        with pytest.raises(InputError, match="needs a confidence in the manifest"):
            Classifier.load(linear_models["float32.tflite"], abstain=True)

    def test_a_constant_image_is_unknown(self, linear_models, tmp_path):
        with Classifier.load(artifact(tmp_path, linear_models, contrast=5.0), abstain=True) as classifier:
            found = classifier(np.stack([IMAGES[0], np.full_like(IMAGES[0], 128)]))
        assert [answer.label is None for answer in found] == [False, True]


class TestManifest:
    def test_round_trip(self):
        found = confidence(energies=[1.0, 2.5])
        assert Confidence.from_json(json.loads(json.dumps(found.as_dict())), "confidence") == found

    def test_without_the_section_it_reads_as_before(self, linear_models):
        assert Manifest.read(linear_models["float32.tflite"]).confidence is None

    @pytest.mark.parametrize("changed, reason", [
        ({"temperature": 0.0}, "temperature is 0.0"), ({"temperature": float("nan")}, "expected a finite number"),
        ({"threshold": "high"}, "confidence.threshold is 'high'"), ({"energies": [1.0, None]}, r"energies\[1\]"),
        ({"abstain": 1}, "true or false"), ({"energies": [1.0]}, "1 energies for 10 classes"),
    ])  # fmt: skip
    def test_damaged(self, linear_models, tmp_path, changed, reason):
        with pytest.raises(ArtifactError, match=reason):
            Classifier.load(artifact(tmp_path, linear_models, **changed))


class TestClassify:
    PICTURE = str(ROOT / "examples/images/0000-ankle_boot.png")

    def test_says_unknown(self, linear_models, tmp_path, capsys):
        path = str(artifact(tmp_path, linear_models, threshold=1.0))
        assert main(["classify", path, self.PICTURE, "--abstain"]) == 0
        assert "| unknown |" in capsys.readouterr().out
        assert main(["classify", path, self.PICTURE, "--abstain", "--json"]) == 0
        answer = json.loads(capsys.readouterr().out)[0]
        assert answer["label"] is None and len(answer["probabilities"]) == 10

    def test_without_a_confidence_is_an_error(self, linear_models, capsys):
        assert main(["classify", str(linear_models["float32.tflite"]), self.PICTURE, "--abstain"]) == 2
        assert "fmnist-edge confidence" in capsys.readouterr().err
