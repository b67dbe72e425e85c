"""Fitting a confidence, and what it is worth: known distributions, gates that can fail, the commands."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support import ROOT

from fmnist_edge.artifact import Artifact
from fmnist_edge.cli import main
from fmnist_edge.errors import InputError
from fmnist_edge.parity.outside import outside_images
from fmnist_edge.parity.reliability import Fraction, Reliability, fit, reliability, rounded
from fmnist_edge.runtime.prediction import softmax

COMPACT = ROOT / "exported/compact_cnn/int8.tflite"
CHOICES = {"output": "logits", "coverage": 0.95, "abstain": False, "source": "mine"}


def overconfident(count, factor=3.0, seed=1):
    """Logits that are `factor` too large, their true labels, and images with contrast."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(0, 2, (count, 5))
    labels = np.array([rng.choice(5, p=row) for row in softmax(honest)])
    return (factor * honest).astype(np.float32), labels, rng.integers(0, 256, (count, 6, 6)).astype(np.uint8)


class TestFit:
    @pytest.mark.parametrize("factor", [0.5, 3.0])
    def test_finds_the_temperature_that_was_put_in(self, factor):
        scores, labels, images = overconfident(20_000, factor)
        found = fit(scores, labels, images, **CHOICES)
        assert found.temperature == pytest.approx(factor, rel=0.04)
        softened = fit(softmax(scores), labels, images, **{**CHOICES, "output": "probabilities"})
        assert softened.temperature == pytest.approx(factor, rel=0.04)

    @pytest.mark.parametrize("coverage", [0.8, 0.95])
    @pytest.mark.parametrize("output", ["logits", "probabilities"])
    def test_leaves_that_share_of_the_images_answered(self, coverage, output):
        scores, labels, images = overconfident(5_000)
        scores = scores if output == "logits" else softmax(scores)
        found = fit(scores, labels, images, **{**CHOICES, "coverage": coverage, "output": output})
        assert found.known(scores, output, images).mean() == pytest.approx(coverage, abs=0.004)
        assert (found.energies is None) == (output == "probabilities"), "softmax leaves no energy"

    def test_a_class_that_is_never_answered_has_a_threshold_too(self):
        scores, labels, images = overconfident(500)
        scores[:, 2] = -50
        assert np.isfinite(fit(scores, labels, images, **CHOICES).energies).all()

    def test_refuses_what_no_temperature_fits(self):
        scores, labels, images = overconfident(500)
        with pytest.raises(InputError, match="right on all 500 images"):
            fit(scores, scores.argmax(axis=1), images, **CHOICES)
        with pytest.raises(InputError, match="199 images; expected at least 200"):
            fit(scores[:199], labels[:199], images[:199], **CHOICES)

    def test_rounding_down_never_raises_a_threshold(self):
        values = np.random.default_rng(0).uniform(0.001, 300, 1000)
        assert all(rounded(value, down=True) <= value for value in values)
        assert rounded(0.98766) == 0.9877 and rounded(0.98766, down=True) == 0.9876 and rounded(0.0, down=True) == 0


class TestReliability:
    def measured(self, **unknown):
        scores, labels, images = overconfident(5_000)
        found = fit(scores, labels, images, **CHOICES)
        return reliability(found, *overconfident(5_000, seed=2), "logits", unknown)

    def test_of_images_that_it_was_not_fitted_on(self):
        worth = self.measured(noise=np.ones(100, bool))
        assert worth.ece_before > 0.1 and worth.ece < 0.02
        assert worth.coverage.share == pytest.approx(0.95, abs=0.02)
        assert worth.error_answered.share < worth.error.share < 0.6
        assert worth.failures == [] and json.loads(json.dumps(worth.as_dict()))["failures"] == []

    def test_gates_fail(self):
        half = np.arange(100) < 50
        assert self.measured(noise=half).failures == ["50.0% of noise images are unknown; expected 90%"]
        assert self.measured(gradient=half).failures == [], "gradients are shown and not judged"
        assert self.measured(noise=np.arange(100) < 88).failures == [], "100 images do not show it"

    def test_gates_on_coverage_and_calibration(self):
        share = Fraction.of(np.arange(10_000) < 9_000)
        worth = Reliability(0.01, 0.05, share, share, None, {}, aim=0.95)
        assert len(worth.failures) == 2 and "90.0% of the images" in worth.failures[1] and "0.0500" in worth.failures[0]

    def test_the_interval_is_clopper_pearsons(self):
        found = Fraction.of(np.arange(10) < 3)
        assert (found.lower, found.upper) == pytest.approx((0.0667, 0.6525), abs=1e-4)


class TestOutside:
    def test_images_of_a_contract(self):
        found = outside_images((12, 10, 3))
        assert {kind: images.shape for kind, images in found.items()} == {
            "constant": (256, 12, 10, 3), "noise": (1000, 12, 10, 3), "soft noise": (1000, 12, 10, 3),
            "gradient": (1000, 12, 10, 3),
        }  # fmt: skip
        assert all(images.dtype == np.uint8 for images in found.values())
        assert (found["constant"].std(axis=(1, 2, 3)) == 0).all() and found["gradient"].std(axis=(1, 2, 3)).mean() > 5
        assert list(outside_images((64,))) == ["constant"]

    def test_are_the_same_every_time(self):
        first, second = outside_images((6, 6, 1)), outside_images((6, 6, 1))
        assert all(np.array_equal(first[kind], second[kind]) for kind in first)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    from fmnist_edge.data import fashion_mnist

    folder = tmp_path_factory.mktemp("images")
    validation = fashion_mnist.train_and_validation(60_000, 5_000)[1].part(0, 600)
    np.save(folder / "images.npy", validation.images)
    np.save(folder / "labels.npy", validation.labels)
    return ["--images", str(folder / "images.npy"), "--labels", str(folder / "labels.npy")]


class TestCommands:
    @pytest.fixture
    def path(self, tmp_path):
        for item in (COMPACT, Path(f"{COMPACT}.json")):
            shutil.copy(item, tmp_path)
        return tmp_path / COMPACT.name

    def test_records_a_confidence_that_check_then_judges(self, path, images, tmp_path, capsys):
        before = path.read_bytes()
        assert main(["confidence", str(path), *images, "--coverage", "90"]) == 0
        assert path.read_bytes() == before
        found = Artifact.open(path).manifest.confidence
        assert found.coverage == 0.9 and found.images == 600 and found.temperature > 1 and not found.abstain
        report = tmp_path / "parity.json"
        code = main(["check", str(path), "--limit", "300", "--report", str(report)])
        row = json.loads(report.read_text())["rows"][0]
        worth = row["confidence"]
        assert code == 0 and worth["unknown"]["constant"]["share"] == 1 and worth["unknown"]["noise"]["share"] > 0.9
        assert "Fitted confidence" in capsys.readouterr().out

    def test_a_confidence_that_lets_noise_pass_fails_the_check(self, path, images, tmp_path, capsys):
        assert main(["confidence", str(path), *images]) == 0
        manifest = Path(f"{path}.json")
        document = json.loads(manifest.read_text())
        document["confidence"] |= {"contrast": 0.0, "threshold": 0.0, "energies": None}
        manifest.write_text(json.dumps(document))
        assert main(["check", str(path), "--limit", "300", "--report", str(tmp_path / "parity.json")]) == 1
        assert "constant images are unknown; expected 90%" in capsys.readouterr().err

    def test_wrong_arguments(self, path, images, capsys):
        assert main(["confidence", str(path), *images, "--coverage", "40"]) == 2
        assert main(["confidence", str(path), *images[:2]]) == 2
        assert "--images needs --labels" in capsys.readouterr().err
