"""The numpy engine: its arithmetic, compared with TensorFlow Lite's reference kernels, and hostile files."""

import math
import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import ROOT
from support.installed import MICRO
from support.linear import with_manifest
from support.tflite_models import CASES, SHAPE, converted, images

from fmnist_edge.errors import ArtifactError
from fmnist_edge.runtime import Classifier
from fmnist_edge.runtime.engine_catalog import ENGINES
from fmnist_edge.runtime.engines.numpy import fixed_point, integers
from fmnist_edge.runtime.engines.numpy.budget import LIMITS, Budget
from fmnist_edge.runtime.engines.numpy.engine import NumpyEngine
from fmnist_edge.runtime.engines.numpy.model import read_model
from fmnist_edge.runtime.engines.numpy.program import program_of
from fmnist_edge.runtime.flatbuffer import RefusedError, root

SHIPPED = ROOT / "exported"
QUICK = ("compact_cnn", "tiny_resnet_edge")
int32 = st.integers(-(1 << 31), (1 << 31) - 1)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """(model, precision) -> path."""
    folder = tmp_path_factory.mktemp("numpy_engine")
    found = {}
    for name, precision in CASES:
        found[name, precision] = folder / f"{name}-{precision}.tflite"
        found[name, precision].write_bytes(converted(name, precision))
    return found


@pytest.fixture(scope="module")
def contents(files):
    return [path.read_bytes() for path in files.values()]


def answers(engine: str, path: Path, batch: np.ndarray) -> np.ndarray:
    """The outputs of an engine, image by image."""
    loaded = ENGINES[engine].load(str(path))
    quantized = loaded.input.quantize(batch)
    return np.concatenate([loaded.run(quantized[index : index + 1]) for index in range(len(batch))])


class TestAgainstReferenceKernels:
    @pytest.mark.parametrize(("name", "precision"), [case for case in CASES if case[1].startswith("int")])
    def test_integer_models_match_bit_for_bit(self, files, name, precision):
        path = files[name, precision]
        expected = answers("litert-reference", path, images())
        found = answers("numpy", path, images())
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected)
        assert len(np.unique(expected)) > 20, "the outputs are all but constant: this compares nothing"

    @pytest.mark.parametrize(("name", "precision"), [case for case in CASES if not case[1].startswith("int")])
    def test_float_models_match_up_to_the_order_of_sums(self, files, name, precision):
        path = files[name, precision]
        expected = answers("litert-reference", path, images())
        np.testing.assert_allclose(answers("numpy", path, images()), expected, rtol=1e-4, atol=2e-6)

    @pytest.mark.skipif(not MICRO, reason="tflite-micro has no wheel for this machine")
    def test_tflite_micro_differs_only_in_dense_layers(self, files, monkeypatch):
        """It rescales sums of dense layers like those of convolutions."""
        for case in (("windows", "int8_only"), ("branches", "int8_only")):
            expected = answers("tflite-micro", files[case], images())
            monkeypatch.setitem(integers.RESCALE, "FULLY_CONNECTED", integers.RESCALE["CONV_2D"])
            assert np.array_equal(answers("numpy", files[case], images()), expected)
            monkeypatch.undo()

    @pytest.mark.parametrize("case", CASES, ids="-".join)
    def test_an_answer_does_not_depend_on_its_batch(self, files, case):
        loaded = NumpyEngine(str(files[case]))
        batch = loaded.input.quantize(images(24))
        assert np.array_equal(loaded.run(batch), answers("numpy", files[case], images(24)))
        object.__setattr__(loaded._program, "images", 5)
        assert np.array_equal(loaded.run(batch), answers("numpy", files[case], images(24)))

    @pytest.mark.slow
    def test_a_shipped_file_on_all_test_images(self, tmp_path):
        from fmnist_edge.data import fashion_mnist

        test = fashion_mnist.load("test")
        path = SHIPPED / "compact_cnn/int8.tflite"
        scores = {}
        for engine in ("numpy", "litert-reference"):
            with Classifier.load(path, engine=engine) as classifier:
                scores[engine] = classifier.scores(test.images)
        assert np.array_equal(*scores.values())

    @pytest.mark.parametrize(
        "path",
        [
            pytest.param(path, id=path.parent.name, marks=[] if path.parent.name in QUICK else [pytest.mark.slow])
            for path in sorted(SHIPPED.glob("*/int8.tflite"))
        ],
    )
    def test_shipped_files(self, path):
        from fmnist_edge.data import fashion_mnist

        batch = fashion_mnist.load("test").images[:60]
        scores = {}
        for engine in ("numpy", "litert-reference"):
            with Classifier.load(path, engine=engine) as classifier:
                scores[engine] = classifier.scores(batch)
        assert np.array_equal(*scores.values())


def truncated(a: int, b: int) -> int:
    """a / b, truncated like in C."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


class TestFixedPoint:
    @given(int32, st.integers(0, (1 << 31) - 1))
    @example(1 << 15, 1 << 15)
    @example(-(1 << 15), 1 << 15)
    @example(-(1 << 15) - 1, 1 << 15)
    def test_high_mul(self, a, b):
        product = a * b
        expected = truncated(product + ((1 << 30) if product >= 0 else 1 - (1 << 30)), 1 << 31)
        assert int(fixed_point.high_mul(np.array(a), np.array(b))) == expected

    @given(int32, st.integers(0, 31))
    def test_rounding_divide_by_power(self, x, exponent):
        quotient = abs(Fraction(x, 1 << exponent))
        expected = math.floor(quotient + Fraction(1, 2)) * (1 if x >= 0 else -1)
        assert fixed_point.rounding_divide_by_power(np.array([x]), exponent)[0] == expected

    def test_exponents_per_channel(self):
        values, exponents = np.array([-5, 5, -5, 5]), np.array([0, 1, 1, 2])
        assert list(fixed_point.rounding_divide_by_power(values, exponents)) == [-5, 3, -3, 1]

    @given(st.floats(1e-7, 100), st.integers(-(1 << 20), 1 << 20))
    def test_multipliers_multiply(self, factor, x):
        by = fixed_point.multiplier(factor)
        for function, tolerance in ((fixed_point.multiply, 1), (fixed_point.multiply_once, 0.5001)):
            assert abs(int(function(np.array([x]), by)[0]) - x * factor) <= tolerance + abs(x * factor) * 1e-8
        wide = int(fixed_point.multiply_wide(np.array([x]), by)[0])
        assert abs(wide - x * factor) <= 0.5001 + abs(x * factor) * 2**-15

    def test_multipliers_that_round_up_to_one_or_vanish(self):
        by = fixed_point.quantize_multipliers(np.array([1 - 2**-40, 2.0**-40, 0.0]))
        assert list(by.mantissa) == [1 << 30, 0, 0] and list(by.shift) == [1, 0, 0]

    def test_nonlinear_functions(self):
        x = np.arange(-(1 << 31), 1, 1 << 20)
        np.testing.assert_allclose(
            fixed_point.exp_on_negative_values(x, 5) / 2**31, np.exp(x / 2**26), atol=3e-7, rtol=0
        )
        x = np.arange(-(1 << 31), 1 << 31, 1 << 20)
        np.testing.assert_allclose(fixed_point.logistic(x, 4) / 2**31, 1 / (1 + np.exp(-x / 2**27)), atol=3e-7, rtol=0)

    def test_halves_go_away_from_zero(self):
        values = np.array([0.5, -0.5, 1.5, -2.5, 0.49999997, -0.49999997, 8388609.0], np.float32)
        assert list(fixed_point.round_half_away(values)) == [1, -1, 2, -3, 0, 0, 8388609]


def refused(content: bytes, *said: str) -> None:
    with pytest.raises(RefusedError) as refusal:
        program_of(read_model(content))
    assert "\n" not in str(refusal.value)
    for part in said:
        assert part in str(refusal.value)


def survives(content: bytes) -> None:
    """Loading raises nothing but RefusedError. A file that loads also runs, in bounded time and memory."""
    try:
        program = program_of(read_model(content))
    except RefusedError as refusal:
        assert "\n" not in str(refusal)
        return
    program.run(np.zeros((1, *program.input.shape[1:]), program.input.dtype))


ATTACKS = st.one_of(
    st.sampled_from([0, 1, 2, 8, 255, 1 << 16, 1 << 27, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 0x7FC00000, 0x7F800000]),
    st.integers(0, 9000),
)


class TestHostileFiles:
    @settings(max_examples=300)
    @given(st.data())
    def test_bits_flipped(self, contents, data):
        content = bytearray(data.draw(st.sampled_from(contents)))
        for position, bit in data.draw(
            st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 7)), min_size=1, max_size=8)
        ):
            content[position] ^= 1 << bit
        survives(bytes(content))

    @settings(max_examples=300)
    @given(st.data())
    def test_words_overwritten(self, contents, data):
        """An attacker chooses offsets, lengths, sizes and scales."""
        content = bytearray(data.draw(st.sampled_from(contents)))
        for word, value in data.draw(
            st.lists(st.tuples(st.integers(0, len(content) // 4 - 1), ATTACKS), min_size=1, max_size=4)
        ):
            struct.pack_into("<I", content, word * 4, value)
        survives(bytes(content))

    def test_cut_off_anywhere(self, contents):
        for content in contents[:3]:
            for length in range(0, len(content), 97):
                survives(content[:length])

    @given(st.binary(max_size=300))
    def test_noise(self, noise):
        survives(b"\x1c\0\0\0TFL3" + noise)

    def test_refusal_is_a_one_line_artifact_error(self, files, tmp_path):
        path = tmp_path / "cut.tflite"
        path.write_bytes(files["branches", "int8_only"].read_bytes()[:3000])
        with pytest.raises(ArtifactError, match=r"cut\.tflite: the numpy engine refuses the file \(damaged: .*\)$"):
            NumpyEngine(str(path))

    def test_cost_limits(self, files):
        """A kernel of 2^14 x 2^14, and dense layers on larger and larger images: a few bytes with a huge cost."""
        content = files["windows", "int8_only"].read_bytes()
        for size in (1 << 12, 1 << 14, 1 << 30):
            image = struct.pack("<5i", 4, 1, *SHAPE)
            assert content.count(image) == 1
            refused(content.replace(image, struct.pack("<5i", 4, 1, size, size, 8)), "limit is")
        assert max(LIMITS.values()) <= 1 << 34

    def test_costs_add_up(self):
        budget = Budget()
        for _ in range(4):
            budget.spend("weights", LIMITS["weights"] // 4)
        with pytest.raises(RefusedError, match="weights per image; this engine's limit is"):
            budget.spend("weights", 1)
        with pytest.raises(RefusedError, match="temporary array"):
            budget.scratch(LIMITS["scratch"] + 1)

    def test_a_vector_ends_inside_the_file(self):
        """A table with one field, an offset to a vector of four int32."""
        vtable, table = struct.pack("<HHH", 6, 8, 4), struct.pack("<iI", 8, 4)
        content = struct.pack("<I", 12) + vtable + b"\0\0" + table + struct.pack("<5i", 4, 10, 20, 30, 40)
        assert list(root(content).array(0, "int32")) == [10, 20, 30, 40]
        assert root(content).array(1, "int32") is None
        for cut in range(1, len(content)):
            with pytest.raises(RefusedError, match="damaged"):
                root(content[:-cut]).array(0, "int32")
        with pytest.raises(RefusedError, match="4 numbers in a vector; this engine takes 3"):
            root(content).integers(0, 3)

    def test_ops_run_in_the_order_of_the_file(self, contents):
        model = read_model(contents[0])
        with pytest.raises(RefusedError, match="reads a tensor that no earlier op computes"):
            program_of(replace(model, ops=model.ops[::-1]))
        with pytest.raises(RefusedError, match="no op computes the output"):
            program_of(replace(model, ops=model.ops[:-1]))
        with pytest.raises(RefusedError, match="which already has a value"):
            program_of(replace(model, ops=model.ops + model.ops[-1:]))

    def test_an_unsupported_op_is_named(self, tmp_path):
        import keras
        import tensorflow as tf

        from fmnist_edge.exporters.exporter import quiet

        image = keras.Input(SHAPE, batch_size=1)
        with quiet():
            outputs = keras.layers.Activation("elu")(image)
            content = tf.lite.TFLiteConverter.from_keras_model(keras.Model(image, outputs)).convert()
        refused(content, "no float32 kernel for builtin op 111", "engine='litert' has more")

    def test_closed_engine(self, linear_models):
        loaded = NumpyEngine(str(linear_models["int8.tflite"]))
        loaded.close()
        with pytest.raises(ArtifactError, match="closed"):
            loaded.run(np.zeros((1, 28, 28, 1), np.int8))


def test_float_weights_that_are_not_finite(linear_models, tmp_path):
    """The arithmetic gives no warning; the classifier refuses the answer."""
    from support.linear import BIAS

    content = linear_models["float32.tflite"].read_bytes()
    broken = content.replace(BIAS.tobytes(), np.full(10, np.nan, np.float32).tobytes())
    assert broken != content
    with (
        Classifier.load(with_manifest(tmp_path / "nan.tflite", broken), engine="numpy") as classifier,
        pytest.raises(ArtifactError, match="NaN"),
    ):
        classifier(np.zeros((28, 28), np.uint8))
