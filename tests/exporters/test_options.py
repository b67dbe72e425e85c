"""--io, --per-tensor, --opset and --oldest: what they change, in which files, and what they cannot do."""

from contextlib import closing
from dataclasses import replace

import numpy as np
import onnx
import pytest
from support.installed import needs

from fmnist_edge import checkpoints
from fmnist_edge.catalog.precisions import Precision, get_precision, select
from fmnist_edge.commands.command import commands
from fmnist_edge.commands.manual import parser_of
from fmnist_edge.errors import ExportError, InputError, UnknownNameError
from fmnist_edge.explain.onnx import OnnxProbe
from fmnist_edge.explain.probe import INPUT, OUTPUT
from fmnist_edge.exporters.calibration_images import Calibration
from fmnist_edge.exporters.flatbuffer import op_kinds, unpack
from fmnist_edge.exporters.minimum import check_oldest
from fmnist_edge.exporters.onnx_interface import to_uint8
from fmnist_edge.exporters.options import Options
from fmnist_edge.exporters.pipeline import export
from fmnist_edge.exporters.recipe import precision_of
from fmnist_edge.exporters.tflite import EXPORTER
from fmnist_edge.exporters.tflite_runtimes import obstacles_in
from fmnist_edge.jobs.export import settings_of
from fmnist_edge.runtime import Classifier, Contract

CONTRACT = Contract((8, 8, 3), "probabilities", tuple("abcdef"))
IMAGES = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A model with a convolution and with Dense layers that are large enough for TensorFlow to quantise."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = layers.Flatten()(layers.Conv2D(8, 3, activation="relu", name="conv")(image))
    x = layers.Dense(6, activation="softmax", name="out")(layers.Dense(12, activation="relu", name="dense")(x))
    path = tmp_path_factory.mktemp("own") / "own.keras"
    keras.Model(image, x, name="own").save(path)
    return checkpoints.load(path)


@pytest.fixture(scope="module")
def exported(own, tmp_path_factory):
    """Export once per precision and options."""
    made = {}

    def get(format, name, **options):
        key = (format, name, *options.items())
        if key not in made:
            precision = Options(**options).applied_to(get_precision(format, name))
            folder = tmp_path_factory.mktemp("out")
            made[key] = export(own, precision, CONTRACT, folder, calibration=Calibration(IMAGES, "test"))
        return made[key]

    return get


def scores(artifact, engine):
    with Classifier.load(artifact.path, engine=engine) as classifier:
        return classifier.engine.input.dtype, classifier.scores(IMAGES)


def tensor_scales(content, kind):
    """How many scales the weights of each op of this type have."""
    model = unpack(content)
    graph = model.subgraphs[0]
    found = [op.inputs[1] for name, op in zip(op_kinds(model), graph.operators, strict=True) if name == kind]
    scales = [graph.tensors[index].quantization.scale for index in found]
    return [0 if scale is None else len(scale) for scale in scales]


class TestInterface:
    @pytest.mark.parametrize("io", ["uint8", "float32"])
    def test_the_ends_change_and_the_answers_do_not(self, exported, io):
        plain, artifact = exported("tflite", "int8"), exported("tflite", "int8", io=io)
        manifest = artifact.manifest
        assert [tensor.dtype for tensor in (*manifest.inputs, *manifest.outputs)] == [io, io]
        assert artifact.path.name == "int8.tflite" and manifest.float_ops == ()
        for engine in ("litert", "litert-builtin", "litert-reference", "numpy"):
            dtype, found = scores(artifact, engine)
            assert dtype == io
            np.testing.assert_array_equal(found, scores(plain, engine)[1])

    def test_a_pixel_is_the_uint8_input_itself(self, exported):
        (taken,) = exported("tflite", "int8", io="uint8").manifest.inputs
        assert taken.zero_point == 0 and taken.scale == pytest.approx(1 / 255, rel=1e-3)

    def test_onnx_takes_and_gives_uint8(self, exported):
        plain, artifact = exported("onnx", "int8"), exported("onnx", "int8", io="uint8")
        assert [tensor.dtype for tensor in (*artifact.manifest.inputs, *artifact.manifest.outputs)] == ["uint8"] * 2
        # One less at the input; one more at the Softmax, which computes in float where the output is float.
        assert artifact.manifest.op_census["QuantizeLinear"] == plain.manifest.op_census["QuantizeLinear"]
        for engine in ("onnxruntime", "onnxruntime-basic", "onnxruntime-disabled"):
            dtype, found = scores(artifact, engine)
            assert dtype == "uint8"
            np.testing.assert_allclose(found, scores(plain, engine)[1], atol=1 / 256)  # Softmax is rounded once more

    def test_explain_reads_both_ends(self, exported):
        artifact = exported("onnx", "int8", io="uint8")
        with closing(OnnxProbe(str(artifact.path))) as probe:
            pixels = IMAGES.astype(np.float32) / 255
            found = probe.capture(pixels, [INPUT, OUTPUT])
            assert found[INPUT].dtype == found[OUTPUT].dtype == np.uint8
            np.testing.assert_allclose(probe.tensors[INPUT].dequantize(found[INPUT]), pixels, atol=1 / 500)
            expected = scores(artifact, "onnxruntime-disabled")[1]
            np.testing.assert_array_equal(probe.tensors[OUTPUT].dequantize(found[OUTPUT]), expected)

    def test_a_float_end_of_an_onnx_file_is_refused(self):
        from onnx import parser

        text = '<ir_version: 8, opset_import: ["": 17]> g (float[1] x) => (float[1] y) { y = Relu (x) }'
        with pytest.raises(ExportError, match="the input cannot be uint8: Relu reads it in float"):
            to_uint8(parser.parse_model(text))

    @pytest.mark.parametrize(
        ("format", "name", "io", "able"),
        [("tflite", "int16x8", "uint8", "int16 or float32"), ("onnx", "int8", "int8", "float32 or uint8"),
         ("c-array", "int8_only", "float32", "int8 or uint8")],
    )  # fmt: skip
    def test_what_is_not_possible_is_named(self, format, name, io, able):
        with pytest.raises(InputError, match=f"{name} cannot have {io} as input and output; it can have {able}"):
            Options(io=io).applied_to(get_precision(format, name))

    def test_float_and_stock_files_keep_theirs(self):
        for precision in (
            *select("all", ["float32", "float16", "dynamic_int8"]),
            get_precision("tflite", "stock_int8"),
        ):
            assert Options(io="uint8").applied_to(precision) == precision

    @needs("tflite_micro")
    def test_c_sources_have_the_type(self, exported):
        artifact = exported("c-array", "int8_only", io="uint8")
        header = (artifact.path / "own_model.h").read_text()
        assert "const std::uint8_t kPixelToInput[256]" in header and "Score(std::uint8_t output)" in header
        assert "int8_t kGolden" not in header.replace("uint8_t", "")
        assert "data.uint8[i]" in (artifact.path / "README.md").read_text()


class TestScales:
    def test_tflite(self, exported):
        for options, conv, dense in (({"per_tensor": True}, 1, 1), ({}, 8, 12)):
            content = exported("tflite", "int8", **options).path.read_bytes()
            assert tensor_scales(content, "CONV_2D") == [conv]
            assert tensor_scales(content, "FULLY_CONNECTED")[0] == dense

    @pytest.mark.slow  # the same flags of the converter
    @pytest.mark.parametrize("name", ["int16x8", "dynamic_int8"])
    def test_other_precisions(self, exported, name):
        content = exported("tflite", name, per_tensor=True).path.read_bytes()
        assert tensor_scales(content, "FULLY_CONNECTED")[0] == 1

    def test_c_sources_hold_the_file_with_the_options(self, exported):
        plain, one_scale = exported("c", "int8_only"), exported("c", "int8_only", per_tensor=True)
        assert plain.manifest.document["tflite_sha256"] != one_scale.manifest.document["tflite_sha256"]

    @pytest.mark.parametrize("name", ["int8", "dynamic_int8"])
    def test_onnx(self, exported, name):
        model = onnx.load(exported("onnx", name, per_tensor=True).path)
        scales = [item for item in model.graph.initializer if item.data_type == 1 and "bias" not in item.name]
        several = [
            item.name for item in scales if np.prod(item.dims) > 1 and (onnx.numpy_helper.to_array(item) > 0).all()
        ]
        assert several == []


class TestOldest:
    def test_dense_keeps_out_of_version_12(self, exported):
        plain = exported("tflite", "dynamic_int8")
        artifact = exported("tflite", "dynamic_int8", oldest=("tflite-runtime-2.14",))
        assert plain.manifest.runs_in["tflite-runtime"] is None
        assert plain.manifest.runs_in["tensorflow"] == "2.17"
        assert artifact.manifest.runs_in["tflite-runtime"] == "2.7"
        assert artifact.manifest.recipe["scales"] == "per_channel_but_dense"

    def test_only_dense_loses_its_scales(self, exported):
        content = exported("tflite", "int8", oldest=("tflite-runtime-2.9",)).path.read_bytes()
        assert tensor_scales(content, "FULLY_CONNECTED") == [1, 1] and tensor_scales(content, "CONV_2D") == [8]
        assert exported("tflite", "int8").manifest.runs_in["tflite-runtime"] == "2.10"

    def test_what_an_old_runtime_lacks_is_named(self):
        import keras

        model = keras.Sequential([keras.Input((4,)), keras.layers.Activation("gelu")])
        content = EXPORTER.convert(model, get_precision("tflite", "float32"), 1, None)
        with pytest.raises(
            ExportError, match=r"tflite-runtime-2\.7 does not have GELU version 1, .* tflite-runtime 2\.8"
        ):
            check_oldest("tflite-runtime-2.7", "tflite", obstacles_in(content))
        check_oldest("tflite-runtime-2.8", "tflite", obstacles_in(content))

    @pytest.mark.parametrize(("oldest", "opset"), [("1.6", 13), ("1.11", 16), ("1.31", 17)])
    def test_onnx_gets_an_opset_that_is_known(self, exported, oldest, opset):
        artifact = exported("onnx", "float32", oldest=(f"onnxruntime-{oldest}",))
        (found,) = (item.version for item in onnx.load(artifact.path).opset_import if not item.domain)
        assert found == opset

    def test_an_opset_that_the_runtime_lacks_is_refused(self, exported):
        with pytest.raises(ExportError, match=r"onnxruntime-1\.12 does not have opset 18"):
            exported("onnx", "float32", oldest=("onnxruntime-1.12",), opset=18)
        with pytest.raises(ExportError, match=r"onnxruntime-1\.3 does not have opset 13"):
            exported("onnx", "float32", oldest=("onnxruntime-1.3",))

    def test_two_of_one_format_and_unknown_ones(self):
        with pytest.raises(InputError, match="two runtimes of one format"):
            Options(oldest=("tflite-runtime-2.9", "tensorflow-2.9"))
        with pytest.raises(UnknownNameError, match=r"'tflite-runtime-2\.6'; .* tflite-runtime-2\.7 to 2\.14"):
            Options(oldest=("tflite-runtime-2.6",))


class TestRecipe:
    @pytest.mark.parametrize(
        ("format", "name", "options"),
        [("tflite", "int8", {"io": "uint8"}), ("tflite", "dynamic_int8", {"oldest": ("tflite-runtime-2.14",)}),
         ("onnx", "float32", {"oldest": ("onnxruntime-1.6",)}), ("onnx", "int8", {"per_tensor": True})],
    )  # fmt: skip
    def test_the_manifest_leads_to_the_same_bytes(self, exported, own, tmp_path, format, name, options):
        artifact = exported(format, name, **options)
        precision = precision_of(artifact.manifest)
        assert precision == Options(**options).applied_to(get_precision(format, name)) != get_precision(format, name)
        again = export(own, precision, CONTRACT, tmp_path, calibration=Calibration(IMAGES, "test"))
        assert again.path.read_bytes() == artifact.path.read_bytes()

    @pytest.mark.parametrize(
        ("format", "name", "options"),
        [("tflite", "int8", Options("uint8", oldest=("tflite-runtime-2.7",))), ("onnx", "float32", Options(opset=13)),
         ("tflite", "int8_only", Options("float32", per_tensor=True)), ("onnx", "int8", Options()),
         ("onnx", "int8", Options("uint8", opset=15, oldest=("onnxruntime-1.12",)))],
    )  # fmt: skip
    def test_the_options_can_be_told_from_it(self, format, name, options):
        precision = options.applied_to(get_precision(format, name))
        assert Options.of(precision) == options
        export_command = next(command for command in commands() if command.name == "export")
        settings = parser_of(export_command).parse_args(["model", *options.arguments()])
        assert settings_of(settings) == options

    def test_without_options_it_is_as_before(self):
        for precision in select("all"):
            assert not {"scales", "opset", "oldest"} & set(precision.recipe())
            assert Options().applied_to(precision) == precision == Precision(**precision.recipe())

    @pytest.mark.parametrize(
        "wrong", [{"opset": 12}, {"scales": "per_row"}, {"oldest": "tflite-runtime-2.7"}, {"io": "int8"}]
    )
    def test_a_recipe_that_contradicts_itself_is_refused(self, wrong):
        with pytest.raises(InputError, match=r"onnx int8|precision 'int8'"):
            replace(get_precision("onnx", "int8"), **wrong)


@pytest.mark.parametrize(
    ("options", "named", "message"),
    [({"io": "uint8"}, ["float32"], "--io uint8 is for calibrated precisions, such as int8; not for float32.tflite"),
     ({"per_tensor": True}, ["float16"], "--per-tensor is for"), ({"opset": 13}, ["int8"], "--opset is for onnx files"),
     ({"oldest": ("onnxruntime-1.6",)}, ["int8"], "--oldest onnxruntime-1.6 runs onnx files; not int8.tflite")],
)  # fmt: skip
def test_an_option_for_none_of_the_files_is_refused(options, named, message):
    with pytest.raises(InputError) as refusal:
        Options(**options).check(select("tflite", named))
    assert message in str(refusal.value)
    Options(**options).check(select("all"))
