"""ONNX files in fewer bits. Tests for every format and precision are in test_export.py."""

import os
import subprocess
import sys
from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from fmnist_edge import checkpoints
from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.catalog.models import MODELS
from fmnist_edge.catalog.precisions import Precision, select
from fmnist_edge.data import fashion_mnist
from fmnist_edge.errors import ExportError
from fmnist_edge.exporters.lowering import lower
from fmnist_edge.exporters.onnx import float_ops
from fmnist_edge.exporters.onnx_float16 import to_float16
from fmnist_edge.exporters.onnx_names import name_by_layer
from fmnist_edge.exporters.onnx_precisions import CalibrationReader, quantized, to_dynamic_int8, to_int8
from fmnist_edge.runtime.engines.onnxruntime import OnnxRuntimeEngine

SAME_FOR_ALL_CPUS = 64  # two products of a uint8 and a weight of this size fit into 16 bits


def convert(model, name, images, batch=1):
    precision = select("onnx", [name])[0]
    return FORMATS["onnx"].exporter().convert(lower(model, precision, images).model, precision, batch, images)


def census_of(content):
    return FORMATS["onnx"].exporter().census(content)


def initializers(content, data_type=None):
    """Initializers, name -> array, of one ONNX data type or of all."""
    items = onnx.load_from_string(content).graph.initializer
    return {item.name: numpy_helper.to_array(item) for item in items if data_type in (None, item.data_type)}


def as_it_runs(content, tmp_path):
    """The number of ops of each type after ONNX Runtime has optimised a file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)


@pytest.fixture(scope="module")
def images():
    return fashion_mnist.calibration_images(40).astype(np.float32)[..., None] / 255


@pytest.fixture(scope="module")
def compact():
    return checkpoints.load("compact_cnn").model


@pytest.fixture(scope="module")
def files(compact, images):
    return {item.name: convert(compact, item.name, images) for item in select("onnx")}


@pytest.fixture(scope="module")
def normalising():
    """An untrained tiny_resnet, for its 16 LRN layers."""
    return MODELS["tiny_resnet"].build()


def answers(content, images, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    engine = OnnxRuntimeEngine(str(path), 1)
    size = engine.input.shape[0] or len(images)
    return np.concatenate([engine.run(images[start : start + size]) for start in range(0, len(images), size)])


@pytest.mark.parametrize("name", [item.name for item in select("onnx")])
def test_interface_stays_float32(files, name):
    graph = onnx.load_from_string(files[name]).graph
    (image,), (scores,) = graph.input, graph.output
    assert (image.name, scores.name) == ("image", "scores")
    assert {item.type.tensor_type.elem_type for item in (image, scores)} == {onnx.TensorProto.FLOAT}


@pytest.mark.parametrize("batch", [None, 16])
@pytest.mark.parametrize("name", [item.name for item in select("onnx")])
def test_any_batch_gives_the_scores_of_batch_1(compact, images, files, tmp_path, name, batch):
    content = convert(compact, name, images, batch)  # 40 images are not a multiple of 16
    expected = answers(files[name], images[:32], tmp_path)
    # A dynamic dense layer finds other extremes in a larger batch.
    tolerance = {"float32": 1e-4, "float16": 0.05, "dynamic_int8": 2.0, "int8": 0.5}[name]
    assert np.abs(answers(content, images[:32], tmp_path) - expected).max() < tolerance


class TestFloat16:
    def test_all_weights_and_ops_are_float16(self, files):
        assert not initializers(files["float16"], onnx.TensorProto.FLOAT)
        assert sum(array.size for array in initializers(files["float16"], onnx.TensorProto.FLOAT16).values()) == 106_991
        assert census_of(files["float16"]).ops["Cast"] == 2, "of the input and of the output"

    def test_weights_are_those_of_float32_rounded(self, files):
        wide, half = (initializers(files[name]) for name in ("float32", "float16"))
        assert np.array_equal(half["conv2/Conv/weight_1"], wide["conv2/Conv/weight_1"].astype(np.float16))


class TestInt8:
    def test_every_layer_has_a_weight_scale_per_output_channel(self, files):
        graph, arrays = onnx.load_from_string(files["int8"]).graph, initializers(files["int8"])
        maker = {name: node for node in graph.node for name in node.output}
        layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
        assert len(layers) == 7
        for node in layers:
            weights, scale, zero_point = (arrays[name] for name in maker[node.input[1]].input)
            channels = arrays[maker[node.input[2]].input[0]].size
            assert weights.dtype == np.int8 and not zero_point.any()
            assert scale.shape == (channels,) and len(set(scale.tolist())) > 1, node.name

    def test_weights_are_too_small_to_saturate_a_cpu_without_vnni(self, files):
        arrays = initializers(files["int8"], onnx.TensorProto.INT8).values()
        largest = max(np.abs(array.astype(int)).max() for array in arrays)
        assert largest == SAME_FOR_ALL_CPUS
        assert 2 * 255 * SAME_FOR_ALL_CPUS < 2**15

    def test_compact_cnn_has_no_float_op(self, files):
        assert census_of(files["int8"]).float_ops == ()

    def test_onnx_runtime_fuses_all_ops(self, files, tmp_path):
        ops = as_it_runs(files["int8"], tmp_path)
        assert (ops["QLinearConv"], ops["QGemm"]) == (3, 4)
        assert (ops["QuantizeLinear"], ops["DequantizeLinear"]) == (1, 1), "at the input and at the output"
        assert not {"Conv", "FusedConv", "Gemm", "FusedGemm", "Relu", "MaxPool"} & set(ops)

    def test_lrn_leaves_its_root_and_reciprocal_in_float(self, normalising, images, tmp_path):
        content = convert(normalising, "int8", images)
        census = census_of(content)
        layers = {layer.name for layer in normalising.layers if layer.name.endswith("_lrn")}
        assert len(layers) == 16
        assert set(census.float_ops) == {f"{kind} {name}/{kind}" for name in layers for kind in ("Sqrt", "Reciprocal")}
        ops = as_it_runs(content, tmp_path)
        assert (ops["QLinearConv"], ops["QLinearMul"], ops["QLinearAdd"]) == (32, 32, 6)

    def test_calibration_images_set_the_ranges(self, compact, images, files):
        darker, reordered = convert(compact, "int8", images / 2), convert(compact, "int8", images[::-1])
        assert initializers(darker)["image/QuantizeLinear/weight_1"] == pytest.approx(1 / 255 / 2)
        assert initializers(files["int8"])["image/QuantizeLinear/weight_1"] == pytest.approx(1 / 255)
        assert reordered == files["int8"]

    def test_without_images_it_is_refused(self, compact):
        precision = select("onnx", ["int8"])[0]
        with pytest.raises(ExportError, match="ONNX int8 needs calibration images"):
            FORMATS["onnx"].exporter().convert(compact, precision, 1, None)


class TestDynamicInt8:
    def test_all_weights_are_int8_with_a_scale_per_output_channel(self, files):
        arrays = initializers(files["dynamic_int8"], onnx.TensorProto.INT8)
        weights = [array for array in arrays.values() if array.ndim > 1]
        outputs = [34, 22, 12, 95, 40, 24, 10]
        assert sum(array.size for array in weights) == 106_991 - sum(outputs)
        assert {np.abs(array.astype(int)).max() for array in weights if array.ndim == 2} == {SAME_FOR_ALL_CPUS}
        floats = initializers(files["dynamic_int8"], onnx.TensorProto.FLOAT).values()
        assert sorted(array.size for array in floats) == sorted(2 * outputs), "scales and biases"

    def test_dense_layers_run_in_integers_and_convolutions_at_float_speed(self, files, tmp_path):
        ops = as_it_runs(files["dynamic_int8"], tmp_path)
        assert ops["DynamicQuantizeMatMul"] == 4
        assert ops["Conv"] + ops["FusedConv"] == 3
        assert not {"Cast", "Mul", "DequantizeLinear", "ConvInteger", "Gemm", "MatMul"} & set(ops), "folded at load"

    @pytest.mark.slow
    def test_a_shared_weight_is_stored_once(self, normalising, images):
        """LRN layers of the same width share a band matrix."""
        stored = {}
        for name in ("float32", "dynamic_int8"):
            arrays = initializers(convert(normalising, name, images)).values()
            stored[name] = sum(array.ndim == 4 for array in arrays if array.shape[1:] != (1, 1, 1))
        assert stored["dynamic_int8"] == stored["float32"] < 32

    def test_per_channel(self):
        weights = np.random.default_rng(0).normal(size=(5, 2, 3, 3)).astype(np.float32)
        weights[1] *= 100
        weights[2] = 0
        stored, scale = quantized(weights, per_channel=True)
        assert (stored.dtype, scale.dtype, scale.shape) == (np.int8, np.float32, (5, 1, 1, 1))
        assert np.abs(stored[[0, 1, 3, 4]]).reshape(4, -1).max(axis=1).tolist() == [127] * 4
        assert not stored[2].any()
        assert (np.abs(stored * scale - weights) <= scale * 0.5001).all()


REPEAT = """
import sys, hashlib, numpy, onnx
from fmnist_edge.exporters.onnx_names import name_by_layer
from fmnist_edge.exporters.onnx_float16 import to_float16
from fmnist_edge.exporters.onnx_precisions import to_dynamic_int8, to_int8
images = numpy.load(sys.argv[2])
for narrow in (lambda model: to_int8(model, images), to_dynamic_int8, to_float16):
    made = narrow(onnx.load(sys.argv[1]))
    name_by_layer(made.graph, ["conv1"], again=True)
    print(hashlib.sha256(made.SerializeToString(deterministic=True)).hexdigest())
"""


def test_every_process_writes_the_same_bytes(files, images, tmp_path):
    """The quantisers store names in sets, whose order differs from process to process."""
    (tmp_path / "float32.onnx").write_bytes(files["float32"])
    np.save(tmp_path / "images.npy", images)
    command = [sys.executable, "-c", REPEAT, str(tmp_path / "float32.onnx"), str(tmp_path / "images.npy")]
    printed = [
        subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True)
        for seed in "12"
    ]
    assert printed[0].stdout == printed[1].stdout
    assert len(set(printed[0].stdout.split())) == 3
    assert not printed[0].stderr


def test_nothing_is_printed_logged_or_left_behind(files, images, tmp_path, monkeypatch, capfd, caplog):
    monkeypatch.chdir(tmp_path)
    for narrowed in (lambda model: to_int8(model, images), to_dynamic_int8, to_float16):
        narrowed(onnx.load_from_string(files["float32"]))
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.levelname != "DEBUG"]
    assert not list(tmp_path.iterdir())


def test_calibration_fills_the_last_batch():
    feed = CalibrationReader(["image"], np.arange(5.0)[:, None], batch=2)
    assert [feed.get_next()["image"].ravel().tolist() for _ in range(3)] == [[0, 1], [2, 3], [4, 0]]
    assert feed.get_next() is None


def test_a_precision_that_onnx_does_not_have_is_refused(compact):
    precision = Precision("odd", "onnx", weights="float16", activations="float32")
    with pytest.raises(ExportError, match="cannot export float16 weights"):
        FORMATS["onnx"].exporter().convert(compact, precision, 1, None)


QDQ = """
<ir_version: 8, opset_import: ["" : 17]>
agraph (float[2] x, float s, uint8 z) => (float[2] y)
{
    q = QuantizeLinear (x, s, z)
    d = DequantizeLinear (q, s, z)
    a = Relu (d)
    qa = QuantizeLinear (a, s, z)
    da = DequantizeLinear (qa, s, z)
    size = Shape (x)
    b = Reshape (da, size)
    qb = QuantizeLinear (b, s, z)
    db = DequantizeLinear (qb, s, z)
    c = Neg (db)
    qc = QuantizeLinear (c, s, z)
    dc = DequantizeLinear (qc, s, z)
    e = Exp (c)
    f = Add (e, dc)
    g = Sub (f, dc)
    qg = QuantizeLinear (g, s, z)
    h = DequantizeLinear (qg, s, z)
    y = Abs (h)
}
"""


def test_a_float_op_is_not_between_dequantize_and_quantize():
    model = parser.parse_model(QDQ)
    for node in model.graph.node:
        node.name = node.op_type
    # Exp reads Neg in float; Sub reads the float output of Add; Abs computes the graph's output.
    assert float_ops(onnx.shape_inference.infer_shapes(model).graph) == {"Neg", "Exp", "Add", "Sub", "Abs"}


def test_an_inserted_node_is_named_after_the_layer_before_it():
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> agraph (float[2] image) => (float[2] y)'
        "{ z = Cos (image) a = Abs (z) b = Neg (a) y = Exp (b) }"
    )
    for node, name in zip(model.graph.node, ("Cos__2", "model_1/squeeze_1/Abs", "Neg__7", "Exp__9"), strict=True):
        node.name = name
    name_by_layer(model.graph, ["squeeze"])
    assert [node.name for node in model.graph.node] == ["image/Cos", "squeeze/Abs", "squeeze/Neg", "squeeze/Exp"]
    before = model.SerializeToString(deterministic=True)
    name_by_layer(model.graph, ["squeeze"], again=True)
    assert model.SerializeToString(deterministic=True) == before


def test_layers_that_keras_numbers_are_not_confused(images):
    import keras

    layers = keras.layers
    inputs = keras.Input((28, 28, 1))
    hidden = layers.Dense(3, name="dense_1")(layers.Flatten(name="flatten")(inputs))
    model = keras.Model(inputs, layers.Dense(4, name="dense")(hidden), name="two")
    for name in ("float32", "int8"):
        arrays = initializers(convert(model, name, images))
        shapes = {key.partition("/")[0]: array.shape for key, array in arrays.items() if array.size in (784 * 3, 12)}
        assert shapes == {"dense_1": (784, 3), "dense": (3, 4)}


def padded(trained):
    """A padding layer, a convolution and a BatchNorm, twice, with the same convolution."""
    import keras

    layers = keras.layers
    x = inputs = keras.Input((28, 28, 1))
    shared = layers.Conv2D(1, 3, use_bias=False, name="shared")
    for number, conv in enumerate((layers.Conv2D(1, 3, use_bias=False, name="own"), shared, shared)):
        x = conv(layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"pad{number}")(x))
        x = layers.ReLU(6.0, name=f"relu{number}")(layers.BatchNormalization(name=f"norm{number}")(x))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(inputs, layers.Dense(4, name="dense")(x), name="padded")
    if trained:
        for number in range(3):
            model.get_layer(f"norm{number}").set_weights([np.array([value + number]) for value in (0.5, 0.2, 0.1, 2.0)])
    return model


@pytest.mark.parametrize("trained", [False, True])
def test_a_convolution_with_a_folded_batch_norm_keeps_its_name(images, trained):
    """After padding, which is folded too, tf2onnx names the convolution after the BatchNorm."""
    model = padded(trained)
    nodes = [node.name for node in onnx.load_from_string(convert(model, "float32", None)).graph.node]
    assert {name.partition("/")[0] for name in nodes if name.partition("/")[2].startswith("Conv")} == {"own", "shared"}
    assert not [name for name in nodes if name.startswith("norm")], "else they could be kept in float, for nothing"
    int8 = select("onnx", ["int8"])[0]
    content = FORMATS["onnx"].exporter().convert(model, int8, 1, images, ("shared",))
    weights = {name: array.dtype for name, array in initializers(content).items() if array.ndim == 4}
    assert {name.partition("/")[0]: dtype.name for name, dtype in weights.items()} == {
        "own": "int8",
        "shared": "float32",
    }


class TestKeepFloat:
    def convert(self, model, name, images, *layers):
        precision = select("onnx", [name])[0]
        return FORMATS["onnx"].exporter().convert(model, precision, 1, images, layers)

    def test_int8_leaves_the_ops_of_these_layers_in_float(self, compact, images, files, tmp_path):
        content = self.convert(compact, "int8", images, "conv2", "dense_40")
        wide, kept = initializers(files["float32"]), initializers(content)
        for weights in ("conv2/Conv/weight_1", "dense_40/Gemm/weight_1"):
            assert np.array_equal(kept[weights], wide[weights])
        float_ops = [name.split()[1] for name in census_of(content).float_ops]
        assert float_ops == [f"{layer}/{op}" for layer, first in (("conv2", "Conv"), ("dense_40", "Gemm"))
                             for op in ("Sum", first, "Relu")]  # fmt: skip
        ops = as_it_runs(content, tmp_path)
        assert (ops["QLinearConv"], ops["QGemm"]) == (2, 3), "ONNX Runtime must not quantise the others itself"

    def test_dynamic_int8_leaves_their_weights_in_float(self, compact, files):
        content = self.convert(compact, "dynamic_int8", None, "conv2", "dense_40")
        wide, kept = initializers(files["float32"]), initializers(content)
        assert np.array_equal(kept["conv2/Conv/weight_1"], wide["conv2/Conv/weight_1"])
        assert np.array_equal(kept["dense_40/MatMul/weight_1"], wide["dense_40/Gemm/weight_1"])
        stored = [array for array in initializers(content, onnx.TensorProto.INT8).values() if array.ndim > 1]
        assert len(stored) == 5

    @pytest.mark.slow
    def test_one_of_the_layers_that_share_a_weight(self, normalising, images):
        """LRN layers of the same width share a band matrix; only the named one computes in float."""
        float_ops = census_of(self.convert(normalising, "int8", images, "unit_32a_1_lrn")).float_ops
        kept = [name.split()[0] for name in float_ops if "unit_32a_1_lrn/" in name]
        assert sorted(kept) == ["Conv", "Mul", "Mul", "Reciprocal", "Sqrt"]
        assert len(float_ops) == 5 + 1 + 15 * 2, "it, the ReLU behind it, and the root and reciprocal of all others"

    def test_a_layer_without_ops_of_its_own_is_refused(self, compact, images):
        with pytest.raises(ExportError, match="'dropout_95' cannot be kept in float"):
            self.convert(compact, "int8", images, "dropout_95")
