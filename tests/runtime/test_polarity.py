"""Polarity: the rule on all of Fashion-MNIST, and what the classifier does about it."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
from support.linear import LINEAR, linear_onnx, with_manifest

from fmnist_edge.cli import main
from fmnist_edge.data import fashion_mnist
from fmnist_edge.errors import InputError
from fmnist_edge.runtime import Classifier, PolarityWarning
from fmnist_edge.runtime.polarity import Polarity, border_of

LIGHT_ON_DARK = replace(LINEAR, polarity="light-on-dark")
RNG = np.random.default_rng(4)
SHIRT = np.zeros((28, 28), np.uint8)
SHIRT[2:26, 6:22] = RNG.integers(90, 256, (24, 16))
PHOTO = 255 - SHIRT


@pytest.fixture
def path(tmp_path):
    return with_manifest(tmp_path / "float32.onnx", linear_onnx("n"), LIGHT_ON_DARK)


@pytest.fixture
def classifier(path):
    with Classifier.load(path) as loaded:
        yield loaded


@pytest.mark.parametrize("part", ["train", "test"])
def test_the_rule_on_all_of_fashion_mnist(part):
    """The docstring's numbers: 0 false positives in 60,000 images, and 0 of 60,000 inverted images missed."""
    images = fashion_mnist.load(part).images[..., None]
    polarity = Polarity(replace(LINEAR, labels=fashion_mnist.LABELS, polarity=fashion_mnist.POLARITY))
    assert polarity.looks_inverted(images).sum() == 0
    assert polarity.looks_inverted(255 - images).all()
    assert polarity.looks_inverted((255 - images[:500]) / 255).all()
    assert not polarity.looks_inverted(images[:500] / np.float32(255)).any()
    if part == "train":
        assert len(images) == 60_000
        assert round(images.reshape(60_000, -1)[:, border_of((28, 28, 1))].mean(axis=1).max()) == 108


def test_a_photo_like_scene_with_shade_and_noise():
    """A darker garment in front of a grey wall that gets darker towards one side."""
    wall = np.linspace(150, 220, 28)[None, :] + RNG.normal(0, 8, (28, 28))
    scene = np.where(SHIRT > 0, 60, wall).clip(0, 255).astype(np.uint8)
    polarity = Polarity(LIGHT_ON_DARK)
    assert polarity.looks_inverted(scene[None, ..., None]).all()
    assert not polarity.looks_inverted(255 - scene[None, ..., None]).any()


def test_the_border_is_the_outermost_pixels_of_all_channels():
    assert sorted(border_of((3, 4, 1))) == [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]
    assert len(border_of((28, 28, 3))) == 3 * 108
    assert len(border_of((2, 2, 1))) == 4 and len(border_of((1, 1, 1))) == 1


class TestInvert:
    def test_no_warning_and_no_change_for_the_right_polarity(self, classifier):
        for invert in ("never", "auto"):
            one = classifier(SHIRT, invert=invert)
            assert np.array_equal(one.probabilities, classifier(SHIRT).probabilities)

    def test_never_warns_and_does_not_invert(self, classifier):
        expected = classifier.scores(PHOTO)
        with pytest.warns(
            PolarityWarning, match=r"the image looks dark on light.*light on dark; invert='auto'"
        ) as found:
            answer = classifier(PHOTO)
        assert found[0].filename == __file__, "the warning is to point at the caller"
        assert answer.index == expected.argmax()

    @pytest.mark.parametrize("scale", [1, 255.0])
    def test_auto_inverts_only_images_that_look_inverted(self, classifier, scale):
        images = np.stack([SHIRT, PHOTO, SHIRT]) if scale == 1 else np.stack([SHIRT, PHOTO, SHIRT]) / scale
        before = images.copy()
        answers = classifier.classify(images, invert="auto")
        wanted = classifier.classify(SHIRT)[0].probabilities
        for answer in answers:
            np.testing.assert_allclose(answer.probabilities, wanted, atol=1e-5)
        assert np.array_equal(images, before)

    def test_always_inverts_every_image(self, classifier):
        turned = classifier(SHIRT, invert="always")
        assert turned.index == classifier.scores(PHOTO).argmax()

    def test_one_warning_per_batch(self, classifier):
        with pytest.warns(PolarityWarning, match="2 of 3 images look dark on light") as found:
            classifier.classify(np.stack([SHIRT, PHOTO, PHOTO]))
        assert len(found) == 1 and found[0].filename == __file__

    def test_models_of_dark_on_light_and_of_either(self, tmp_path):
        dark = with_manifest(tmp_path / "dark.onnx", linear_onnx(1), replace(LINEAR, polarity="dark-on-light"))
        either = with_manifest(tmp_path / "either.onnx", linear_onnx(1), LINEAR)
        with Classifier.load(dark) as one, Classifier.load(either) as other:
            one(PHOTO)
            with pytest.warns(PolarityWarning, match="looks light on dark"):
                one(SHIRT)
            for image in (SHIRT, PHOTO):
                plain = other(image).probabilities
                assert np.array_equal(other(image, invert="auto").probabilities, plain)
            assert other(SHIRT, invert="always").index == other.scores(PHOTO).argmax()

    def test_scores_do_not_invert(self, classifier):
        assert not np.array_equal(classifier.scores(PHOTO), classifier.scores(SHIRT))

    def test_unknown_invert_is_refused(self, classifier):
        for word in ("yes", "", None, True):
            with pytest.raises(InputError, match="'never', 'auto', 'always'"):
                classifier(SHIRT, invert=word)

    def test_the_warning_can_be_silenced_or_made_an_error(self, classifier):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PolarityWarning)
            classifier(PHOTO)
            warnings.simplefilter("error", PolarityWarning)
            with pytest.raises(PolarityWarning):
                classifier(PHOTO)


class TestFiles:
    @pytest.fixture
    def photo(self, tmp_path):
        from PIL import Image

        Image.fromarray(PHOTO).resize((84, 84), Image.Resampling.NEAREST).save(tmp_path / "photo.png")
        return tmp_path / "photo.png"

    def test_from_file(self, classifier, photo):
        with pytest.warns(PolarityWarning) as found:
            plain = classifier.from_file(photo)
        assert found[0].filename == __file__
        turned = classifier.from_file(str(photo), invert="auto")
        np.testing.assert_allclose(turned.probabilities, classifier(SHIRT).probabilities, atol=0.05)
        assert not np.allclose(turned.probabilities, plain.probabilities, atol=0.05)

    @pytest.mark.parametrize("resize", ["nearest", "box", "bilinear", "bicubic", "lanczos"])
    def test_the_contract_says_how_it_is_resized(self, tmp_path, resize):
        from PIL import Image

        noise = RNG.integers(0, 256, (56, 56), np.uint8)
        Image.fromarray(noise).save(tmp_path / "noise.png")
        expected = np.asarray(Image.fromarray(noise).resize((28, 28), Image.Resampling[resize.upper()]))
        path = with_manifest(tmp_path / "m.onnx", linear_onnx(1), replace(LINEAR, resize=resize))
        with Classifier.load(path) as classifier:
            found = classifier.from_file(tmp_path / "noise.png")
            assert np.array_equal(found.probabilities, classifier(expected).probabilities)

    def test_classify_warns_about_a_photo_and_inverts_it_on_request(self, path, photo, capsys):
        labels = {}
        for invert in ("never", "auto", "always"):
            assert main(["classify", str(path), str(photo), "--invert", invert, "--json"]) == 0
            shown = capsys.readouterr()
            labels[invert] = json.loads(shown.out)[0]["label"]
            if invert == "never":
                assert f"{photo}: the image looks dark on light" in shown.err and "--invert auto" in shown.err
                assert shown.err.count("\n") == 1
            else:
                assert not shown.err
        assert labels["auto"] == labels["always"]
