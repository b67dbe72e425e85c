"""Preprocessing and quantisation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fmnist_edge.errors import InputError
from fmnist_edge.runtime import Preprocessing
from fmnist_edge.runtime.engine import TensorSpec

SHAPE = (4, 3, 1)
pixels = hnp.arrays(np.uint8, st.tuples(st.integers(1, 5), st.just(4), st.just(3)))
settings = st.builds(Preprocessing, st.sampled_from([1 / 255, 1.0, 2 / 255]), st.floats(-2, 2), st.floats(0.1, 3))


@given(pixels, settings)
def test_formula_and_that_float_images_give_the_same(images, preprocessing):
    expected = (images.astype(np.float64) * preprocessing.scale - preprocessing.mean) / preprocessing.std
    tolerance = 1e-5 * (1 + np.abs(expected).max())
    for given_images in (images, images / 255, (images / np.float32(255)), images.astype(">f4") / 255):
        out = preprocessing.apply(given_images, SHAPE)
        assert (out.shape, out.dtype) == ((len(images), *SHAPE), np.float32)
        assert np.abs(out[..., 0] - expected).max() < tolerance


@given(pixels)
def test_layout_in_memory_does_not_matter_and_input_is_not_changed(images):
    plain = Preprocessing().apply(images, SHAPE)
    reversed_view = np.ascontiguousarray(images[:, :, ::-1])[:, :, ::-1]
    fortran, locked = np.asfortranarray(images), images.copy()
    locked.setflags(write=False)
    for same in (reversed_view, fortran, locked, images[..., None]):
        assert np.array_equal(Preprocessing().apply(same, SHAPE), plain)
    assert np.array_equal(locked, images)
    units = images / 255
    before = units.copy()
    Preprocessing(mean=0.5, std=0.2).apply(units, SHAPE)
    assert np.array_equal(units, before)


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 1), (7, 4, 3), (7, 4, 3, 1)])
def test_one_image_or_a_batch(shape):
    assert Preprocessing().apply(np.zeros(shape, np.uint8), SHAPE).shape == (7 if shape[0] == 7 else 1, *SHAPE)


@pytest.mark.parametrize("shape", [(), (4,), (3, 4), (4, 3, 3), (2, 2, 4, 3, 1), (0, 4, 3), (0, 4, 3, 1)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(InputError, match="expected"):
        Preprocessing().apply(np.zeros(shape, np.uint8), SHAPE)


def test_rgb_keeps_its_channel_axis():
    assert Preprocessing().apply(np.zeros((2, 4, 3, 3), np.uint8), (4, 3, 3)).shape == (2, 4, 3, 3)
    with pytest.raises(InputError):
        Preprocessing().apply(np.zeros((4, 3), np.uint8), (4, 3, 3))


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, complex, object, "S1"])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(InputError, match="dtype"):
        Preprocessing().apply(np.zeros((4, 3), dtype), SHAPE)


@pytest.mark.parametrize(("value", "said"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity"),
                                             (1.1, "0..1"), (-0.1, "0..1"), (255.0, "uint8")])  # fmt: skip
def test_invalid_floats(value, said):
    image = np.full((4, 3), 0.5)
    image[2, 1] = value
    with pytest.raises(InputError, match=said):
        Preprocessing().apply(image, SHAPE)


specs = st.builds(
    TensorSpec,
    st.just("t"),
    st.just((1,)),
    st.sampled_from(["int8", "uint8"]),
    st.floats(1e-3, 10),
    st.integers(0, 100),
)
reals = hnp.arrays(np.float32, 20, elements=st.floats(-2000, 2000, width=32))


@given(specs, reals)
def test_quantising_rounds_to_nearest_and_saturates(spec, values):
    limits = np.iinfo(spec.dtype)
    codes = spec.quantize(values)
    assert codes.dtype == spec.dtype
    low, high = ((limit - spec.zero_point) * spec.scale for limit in (limits.min, limits.max))
    back = spec.dequantize(codes)
    assert np.abs(back - np.clip(values, low, high)).max() <= spec.scale * 0.5 * (1 + 1e-3) + 1e-4 * abs(high)
    order = np.argsort(values)
    assert (np.diff(codes[order].astype(int)) >= 0).all()


@given(specs)
def test_every_code_survives_the_round_trip(spec):
    codes = np.arange(np.iinfo(spec.dtype).min, np.iinfo(spec.dtype).max + 1).astype(spec.dtype)
    assert np.array_equal(spec.quantize(spec.dequantize(codes)), codes)


def test_float_tensors_pass_through():
    values = np.array([1.5, -2], np.float32)
    spec = TensorSpec("t", (1,), "float32")
    assert np.array_equal(spec.dequantize(spec.quantize(values)), values)
    assert TensorSpec("t", (1,), "float16").dequantize(values.astype(np.float16)).dtype == np.float32
