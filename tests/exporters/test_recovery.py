"""Accuracy recovery: the simulation rounds like the engines, remedies help, and the ladder stops in time."""

import functools
import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from fmnist_edge import checkpoints, cli
from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.catalog.precisions import get_precision
from fmnist_edge.data import fashion_mnist
from fmnist_edge.errors import ExportError
from fmnist_edge.exporters.lowering import lower
from fmnist_edge.exporters.recovery.equalise import apply_scale, equalise, groups_of
from fmnist_edge.exporters.recovery.improve import correct_biases, fine_tune
from fmnist_edge.exporters.recovery.ladder import LADDER, Candidate, RecoveryData, try_rungs
from fmnist_edge.exporters.recovery.simulate import (
    activation_ranges,
    copy_model,
    layer_outputs,
    rounding_class,
    simulate_int8,
    single_input_model,
    with_rounded_kernel,
)
from fmnist_edge.runtime import Classifier
from fmnist_edge.runtime.engine_catalog import ENGINES, engines_for
from fmnist_edge.runtime.preprocess import Preprocessing
from fmnist_edge.worker.temporary import temporary_file


def prepared(images):
    return Preprocessing().apply(images, (28, 28, 1))


@pytest.fixture(scope="module")
def model():
    return single_input_model(checkpoints.load("compact_cnn").model)


@pytest.fixture(scope="module")
def images():
    return prepared(fashion_mnist.calibration_images(200))


@pytest.fixture(scope="module")
def lopsided(model):
    """The function of compact_cnn, but one channel between two layers is a hundred times as large as the others."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    (kernel, bias), (behind, rest) = (copy.get_layer(name).get_weights() for name in ("conv2", "conv3"))
    factor = np.where(np.arange(kernel.shape[-1]) == 3, 100.0, 1.0)
    copy.get_layer("conv2").set_weights([kernel * factor, bias * factor])
    copy.get_layer("conv3").set_weights([behind / factor[:, None], rest])
    return copy


def error_of(rounded, exact, images):
    return np.abs(
        layer_outputs(rounded, ["dense_24"], images)[0] - layer_outputs(exact, ["dense_24"], images)[0]
    ).mean()


def test_activations_have_256_levels_and_zero_is_one_of_them():
    rounding = rounding_class()(-1.3, 2.7)
    values = np.linspace(-3, 4, 5001, dtype=np.float32)
    out = np.asarray(rounding(values))
    assert len(np.unique(out)) <= 257
    assert np.asarray(rounding(np.zeros(1, np.float32)))[0] == 0
    inside = (values > -1.3) & (values < 2.7)
    assert np.abs(out - values)[inside].max() <= 4 / 255 / 2 + 1e-6
    assert out.min() >= -1.3 - 4 / 255 and out.max() <= 2.7 + 4 / 255


@pytest.mark.parametrize(
    ("layer", "shape", "axes"),
    [
        (layers.Dense(6), (None, 50), (0,)),
        (layers.Conv2D(6, 3), (None, 9, 9, 5), (0, 1, 2)),
        (layers.DepthwiseConv2D(3, depth_multiplier=2), (None, 9, 9, 5), (0, 1)),
    ],
)
def test_each_channel_has_a_scale_of_its_own(layer, shape, axes):
    rounded = with_rounded_kernel(type(layer)).from_config(layer.get_config())
    rounded.build(shape)
    layer.build(shape)
    kernel = np.random.default_rng(0).normal(size=layer.kernel.shape).astype(np.float32)
    kernel *= np.geomspace(1e-3, 1e3, kernel.shape[-1])
    rounded.set_weights([kernel, rounded.get_weights()[1]])
    found = np.asarray(rounded.kernel)
    steps = np.abs(kernel).max(axis=axes, keepdims=True) / 127
    assert np.abs(found - kernel).max() > 0
    assert (np.abs(found - kernel) <= steps / 2 * 1.001).all()
    assert np.abs(found / steps - np.rint(found / steps)).max() < 1e-3
    assert np.array_equal(rounded.get_weights()[0], kernel), "the weights themselves stay exact"


def test_gradients_pass_the_rounding(model, images):
    import tensorflow as tf

    rounded = simulate_int8(model, activation_ranges(model, images))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(rounded(images[:20])))
    gradients = tape.gradient(loss, rounded.trainable_variables)
    assert len(gradients) == len(model.trainable_variables)
    assert all(float(np.abs(gradient).max()) > 0 for gradient in gradients)


def test_simulation_is_worse_with_unequal_channels(model, lopsided, images):
    assert np.abs(np.asarray(lopsided(images)) - np.asarray(model(images))).max() < 1e-3
    healthy = error_of(simulate_int8(model, activation_ranges(model, images)), model, images)
    sick = error_of(simulate_int8(lopsided, activation_ranges(lopsided, images)), model, images)
    assert 0 < healthy < sick / 3


def test_outputs_inside_fused_layers_are_not_rounded():
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, use_bias=False, name="conv")(inputs)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(x))
    x = layers.Dropout(0.5, name="dropout")(x)
    small = keras.Model(inputs, layers.Dense(3, name="dense")(layers.Flatten(name="flat")(x)))
    names = [
        layer.name for layer in simulate_int8(small, dict.fromkeys([i.name for i in small.layers], (-1.0, 1.0))).layers
    ]
    assert [name for name in names if name.endswith("_int8")] == ["relu_int8", "dense_int8"]


def test_equalised_channels_compute_the_same_and_round_better(model, lopsided, images):
    better = equalise(lopsided, images)
    assert np.abs(np.asarray(better(images)) - np.asarray(lopsided(images))).max() < 1e-3
    errors = [error_of(simulate_int8(m, activation_ranges(m, images)), m, images) for m in (lopsided, better, model)]
    assert errors[1] < errors[0] / 3
    assert errors[1] < 1.2 * errors[2]


def inverted_residual(scale=True):
    """Blocks of MobileNetV2, whose channels have ranges up to a hundredfold apart."""

    def block(x, filters, kernel, activation):
        x = (layers.DepthwiseConv2D if kernel else functools.partial(layers.Conv2D, filters))(
            kernel or 1, padding="same", use_bias=False
        )(x)
        x = layers.BatchNormalization(scale=scale)(x)
        return activation(x) if activation else x

    relu6 = lambda x: layers.ReLU(6.0)(x)  # noqa: E731
    inputs = keras.Input((8, 8, 3))
    x = start = block(inputs, 8, 0, None)
    for _ in range(2):
        x = block(block(x, 16, 0, relu6), 16, 3, relu6)
        x = layers.Add()([start, block(x, 8, 0, None)])
    x = layers.Conv2D(12, 3, activation="relu6")(layers.ZeroPadding2D()(layers.ReLU()(x)))
    model = keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            count = layer.moving_mean.shape[0]
            parts = [np.geomspace(0.05, 5, count)] * scale + [rng.normal(0, 0.3, count), rng.normal(0, 0.3, count)]
            layer.set_weights([*parts, rng.uniform(0.5, 1.5, count)])
    return model


def spread(values):
    """The logarithm of the largest channel's range over the smallest one's."""
    largest = np.abs(values).max(axis=(0, 1, 2))
    return np.ptp(np.log(largest[largest > 0]))


@pytest.mark.parametrize("scale", [True, False])
def test_equalisation_passes_batch_norm_depthwise_relu6_and_add(scale):
    sample = np.random.default_rng(0).random((40, 8, 8, 3), np.float32)
    small = inverted_residual(scale)
    better = equalise(small, sample[:20])
    expected, found = np.asarray(small(sample)), np.asarray(better(sample))
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max(), "also for images that it has not seen"
    if scale:  # without gamma, the channels are alike from the start
        names = [layer.name for layer in small.layers if isinstance(layer, layers.ReLU | layers.Add)]
        (before, errors), (after, fewer) = (ranges_and_errors(item, names, sample[:20]) for item in (small, better))
        assert after < 0.7 * before
        assert fewer < 0.7 * errors


def ranges_and_errors(model, names, sample):
    """The mean spread of these layers' channels, and their mean error in int8, relative to each channel's values."""
    rounded = simulate_int8(model, activation_ranges(model, sample))
    exact, found = layer_outputs(model, names, sample), layer_outputs(rounded, names, sample)
    errors = [
        np.square(y - x).mean((0, 1, 2)) / np.square(x).mean((0, 1, 2)).clip(1e-12)
        for x, y in zip(exact, found, strict=True)
    ]
    return np.mean([spread(x) for x in exact]), np.mean([np.sqrt(error).mean() for error in errors])


@pytest.mark.slow
@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_int8_files_of_equalised_channels_are_closer(format):
    """The channels that blocks add up have ranges up to e^6 apart; the function is the same as before."""
    sample = np.random.default_rng(0).random((40, 8, 8, 3), np.float32)
    small = copy_model(inverted_residual(scale=False))
    expected, rng = np.asarray(small(sample)), np.random.default_rng(1)
    for group in groups_of(small):
        if group.rounded and group.readers and not group.fixed and not group.clips:
            channels = small.get_layer(group.rounded[0]).output.shape[-1]
            apply_scale(group, np.exp(rng.uniform(-3, 3, channels)).astype(np.float32))
    assert np.abs(np.asarray(small(sample)) - expected).max() < 1e-5
    errors = [
        np.abs(int8_answers(model, sample, format) - expected).mean() for model in (small, equalise(small, sample))
    ]
    assert errors[1] < errors[0] / 4


def int8_answers(model, sample, format):
    record, exporter = get_precision(format, "int8"), FORMATS[format].exporter()
    content = exporter.convert(lower(model, record, sample).model, record, 1, sample)
    with temporary_file(f"model.{format}", content) as path:
        engine = ENGINES[engines_for(path)[0]].load(path)
        scores = [engine.output.dequantize(engine.run(engine.input.quantize(image[None]))) for image in sample]
        engine.close()
    return np.concatenate(scores)


def test_in_int8_one_maximum_clips_all_channels():
    sample = np.random.default_rng(0).random((20, 8, 8, 3), np.float32)
    better = equalise(inverted_residual(), sample)
    clips = [layer for layer in better.layers if hasattr(layer, "max_values")]
    assert len(clips) == 4
    assert [min(layer.max_values) for layer in clips] == pytest.approx([6] * 4)
    assert all(max(layer.max_values) > 7 for layer in clips)
    lowered = lower(better, get_precision("tflite", "int8"), sample).model
    assert not any(hasattr(layer, "max_values") for layer in lowered.layers)
    assert np.abs(np.asarray(lowered(sample)) - np.asarray(better(sample))).max() < 1e-5


def test_equalisation_passes_add():
    """The convolution that reads a tensor of the group and makes another of its tensors is scaled on both sides."""
    inputs = keras.Input((8, 8, 3))
    shared = layers.Conv2D(4, 3, padding="same", activation="relu", name="shared")(inputs)
    x = layers.Conv2D(4, 3, padding="same", name="a")(shared) + shared
    x = layers.Conv2D(4, 3, activation="tanh", name="curved")(x)
    x = layers.Conv2D(4, 3, name="linear")(x)
    small = keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    sample = np.random.default_rng(0).random((9, 8, 8, 3), np.float32)
    better = equalise(small, sample)
    changed = [
        name
        for name in ("shared", "a", "curved", "linear")
        if not np.array_equal(small.get_layer(name).kernel, better.get_layer(name).kernel)
    ]
    assert changed == ["shared", "a", "curved", "linear"], "`linear` makes what Dense reads"
    assert np.abs(np.asarray(small(sample)) - np.asarray(better(sample))).max() < 1e-5


def test_channels_are_not_equalised_through_shared_layers_and_thresholds():
    """A shared layer has other inputs; a ReLU with a threshold is not homogeneous."""
    inputs = keras.Input((8, 8, 3))
    shared = layers.Conv2D(4, 3, padding="same", name="shared")
    a = shared(layers.Conv2D(4, 1, activation="relu", name="a")(inputs))
    b = layers.Conv2D(4, 1, name="b")(shared(layers.Conv2D(4, 1, name="c")(inputs)))
    x = layers.Conv2D(4, 3, name="d")(layers.ReLU(threshold=0.1)(layers.Conv2D(4, 3, name="e")(layers.Add()([a, b]))))
    small = keras.Model(inputs, layers.GlobalAveragePooling2D()(x))
    same = equalise(small, np.random.default_rng(0).random((9, 8, 8, 3), np.float32))
    assert all(np.array_equal(a, b) for a, b in zip(small.get_weights(), same.get_weights(), strict=True))


def test_an_activation_by_name_is_a_relu():
    inputs = keras.Input((8, 8, 3))
    x = layers.Activation("relu", name="relu")(layers.Conv2D(4, 3, name="conv")(inputs))
    small = keras.Model(inputs, layers.GlobalAveragePooling2D(name="pool")(layers.Conv2D(4, 3, name="next")(x)))
    pixels = np.random.default_rng(0).random((9, 8, 8, 3), np.float32)
    better = equalise(small, pixels)
    assert not np.array_equal(better.get_weights()[0], small.get_weights()[0])
    assert np.abs(np.asarray(better(pixels)) - np.asarray(small(pixels))).max() < 1e-5
    rounded = [layer.name for layer in simulate_int8(small, activation_ranges(small, pixels)).layers]
    assert [name for name in rounded if name.endswith("_int8")] == ["relu_int8", "next_int8", "pool_int8"]


@pytest.mark.parametrize("kind", ["sequential", "operations", "shared"])
def test_remedies_accept_every_kind_of_keras_model(kind):
    if kind == "sequential":
        small = keras.Sequential()
        for layer in (layers.Input((8, 8, 3)), layers.Conv2D(4, 3, activation="relu"), layers.Conv2D(4, 3)):
            small.add(layer)
        small.add(layers.GlobalAveragePooling2D())
    else:
        inputs, conv = keras.Input((8, 8, 3)), layers.Conv2D(3, 3, padding="same")
        x = conv(conv(inputs)) if kind == "shared" else keras.ops.relu(conv(inputs) + inputs)
        small = keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))
    pixels = np.random.default_rng(0).random((9, 8, 8, 3), np.float32)
    for better in (correct_biases(small, pixels), fine_tune(small, pixels, logits=True, epochs=1)):
        distance = np.abs(np.asarray(better(pixels)) - np.asarray(small(pixels))).max()
        assert 0 < distance < 0.05


@pytest.mark.slow
def test_bias_correction_removes_the_mean_error(lopsided, images):
    ranges = activation_ranges(lopsided, images)
    better = correct_biases(lopsided, images)
    held_out = prepared(fashion_mnist.load("train").images[:300])
    exact = layer_outputs(lopsided, ["logits"], held_out)[0]
    before, after = (
        np.abs((layer_outputs(simulate_int8(m, ranges), ["logits"], held_out)[0] - exact).mean(axis=0)).mean()
        for m in (lopsided, better)
    )
    assert after < before / 2
    assert better is not lopsided


@pytest.mark.slow
def test_fine_tuning_restores_the_predictions(lopsided, images):
    ranges = activation_ranges(lopsided, images)
    before = [weight.copy() for weight in lopsided.get_weights()]
    better = fine_tune(lopsided, prepared(fashion_mnist.load("train").images[:1000]), logits=True, epochs=2)
    held_out = prepared(fashion_mnist.load("train").images[1000:1500])
    answers = np.asarray(lopsided(held_out)).argmax(1)
    agreement = [
        (np.asarray(simulate_int8(m, ranges)(held_out)).argmax(1) == answers).mean() for m in (lopsided, better)
    ]
    assert agreement[1] > agreement[0]
    assert all(np.array_equal(a, b) for a, b in zip(before, lopsided.get_weights(), strict=True))


@pytest.fixture
def data(images):
    return RecoveryData(images[:20], images[:20], True, lambda candidate: ["conv2", "conv1", "conv3", "dense_95"])


@pytest.fixture
def quick(monkeypatch):
    for name in ("equalise", "correct_biases", "fine_tune"):
        monkeypatch.setattr(f"fmnist_edge.exporters.recovery.ladder.{name}", lambda model, *_, **__: model)


@pytest.mark.parametrize("passing", range(len(LADDER) + 1))
def test_the_ladder_ends_at_the_first_rung_that_passes(model, data, quick, passing):
    drops = iter([0.02] * passing + [0.004] * len(LADDER))
    steps = [step for step, _ in try_rungs(Candidate(model), data, lambda _: next(drops), allowed=0.005)]
    assert [step.rung for step in steps] == [rung.name for rung in LADDER[: passing + 1]]
    assert [step.passed for step in steps] == [False] * passing + [True] * (passing < len(LADDER))


def test_what_there_is_no_time_for_is_listed(model, data, quick):
    """The first rung is tried without time left."""
    late = replace(data, time_is_up=lambda: True)
    steps = [step for step, _ in try_rungs(Candidate(model), late, lambda _: 1.0, allowed=0.0)]
    assert [step.rung for step in steps] == [rung.name for rung in LADDER]
    assert [step.accuracy_drop for step in steps] == [1.0] + [None] * (len(LADDER) - 1)


def test_fine_tuning_ends_in_the_middle_when_time_is_up(model, images):
    asked = []

    def time_is_up():
        asked.append(True)
        return len(asked) == 2

    assert fine_tune(model, images[:50].repeat(3, axis=0), logits=True, epochs=9, time_is_up=time_is_up) is None
    assert len(asked) == 2


def test_exactly_the_allowed_loss_passes(model, data, quick):
    assert 0.93 - 0.925 > 0.005
    ((step, _),) = try_rungs(Candidate(model), data, lambda _: 0.93 - 0.925, allowed=0.005)
    assert step.passed


def test_integer_only_forms_keep_nothing_in_float(model, data, quick):
    steps = try_rungs(Candidate(model), data, lambda _: 1.0, allowed=0.0, selective=False)
    assert [step.rung for step, _ in steps] == [
        "as it is",
        "equalisation",
        "equalisation, bias correction",
        "equalisation, fine-tuning",
    ]


def test_layers_kept_in_float_are_the_weakest(model, data, quick):
    found = [c.keep_float for _, c in try_rungs(Candidate(model), data, lambda _: 1.0, allowed=0.0)]
    assert found[3:6] == [("conv2",), ("conv2", "conv1"), ("conv2", "conv1", "conv3", "dense_95")]
    assert found[0] == ()


@pytest.mark.parametrize(
    ("layers", "rungs"), [([], []), (["a"], [1]), (["a", "b"], [1, 2]), (["a", "b", "c"], [1, 2, 3])]
)
def test_nothing_is_tried_twice_with_few_weak_layers(model, images, quick, layers, rungs):
    few = RecoveryData(images[:20], images[:20], True, lambda candidate: layers)
    found = [c.keep_float for _, c in try_rungs(Candidate(model), few, lambda _: 1.0, allowed=0.0)]
    assert found[3:-1] == [tuple(layers[:count]) for count in rungs]


def test_a_layer_that_cannot_be_kept_only_skips_its_rungs(model, data, quick):
    def loss_of(candidate):
        if len(candidate.keep_float) == 2:
            raise ExportError("no op of its own")
        return 1.0

    steps = [step.rung for step, _ in try_rungs(Candidate(model), data, loss_of, allowed=0.0)]
    assert steps[3:5] == ["1 layer in float", "4 layers in float"] and len(steps) == len(LADDER) - 1


class TestExport:
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def files(cls, lopsided, tmp_path_factory):
        folder = tmp_path_factory.mktemp("lopsided")
        keras.Model(lopsided.inputs[0], lopsided.outputs[0], name="own").save(folder / "own.keras")
        np.save(folder / "images.npy", fashion_mnist.calibration_images(400))
        return folder

    def export(self, files, allowed, *more):
        arguments = ["export", str(files / "own.keras"), "--format", "tflite", "--precision", "int8", *more]
        arguments += ["--calibration", str(files / "images.npy"), "--out", str(files / "out")]
        code = cli.main([*arguments, "--tune-accuracy", allowed])
        manifest = files / "out" / "own" / "int8.tflite.json"
        return code, json.loads(manifest.read_text()) if manifest.exists() else None

    @pytest.mark.slow
    def test_recovers_what_plain_export_loses(self, files, capsys):
        code, manifest = self.export(files, "3")
        assert code == 0
        recovery = manifest["recovery"]
        assert recovery["rung"] == "equalisation" and recovery["passed"]
        assert recovery["ladder"][0]["accuracy_drop"] > 0.03 >= recovery["ladder"][1]["accuracy_drop"]
        assert recovery["images"] == 200
        assert "equalisation" in capsys.readouterr().out
        with Classifier.load(files / "out" / "own" / "int8.tflite") as classifier:
            assert len(classifier.classify(fashion_mnist.calibration_images(10))) == 10

    @pytest.mark.slow
    def test_out_of_reach_or_time_writes_the_best_and_exits_1(self, files, capsys):
        code, manifest = self.export(files, "-5", "--budget", "0.001")
        assert code == 1
        assert not manifest["recovery"]["passed"]
        assert manifest["recovery"]["ladder"][-1] == {
            "rung": "equalisation, fine-tuning", "accuracy_drop": None, "passed": False,
        }  # fmt: skip
        out, err = capsys.readouterr()
        assert "no remedy kept the loss within -5.0 pp" in err and "for equalisation, fine-tuning: raise" in err
        assert "no time" in out

    @pytest.mark.slow
    def test_explain_refuses_a_file_with_changed_weights(self, files, capsys, tmp_path):
        assert self.export(files, "3")[0] == 0
        arguments = ["explain", str(files / "out" / "own" / "int8.tflite"), "--reference", str(files / "own.keras")]
        capsys.readouterr()
        assert cli.main([*arguments, "--report", str(tmp_path / "r.json")]) == 2
        assert "changed its weights (equalisation)" in capsys.readouterr().err

    @pytest.mark.parametrize("option", ["--tune-accuracy=nan", "--tune-accuracy=inf", "--budget=nan"])
    def test_invalid_numbers_are_refused(self, files, option, capsys):
        with pytest.raises(SystemExit) as refusal:
            cli.main(["export", "compact_cnn", option])
        assert refusal.value.code == 2 and "is not a finite number" in capsys.readouterr().err

    def test_a_precision_that_needs_no_tuning_is_refused(self, tmp_path, capsys):
        arguments = ["--format", "onnx", "--precision", "float16", "--out", str(tmp_path / "out")]
        assert cli.main(["export", "compact_cnn", *arguments, "--tune-accuracy", "1"]) == 2
        assert "and not for float16.onnx" in capsys.readouterr().err

    def test_cannot_be_combined_with_keep_float(self, files, capsys):
        assert self.export(files, "1", "--keep-float", "conv1")[0] == 2
        assert "--keep-float" in capsys.readouterr().err
