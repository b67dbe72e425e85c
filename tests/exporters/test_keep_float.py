"""`keep_float`: exactly the named layers compute in float."""

import json

import numpy as np
import pytest
from support.small_model import CONTRACT, images, small_checkpoint

from fmnist_edge.catalog.precisions import PRECISIONS, select
from fmnist_edge.errors import ExportError, InputError, UnknownNameError
from fmnist_edge.exporters.calibration_images import Calibration
from fmnist_edge.exporters.layer_names import LayerNames
from fmnist_edge.exporters.pipeline import export
from fmnist_edge.runtime import Classifier

CALIBRATION = Calibration(images(), "blobs")
INT8 = select("tflite", ["int8"])[0]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return small_checkpoint(tmp_path_factory.mktemp("small"))


def exported(checkpoint, out, *keep_float, precision=INT8):
    return export(checkpoint, precision, CONTRACT, out, calibration=CALIBRATION, keep_float=keep_float)


class TestTFLite:
    @pytest.mark.parametrize(
        ("layer", "kind", "part_of_name"),
        [
            ("dense", "FULLY_CONNECTED", "/dense_1/"),
            pytest.param(  # TensorFlow's number for the layer, not for `dense`
                "dense_1", "FULLY_CONNECTED", "/dense_1_2/", marks=pytest.mark.slow
            ),
            pytest.param("scores", "FULLY_CONNECTED", "Call", marks=pytest.mark.slow),  # named after the signature
            ("batch_normalization", "CONV_2D", "/conv2d_1/"),  # folded into it
            pytest.param("add", "ADD", "/add_", marks=pytest.mark.slow),
        ],
    )
    def test_one_layer_and_no_other_is_float(self, checkpoint, tmp_path, layer, kind, part_of_name):
        artifact = exported(checkpoint, tmp_path, layer)
        (op,) = [name for name in artifact.manifest.float_ops if not name.startswith("DEQUANTIZE")]
        assert op.startswith(f"{kind} ") and part_of_name in op

    def test_interface_and_scores_stay_the_same(self, checkpoint, tmp_path):
        artifact = exported(checkpoint, tmp_path, "conv2d", "dense_1")
        manifest = json.loads(artifact.path.with_name("int8.tflite.json").read_text())
        assert manifest["keep_float"] == ["conv2d", "dense_1"]
        assert manifest["inputs"][0]["dtype"] == manifest["outputs"][0]["dtype"] == "int8"
        prepared = CONTRACT.preprocessing.apply(images(), CONTRACT.input_shape)
        expected = np.asarray(checkpoint.model.predict(prepared, verbose=0))
        with Classifier.load(artifact.path) as classifier:
            assert np.abs(classifier.scores(images()) - expected).max() < 0.05 * np.abs(expected).max()

    @pytest.mark.slow
    def test_lrn_kept_in_float_is_not_fitted(self, checkpoint, tmp_path):
        without, kept = exported(checkpoint, tmp_path / "a"), exported(checkpoint, tmp_path / "b", "lrn")
        assert "LOGISTIC" in without.manifest.op_census and list(without.manifest.lrn_fits) == ["lrn"]
        assert "LOGISTIC" not in kept.manifest.op_census and kept.manifest.lrn_fits == {}
        assert {"RSQRT", "SQUARE", "MUL"} <= {name.split()[0] for name in kept.manifest.float_ops}

    def test_nothing_kept_is_the_plain_export(self, checkpoint, tmp_path):
        artifact = exported(checkpoint, tmp_path)
        assert artifact.manifest.keep_float == () and artifact.manifest.float_ops == ()


@pytest.mark.parametrize("name", [item.name for item in select("onnx") if item.selective])
@pytest.mark.parametrize("layer", ["conv2d", "conv2d_1", "dense", "dense_1", "scores"])
def test_in_onnx_the_weights_of_one_layer_and_no_other_stay_float(checkpoint, tmp_path, name, layer):
    """A BatchNorm is folded into `conv2d`; `dense` and `dense_1` are not confused."""
    import onnx
    from onnx import TensorProto

    artifact = exported(checkpoint, tmp_path, layer, precision=select("onnx", [name])[0])
    assert artifact.manifest.keep_float == (layer,)
    layers = {"conv2d", "conv2d_1", "dense", "dense_1", "scores"}
    weights = {name: set() for name in layers}
    for item in onnx.load(artifact.path).graph.initializer:
        owner = item.name.partition("/")[0]
        if owner in layers and len([size for size in item.dims if size > 1]) > 1:  # neither a bias nor a scale
            weights[owner].add(item.data_type)
    assert weights[layer] == {TensorProto.FLOAT}
    assert all(weights[other] == {TensorProto.INT8} for other in layers - {layer}), weights


class TestRefusals:
    def test_an_unknown_layer_names_the_closest_and_lists_the_choices(self, checkpoint, tmp_path):
        with pytest.raises(
            UnknownNameError, match=r"no layer 'conv2d_l'.*Did you mean 'conv2d_1'\?.*conv2d, "
        ) as refusal:
            exported(checkpoint, tmp_path, "conv2d_l")
        assert "picture" not in str(refusal.value) and "\n" not in str(refusal.value)

    def test_a_layer_without_an_op(self, checkpoint, tmp_path):
        with pytest.raises(
            ExportError, match=r"'dropout' cannot be kept in float: the file has no op of its own.* conv2d, "
        ):
            exported(checkpoint, tmp_path, "dropout")
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("precision", [item for item in PRECISIONS if not item.selective], ids=lambda p: p.filename)
    def test_a_precision_that_cannot(self, checkpoint, tmp_path, precision):
        with pytest.raises(InputError, match=f"{precision.format} {precision.name} cannot .* these can: tflite int8"):
            exported(checkpoint, tmp_path, "dense", precision=precision)


class TestLayerNames:
    def test_scopes_without_numbers_are_read_as_they_are(self):
        layers = LayerNames(["dense", "dense_1"], ["m/dense/MatMul", "m/dense_1/MatMul"])
        assert layers.of("m/dense/MatMul") == ("dense",) and layers.of("m/dense_1/MatMul") == ("dense_1",)

    def test_layers_that_end_in_a_number_themselves(self):
        layers = ["conv_1", "conv_2"]
        numbered = LayerNames(layers, ["m_1/conv_1_1/Conv", "m_1/conv_2_1/Conv"])
        assert numbered.of("m_1/conv_2_1/Conv;m_1/conv_1_1/Relu") == ("conv_2", "conv_1")
        assert LayerNames(layers, ["m/conv_1/Conv", "m/conv_2/Conv"]).of("m/conv_2/Conv") == ("conv_2",)

    def test_a_model_called_like_a_layer(self):
        names = ["net_1/dense_1/MatMul", "net_1/net_1_1/Relu"]
        assert LayerNames(["net_1", "dense"], names, "net").of(names[1]) == ("net_1",)
