"""OpenVINO: scales, threads, precision, and its answers to what ships."""

import numpy as np
import pytest
from support import ROOT
from support.engines import refused
from support.installed import needs
from support.linear import with_manifest

from fmnist_edge.data import fashion_mnist
from fmnist_edge.runtime import Classifier


@needs("openvino")
class TestOpenVINO:
    def test_scales_are_those_in_the_file(self, linear_models):
        """OpenVINO has the scales in its graph; LiteRT reads them from the file."""
        for name in ("int8.tflite", "int16x8.tflite"):
            with (
                Classifier.load(linear_models[name], engine="openvino") as one,
                Classifier.load(linear_models[name]) as other,
            ):
                pairs = ((one.engine.input, other.engine.input), (one.engine.output, other.engine.output))
                for ours, expected in pairs:
                    assert ours.dtype == expected.dtype and ours.zero_point == expected.zero_point
                    assert ours.scale == pytest.approx(expected.scale, rel=1e-6)

    def test_threads_and_precision(self, linear_models):
        with Classifier.load(linear_models["float32.onnx"], engine="openvino", threads=1) as classifier:
            model = classifier.engine._request.get_compiled_model()
            assert model.get_property("INFERENCE_NUM_THREADS") == 1
            assert model.get_property("EXECUTION_MODE_HINT").name == "ACCURACY"

    def test_another_format_is_refused(self, linear_models, tmp_path):
        path = with_manifest(tmp_path / "x.tflite", linear_models["float32.onnx"].read_bytes())
        refused(path, "TFL3", engine="openvino")


SHIPPED = sorted(path for name in ("float32.onnx", "int8.tflite") for path in ROOT.glob(f"exported/*/{name}"))


@needs("openvino")
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_openvino_agrees_on_committed_artifacts(path):
    """An independent implementation: float scores are alike, int8 scores within a few steps."""
    images = fashion_mnist.load("test").images[:300]
    scores = []
    for engine in (None, "openvino"):
        with Classifier.load(path, engine=engine) as classifier:
            scores.append(classifier.scores(images))
            step = classifier.engine.output.scale
    one, other = scores
    assert np.abs(one - other).max() <= (1e-4 if step is None else 5 * step)
    assert (one.argmax(1) == other.argmax(1)).mean() >= (1 if step is None else 0.99)
