"""Export one small trained model with the real converters to every format and precision; test the LRN forms."""

import functools
import hashlib
import json
import sys
from dataclasses import asdict

import numpy as np
import pytest
from support.engines import load_with_one_thread
from support.installed import CONVERTERS, RUNNABLE, exportable, installed

from fmnist_edge import checkpoints
from fmnist_edge.artifact import Artifact, collect
from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.catalog.models import MODELS
from fmnist_edge.catalog.precisions import Precision, by_default, select
from fmnist_edge.data import fashion_mnist
from fmnist_edge.errors import ArtifactError, ExportError, FileError, InputError, UnavailableError, UnknownNameError
from fmnist_edge.exporters.calibration_images import Calibration
from fmnist_edge.exporters.lowering import fold_batch_norm, lower, with_lrn
from fmnist_edge.exporters.lrn import TOLERANCE
from fmnist_edge.exporters.pipeline import export
from fmnist_edge.exporters.via_onnx import convert_in_child
from fmnist_edge.runtime import Classifier, Contract
from fmnist_edge.runtime.engine_catalog import engines_for

CONTRACT = Contract((28, 28, 1), "logits", fashion_mnist.LABELS)


@pytest.fixture(scope="module")
def artifacts(compact, calibration, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported")
    return {
        precision.filename: export(compact, precision, CONTRACT, out, calibration=calibration)
        for precision in RUNNABLE
        if installed(*CONVERTERS.get(precision.format, ()))
    }


@pytest.fixture(scope="module")
def reference(compact):
    images = fashion_mnist.load("test").images[:300]
    return images, np.asarray(compact.model.predict(CONTRACT.preprocessing.apply(images, (28, 28, 1)), verbose=0))


@pytest.fixture(params=exportable(RUNNABLE))
def precision(request):
    return request.param


@pytest.fixture
def name(precision):
    return precision.filename


class TestEveryArtifact:
    def test_has_the_scores_of_its_keras_model(self, artifacts, reference, name, precision):
        images, expected = reference
        with load_with_one_thread(artifacts[name].path) as classifier:
            scores = classifier.scores(images)
        tolerances = {"float32": 1e-4, "float16": 0.1, "dynamic": 1.5, "int8": 8.0, "int16": 8.0}
        tolerance = tolerances["float16" if precision.weights == "float16" else precision.activations]
        assert np.abs(scores - expected).max() < tolerance
        assert (scores.argmax(1) == expected.argmax(1)).mean() > 0.98

    def test_manifest_describes_the_file(self, artifacts, compact, name, precision):
        path = artifacts[name].path
        manifest = json.loads(path.with_name(path.name + ".json").read_text())
        content = path.read_bytes()
        assert manifest["sha256"] == hashlib.sha256(content).hexdigest()
        assert manifest["size_bytes"] == len(content)
        assert manifest["model"] == {"name": "compact_cnn", "sha256": compact.sha256, "parameters": 106_991}
        assert f"{manifest['precision']}.{manifest['format']}" == manifest["artifact"] == name
        assert Contract.from_dict(manifest["contract"]) == CONTRACT
        with Classifier.load(path) as classifier:
            for entry, spec in (
                (manifest["inputs"][0], classifier.engine.input),
                (manifest["outputs"][0], classifier.engine.output),
            ):
                assert (entry["name"], tuple(entry["shape"]), entry["dtype"]) == (spec.name, spec.shape, spec.dtype)
                assert (entry["scale"], entry["zero_point"]) == (spec.scale, spec.zero_point)
        batch = None if precision.format == "keras" else 1
        assert manifest["inputs"][0]["shape"] == [batch, 28, 28, 1] and manifest["batch"] == batch
        assert manifest["inputs"][0]["dtype"] == manifest["outputs"][0]["dtype"] == precision.io
        assert (manifest["inputs"][0]["scale"] is not None) == (precision.io != "float32")
        assert (manifest["calibration"] is not None) == precision.calibrated
        assert None not in manifest["versions"].values()

    def test_golden_vectors_pass_in_every_engine(self, artifacts, name):
        """The tolerance is wide enough for engines that round differently, and too narrow for another model."""
        path = artifacts[name].path
        for engine in engines_for(path):
            try:
                classifier = Classifier.load(path, engine=engine)
            except UnavailableError:
                continue
            except ArtifactError:
                assert engine == "tflite-micro", "the others run all that we export"
                continue
            with classifier:
                result = classifier.self_test()
            assert result.passed and len(result.vectors) == 16, f"{engine}: {result}"
        golden = artifacts[name].manifest.golden_vectors()
        assert golden.tolerance < golden.scores.std() / 2
        assert len(set(golden.scores.argmax(axis=1))) > 1

    @pytest.mark.slow  # in test_reproduce.py another process exports a few again
    def test_two_exports_are_byte_identical(self, artifacts, compact, calibration, tmp_path, name, precision):
        again = export(compact, precision, CONTRACT, tmp_path / "elsewhere", calibration=calibration)
        assert again.path.read_bytes() == artifacts[name].path.read_bytes()
        assert again.manifest == artifacts[name].manifest


def test_op_census_counts_what_the_network_has(artifacts):
    int8 = artifacts["int8.tflite"].manifest
    assert int8.op_census == {"CONV_2D": 3, "FULLY_CONNECTED": 4, "MAX_POOL_2D": 1, "RESHAPE": 1}
    assert int8.float_ops == ()
    assert artifacts["float32.onnx"].manifest.op_census["Conv"] == 3
    assert artifacts["float32.tflite"].manifest.float_ops == "all"


def test_sizes_follow_the_weights(artifacts):
    size = {name: artifact.size_bytes for name, artifact in artifacts.items()}
    assert size["float16.tflite"] == pytest.approx(size["float32.tflite"] / 2, rel=0.1)
    assert size["int8.tflite"] < size["float32.tflite"] / 3.3
    assert size["float32.onnx"] == pytest.approx(106_991 * 4, rel=0.1)
    assert size["float16.onnx"] == pytest.approx(106_991 * 2, rel=0.1)
    assert max(size["int8.onnx"], size["dynamic_int8.onnx"]) < size["float32.onnx"] / 3.3


@pytest.mark.parametrize("format", ["tflite", "onnx", "keras"])
def test_dynamic_batch_takes_any_number_of_images(compact, reference, tmp_path, format):
    images, expected = reference
    artifact = export(compact, select(format, ["float32"])[0], CONTRACT, tmp_path, batch=None)
    with Classifier.load(artifact.path) as classifier:
        assert classifier.engine.input.shape[0] is None
        for count in (1, 7, 300):
            assert np.abs(classifier.scores(images[:count]) - expected[:count]).max() < 1e-4


def test_fixed_batch_pads_the_last_call(compact, reference, tmp_path):
    images, expected = reference
    artifact = export(compact, select("onnx", ["float32"])[0], CONTRACT, tmp_path, batch=8)
    with Classifier.load(artifact.path) as classifier:
        assert np.abs(classifier.scores(images[:11]) - expected[:11]).max() < 1e-4


@pytest.mark.parametrize(
    ("format", "batch", "message"),
    [("ncnn", None, "one image"), ("ncnn", 8, "one image per call; got 8"), ("mnn", None, "fixed batch")],
)
def test_a_batch_that_the_format_does_not_have(compact, tmp_path, format, batch, message):
    with pytest.raises(ExportError, match=message):
        export(compact, select(format, ["float32"])[0], CONTRACT, tmp_path, batch=batch)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["ncnn", "mnn"])
def test_a_converter_that_is_not_installed(compact, tmp_path, monkeypatch, format):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match="run: pip install"):
        export(compact, select(format, ["float32"])[0], CONTRACT, tmp_path)


class TestConverterInAChild:
    """Third-party converters crash, hang or print: each time the error is one line."""

    def test_a_crash(self, tmp_path):
        command = [sys.executable, "-c", "import os; print('bad graph', flush=True); os.abort()"]
        with pytest.raises(ExportError, match=r"^the converter: crashed \(SIGABRT\); last output: bad graph$"):
            convert_in_child(command, tmp_path, "x")

    def test_success_without_a_file(self, tmp_path):
        with pytest.raises(ExportError, match=r"^the converter: it wrote no x$"):
            convert_in_child([sys.executable, "-c", ""], tmp_path, "x")

    def test_a_hang(self, tmp_path, monkeypatch):
        monkeypatch.setattr("fmnist_edge.exporters.via_onnx.TIMEOUT_S", 1)
        with pytest.raises(ExportError, match="not done after 1 s"):
            convert_in_child([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, "x")

    def test_the_file_it_leaves(self, tmp_path):
        code = "print('noise'); open('x', 'wb').write(b'made')"
        assert convert_in_child([sys.executable, "-c", code], tmp_path, "x") == b"made"


@pytest.fixture(scope="module")
def model():
    """An untrained tiny_resnet, whose LRN differs between targets, with BatchNorm weights that have an effect."""
    import keras

    keras.utils.set_random_seed(1)
    model = MODELS["tiny_resnet"].build()
    rng = np.random.default_rng(1)
    norm = model.get_layer("batch_norm")
    gamma, beta, mean = rng.normal(size=(3, 250))  # half of the scales are negative
    norm.set_weights([gamma, beta, mean, rng.uniform(1e-6, 2, 250)])
    return model


@pytest.fixture(scope="module")
def inputs():
    return CONTRACT.preprocessing.apply(fashion_mnist.load("train").images[:8], (28, 28, 1))


@pytest.fixture(scope="module")
def converted(model, inputs):
    """A precision's name -> what is lowered for it and its .tflite file; each takes seconds."""

    @functools.cache
    def convert(name):
        precision = select("tflite", [name])[0]
        lowered = lower(model, precision, inputs).model
        return lowered, FORMATS["tflite"].exporter().convert(lowered, precision, 1, inputs)

    return convert


class TestLowering:
    @pytest.mark.parametrize("form", ["blocked", "native"])
    def test_other_forms_compute_the_same(self, model, inputs, form):
        lowered = with_lrn(model, form).model
        assert lowered is not model
        assert lowered.count_params() == model.count_params()
        assert np.abs(np.asarray(lowered(inputs)) - np.asarray(model(inputs))).max() < 1e-5

    @pytest.mark.slow
    def test_fitted_form_computes_nearly_the_same(self, model, inputs):
        lowered = with_lrn(model, "fitted", inputs)
        before, after = np.asarray(model(inputs)), np.asarray(lowered.model(inputs))
        assert 0 < np.abs(after - before).max() < 0.05 * np.abs(before).max()
        assert len(lowered.lrn_fits) == 16
        assert all(0 < fit.rms_error <= TOLERANCE for fit in lowered.lrn_fits.values())

    def test_model_without_lrn_is_left_alone(self, compact, inputs):
        for form in ("native", "composed", "blocked", "fitted"):
            assert with_lrn(compact.model, form, inputs).model is compact.model
        assert lower(compact.model, select("tflite", ["float32"])[0]).model is compact.model

    @pytest.mark.parametrize("form", ["magic", "fitted"])
    def test_unknown_form_or_a_fit_without_images_is_refused(self, model, form):
        with pytest.raises(InputError, match="'composed', 'blocked', 'native'"):
            with_lrn(model, form)

    def test_stock_precisions_do_not_lower_the_model(self, model):
        layers = lower(model, select("tflite", ["stock_float32"])[0]).model.layers
        assert sum(type(layer).__name__ == "NativeLRN" for layer in layers) == 16
        assert any(type(layer).__name__ == "BatchNormalization" for layer in layers)

    def test_folding_batch_norm_changes_nothing_in_float(self, model, inputs):
        before, folded = np.asarray(model(inputs)), fold_batch_norm(model)
        assert np.abs(np.asarray(folded(inputs)) - before).max() < 1e-5 * np.abs(before).max()
        assert not [layer.name for layer in folded.layers if type(layer).__name__ == "BatchNormalization"]
        assert np.array_equal(np.asarray(model(inputs)), before), "the given model must stay as it is"

    def test_folded_scale_is_in_the_first_layer(self, model):
        """In the second layer, a column with a large scale would use up the int8 range of all others."""
        first, second = (fold_batch_norm(model).get_layer(name).get_weights()[0] for name in ("dense", "logits"))
        assert np.allclose(np.abs(second), np.abs(model.get_layer("logits").get_weights()[0]))
        assert not np.allclose(np.abs(first), np.abs(model.get_layer("dense").get_weights()[0]))

    def test_batch_norm_elsewhere_is_left_to_the_converter(self):
        import keras

        layers = keras.layers
        inputs = keras.Input((8,))

        def dense(activation="relu"):
            return layers.Dense(4, activation=activation)(inputs)

        def normalized(x):
            return layers.BatchNormalization()(x)

        shared, last = dense(), layers.Dense(3)
        cases = [
            layers.Dense(3)(layers.Add()([shared, normalized(shared)])),  # the value before the BatchNorm is used too
            layers.Add()([last(normalized(dense())), last(dense())]),  # the layer to fold the shift into is used twice
            layers.Dense(3)(normalized(dense("tanh"))),
            layers.ReLU()(normalized(dense())),
        ]
        for outputs in cases:
            model = keras.Model(inputs, outputs)
            assert fold_batch_norm(model) is model
        rows = keras.Input((4, 4))
        for axis, folds in ((1, False), (2, True), (-1, True)):  # the kernels' channel axis or another one
            hidden = layers.BatchNormalization(axis=axis)(layers.Dense(4, activation="relu")(rows))
            model = keras.Model(rows, layers.Dense(3)(hidden))
            assert (fold_batch_norm(model) is not model) is folds
        pattern = keras.Model(inputs, layers.Dense(3)(normalized(dense())))
        assert fold_batch_norm(pattern) is not pattern

    @pytest.mark.slow
    def test_composed_form_has_no_lrn_op_and_folds_its_bias(self, model):
        for format in ("tflite", "onnx"):
            exporter = FORMATS[format].exporter()
            precision = select(format, ["float32"])[0]
            ops = exporter.census(exporter.convert(lower(model, precision).model, precision, 1, None)).ops
            assert not {"LRN", "LOCAL_RESPONSE_NORMALIZATION", "CUSTOM"} & set(ops)
            # 16 convolutions of the network and 16 of LRN layers; 6 additions, all in skip connections.
            assert ops.get("Conv", ops.get("CONV_2D")) == 32
            assert ops.get("Add", ops.get("ADD")) == 6

    def test_stock_int8_lists_its_float_islands(self, converted):
        census = census_of(converted("stock_int8"))
        assert census.ops["LOCAL_RESPONSE_NORMALIZATION"] == 16
        islands = [name.split()[0] for name in census.float_ops]
        assert islands.count("LOCAL_RESPONSE_NORMALIZATION") == 16
        assert set(islands) == {"DEQUANTIZE", "LOCAL_RESPONSE_NORMALIZATION"}

    @pytest.mark.parametrize(
        "precision", [pytest.param(name, marks=pytest.mark.slow) for name in ("int8", "int8_only", "int16x8")]
    )
    def test_integer_forms_of_lrn_have_no_float_op(self, converted, precision):
        census = census_of(converted(precision))
        assert census.float_ops == ()
        assert census.ops["LOGISTIC"] >= 16
        assert not {"RSQRT", "SQUARE", "DEQUANTIZE", "LOCAL_RESPONSE_NORMALIZATION"} & set(census.ops)

    @pytest.mark.slow
    def test_int16x8_rounds_as_little_as_sixteen_bits_do(self, converted, inputs):
        """A bias with another convolution's scale costs 30 dB."""
        from ai_edge_litert.interpreter import Interpreter

        lowered, content = converted("int16x8")
        interpreter = Interpreter(model_content=content)
        interpreter.allocate_tensors()
        entry, output = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        scale = output["quantization"][0]
        for image in inputs[:5]:
            interpreter.set_tensor(entry["index"], np.round(image[None] / entry["quantization"][0]).astype(np.int16))
            interpreter.invoke()
            expected = np.asarray(lowered(image[None]))
            error = interpreter.get_tensor(output["index"]) * scale - expected
            assert 10 * np.log10(np.square(expected).sum() / np.square(error).sum()) > 30


def census_of(converted):
    return FORMATS["tflite"].exporter().census(converted[1])


@pytest.fixture(scope="module")
def squareplus(tmp_path_factory):
    """A model with an op that has no integer kernel in TFLite."""
    import keras

    inputs = keras.Input((28, 28, 1))
    features = keras.layers.Flatten()(keras.layers.Conv2D(2, 3, strides=4, activation="squareplus")(inputs))
    path = tmp_path_factory.mktemp("models") / "squareplus.keras"
    keras.Model(inputs, keras.layers.Dense(10)(features)).save(path)
    return checkpoints.load(path)


class TestAnOpWithoutIntegerKernel:
    def test_int8_keeps_it_in_float_and_lists_it(self, squareplus, calibration, tmp_path):
        artifact = export(squareplus, select("tflite", ["int8"])[0], CONTRACT, tmp_path, calibration=calibration)
        assert {name.split()[0] for name in artifact.manifest.float_ops} == {"DEQUANTIZE", "SQUARE"}

    @pytest.mark.parametrize("precision", ["int8_only", "int16x8"])
    def test_integer_only_refuses_and_names_it(self, squareplus, calibration, tmp_path, precision):
        with pytest.raises(ExportError, match="SQUARE") as refusal:
            export(squareplus, select("tflite", [precision])[0], CONTRACT, tmp_path, calibration=calibration)
        assert "\n" not in str(refusal.value)
        assert not list(tmp_path.iterdir())


def test_precision_names():
    assert [item.name for item in select("onnx")] == ["float32", "float16", "dynamic_int8", "int8"]
    assert {item.format for item in select("all", ["float32"])} == {"tflite", "onnx"}, "peers are exported when named"
    assert [item.name for item in select("mnn")] == ["float32", "float16", "dynamic_int8"]
    assert [item.name for item in select("keras")] == ["float32"]
    assert [item.name for item in select("c-array")] == ["int8_only"]
    assert [item.name for item in select("onnx", ["all", "stock_float32"])][-2:] == ["int8", "stock_float32"]
    with pytest.raises(UnknownNameError, match=r"choose from: float32, .*, all"):
        select("onnx", ["int3"])


def test_default_precisions():
    """Two of TFLite and two of ONNX; the formats for one purpose have all of theirs."""
    names = {format: [item.filename for item in by_default(format)] for format in ("all", "onnx", "mnn", "c", "keras")}
    assert names["all"] == ["float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"]
    assert names["onnx"] == ["float32.onnx", "int8.onnx"]
    assert names["mnn"] == ["float32.mnn", "float16.mnn", "dynamic_int8.mnn"]
    assert (names["c"], names["keras"]) == (["int8_only.c"], ["float32.keras"])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"format": "gguf"}, "format is 'gguf'; expected tflite, onnx"),
        ({"weights": "int4"}, "weights is 'int4'; expected float32, float16, int8"),
        ({"activations": "int4"}, "activations is 'int4'"),
        ({"io": "int4"}, "io is 'int4'"),
        ({"io": "int16"}, "cannot have int16 as input and output; it can have int8 or uint8 or float32"),
        ({"scales": "per_row"}, "scales is 'per_row'"),
        ({"lrn": "fited"}, "lrn is 'fited'; expected composed, blocked, fitted, native"),
        ({"calibrated": False}, "int8 activations need calibration images"),
        ({"activations": "dynamic"}, "calibrated is True, but dynamic activations do not use calibration"),
        ({"activations": "dynamic", "calibrated": False, "lrn": "composed"}, "io int8"),
        ({"activations": "dynamic", "calibrated": False, "io": "float32"}, "lrn fitted"),
    ],
)
def test_a_precision_that_contradicts_itself_is_refused(changed, message):
    good = asdict(select("tflite", ["int8"])[0])
    assert Precision(**good) == select("tflite", ["int8"])[0]
    with pytest.raises(InputError) as refusal:
        Precision(**{**good, **changed})
    assert message in str(refusal.value)


def test_int8_needs_calibration_images(compact, tmp_path):
    with pytest.raises(InputError, match="--calibration"):
        export(compact, select("tflite", ["int8"])[0], CONTRACT, tmp_path)
    assert not list(tmp_path.iterdir())


def test_calibration_of_another_shape_is_refused(compact, tmp_path):
    wrong = Calibration(np.zeros((5, 32, 32, 3), np.uint8), "wrong")
    with pytest.raises(InputError, match=r"\(5, 32, 32, 3\)"):
        export(compact, select("tflite", ["int8"])[0], CONTRACT, tmp_path, calibration=wrong)


def test_a_failed_conversion_is_one_line_and_leaves_no_file(compact, tmp_path, monkeypatch):
    import tensorflow as tf

    def explode(*_):
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(tf.lite.TFLiteConverter, "from_keras_model", explode)
    with pytest.raises(ExportError) as refusal:
        export(compact, select("tflite", ["float32"])[0], CONTRACT, tmp_path / "out")
    assert str(refusal.value) == "TFLite float32 conversion failed: first line"
    assert not (tmp_path / "out").exists()


def test_a_failed_lowering_is_one_line(compact, tmp_path, monkeypatch):
    def explode(*_):
        raise ValueError("first line\nsecond line")

    monkeypatch.setattr("fmnist_edge.exporters.pipeline.lower", explode)
    with pytest.raises(ExportError, match=r"^preparing compact_cnn for tflite float32 failed: first line$"):
        export(compact, select("tflite", ["float32"])[0], CONTRACT, tmp_path)


def test_output_folder_that_is_a_file(compact, tmp_path):
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(FileError, match="cannot be written"):
        export(compact, select("onnx", ["float32"])[0], CONTRACT, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "in the way"


def test_collect_finds_and_refuses(artifacts, tmp_path):
    folder = artifacts["int8.tflite"].path.parent
    assert [item.path.name for item in collect([folder])] == sorted(artifacts)
    for path, message in ((tmp_path, "no .tflite, .onnx, "), (tmp_path / "none.onnx", "no such file")):
        with pytest.raises(ArtifactError, match=message):
            collect([path])
    (tmp_path / "bare.onnx").write_bytes(b"x")
    with pytest.raises(ArtifactError, match="no manifest"):
        Artifact.open(tmp_path / "bare.onnx")
