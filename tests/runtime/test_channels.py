"""Preprocessing by channel: the formula, the tables of the quantised path, and what is written into a contract."""

import json
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmnist_edge.errors import ArtifactError, InputError
from fmnist_edge.runtime import Contract, Preprocessing
from fmnist_edge.runtime.embedded import contract_text, parse
from fmnist_edge.runtime.engine import TensorSpec
from fmnist_edge.runtime.presets import PRESETS
from fmnist_edge.runtime.runner import Runner

SHAPE = (4, 5, 3)
numbers = st.floats(-300, 300, width=32)
means = st.one_of(numbers, st.tuples(numbers, numbers, numbers))
wide = st.floats(0.125, 300, width=32)
deviations = st.one_of(wide, st.tuples(wide, wide, wide), st.tuples(wide, wide, st.just(-1.5)))
scales = st.sampled_from([1 / 255, 1 / 127.5, 1.0, -0.02])
settings = st.builds(Preprocessing, scales, means, deviations, st.sampled_from(["RGB", "BGR"]))
specs = st.builds(
    TensorSpec, st.just("image"), st.just((None, *SHAPE)), st.sampled_from(["int8", "uint8"]),
    st.floats(1e-3, 10), st.integers(0, 100),
)  # fmt: skip


@dataclass
class Fake:
    """An engine that is only asked for its tensors."""

    input: TensorSpec
    output: TensorSpec = field(default_factory=lambda: TensorSpec("scores", (None, 2), "float32"))

    @property
    def inputs(self):
        return (self.input,)

    @property
    def outputs(self):
        return (self.output,)


def images(count: int) -> np.ndarray:
    """Every pixel value in every channel, if `count` is large enough."""
    grey = np.arange(count * 20, dtype=np.uint8).reshape(count, 4, 5)
    return np.stack([grey, grey[::-1] + np.uint8(7), 255 - grey], axis=-1)


def contract(preprocessing: Preprocessing, layout: str = "NHWC", shape: tuple[int, ...] = SHAPE) -> Contract:
    return Contract(shape, "logits", ("a", "b"), preprocessing, layout=layout)


@given(settings)
def test_the_formula(preprocessing):
    pixels = images(13)
    ordered = pixels[..., ::-1] if preprocessing.order == "BGR" else pixels
    expected = (ordered.astype(np.float64) * preprocessing.scale - preprocessing.mean) / preprocessing.std
    for same in (pixels, pixels / 255, (pixels / np.float32(255))):
        found = preprocessing.apply(same, SHAPE)
        assert (found.dtype, found.shape) == (np.float32, expected.shape)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4 / np.abs(preprocessing.std).min())


@given(settings, specs, st.sampled_from(["NHWC", "NCHW"]), st.sampled_from([1, 13]))
def test_the_tables_are_the_quantised_floats(preprocessing, spec, layout, count):
    """The lookup of uint8 pixels gives the bits of the float path: 13 images have every value in every channel."""
    axes = (0, 1, 2, 3) if layout == "NHWC" else (0, 3, 1, 2)
    given_by = contract(preprocessing, layout)
    tensor = TensorSpec(spec.name, (None, *given_by.model_shape), spec.dtype, spec.scale, spec.zero_point)
    pixels = images(13)[:count]
    expected = tensor.quantize(preprocessing.apply(pixels, SHAPE)).transpose(axes)
    found = Runner(Fake(tensor), given_by).prepare(pixels)
    assert found.dtype == spec.dtype and np.array_equal(found, expected)


@given(settings)
def test_levels_are_the_input_of_each_pixel(preprocessing):
    levels = preprocessing.levels()
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
    expected = preprocessing.apply(grey, grey.shape)[0, :, 0]
    assert np.array_equal(levels if levels.ndim == 2 else np.repeat(levels[:, None], 3, axis=1), expected)


@given(settings)
def test_a_contract_is_read_as_it_was_written(preprocessing):
    before = contract(preprocessing)
    assert parse(contract_text(before).encode()) == before
    assert Contract.from_dict(json.loads(json.dumps(before.as_dict()))) == before


def test_older_contracts_are_written_as_before():
    assert contract(Preprocessing(1.0, 2.0, 3.0)).as_dict() == {
        "input_shape": [4, 5, 3], "output": "logits", "labels": ["a", "b"], "dtype": "uint8", "layout": "NHWC",
        "preprocessing": {"scale": 1.0, "mean": 2.0, "std": 3.0}, "polarity": None, "resize": "bilinear",
    }  # fmt: skip


def test_versions_that_know_no_order_refuse_bgr():
    """They read `float(mean)`: a list is an error there, while `order` alone would go unnoticed."""
    written = contract(Preprocessing(order="BGR")).as_dict()["preprocessing"]
    assert written["order"] == "BGR" and written["mean"] == [0.0] * 3 and written["std"] == [1.0] * 3


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"order": "GBR"}, "'RGB' or 'BGR'"),
        ({"mean": (1.0, 2.0), "std": (1.0, 2.0, 3.0)}, "one number for each channel"),
        ({"mean": ()}, "one number for each channel"),
        ({"mean": (1.0, 2.0), "order": "BGR"}, "3 channels for BGR"),
        ({"std": (1.0, 0.0, 1.0)}, "std other than 0"),
        ({"mean": (1.0, float("nan"), 1.0)}, "finite numbers"),
    ],
)
def test_what_contradicts_itself_is_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        Preprocessing(**wrong)


@pytest.mark.parametrize("name", ["imagenet", "caffe"])
@pytest.mark.parametrize("shape", [(4, 5, 1), (4, 5, 4), (4, 5)])
def test_another_number_of_channels_is_refused(name, shape):
    with pytest.raises(InputError, match="for 3 channels, and the model's input is"):
        PRESETS[name].apply(np.zeros(shape, np.uint8), shape)
    with pytest.raises(ArtifactError, match=r"contract: .*for 3 channels"):
        contract(PRESETS[name], shape=shape)
