"""What is believed of a model file, and what is refused when it is loaded."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from support.engines import EXPECTED, IMAGES, TOLERANCE, refused
from support.linear import BIAS, LINEAR, with_manifest

from fmnist_edge.errors import ArtifactError, InputError, UnavailableError, UnknownNameError
from fmnist_edge.runtime import Classifier, Contract
from fmnist_edge.runtime.engine_catalog import ENGINES, engines_for
from fmnist_edge.runtime.engines.onnxruntime import OnnxRuntimeEngine
from fmnist_edge.runtime.loading import read_whole
from fmnist_edge.runtime.manifest import manifest_path


@pytest.mark.parametrize("shape", [(60_000, 60_000, 1), (1,) * 7])
def test_a_contract_with_a_huge_image_is_refused(shape):
    with pytest.raises(ArtifactError, match="6 axes and 16,777,216 values at most"):
        Contract(shape, "logits", ("a", "b"))


class TestLoading:
    def test_a_huge_sparse_file_is_not_read(self, tmp_path):
        with open(tmp_path / "x.onnx", "wb") as file:
            file.truncate(1 << 32)
        with pytest.raises(ArtifactError, match="4,294,967,296 bytes; expected 2,147,483,647 at most"):
            read_whole(tmp_path / "x.onnx")

    def test_a_file_replaced_during_loading_is_refused(self, linear_models, tmp_path, monkeypatch):
        content = linear_models["float32.onnx"].read_bytes()
        path = with_manifest(tmp_path / "float32.onnx", content)

        class Exchanged(OnnxRuntimeEngine):
            def __init__(self, name, threads=None):
                path.write_bytes(content + b"\x32\x01x")  # a doc_string: also a valid file
                super().__init__(name, threads)

        monkeypatch.setattr("fmnist_edge.runtime.engines.onnxruntime.OnnxRuntimeEngine", Exchanged)
        refused(path, "was truncated or altered")

    def test_bad_arguments(self, linear_models, tmp_path):
        path = linear_models["float32.onnx"]
        for threads in (0, -1, 1.5, True, "2"):
            refused(path, "threads", error=InputError, threads=threads)
        refused(path, *ENGINES, error=UnknownNameError, engine="tensorrt")
        refused(tmp_path / "model.bin", ".tflite or .onnx", error=InputError)
        refused(tmp_path / "none.onnx", "no such file")
        refused(linear_models["int8.tflite"], "refuses", engine="onnxruntime")
        refused(path, "TFL3", engine="litert")

    def test_engine_that_is_not_installed(self, linear_models, tmp_path, monkeypatch):
        for module in (
            "ai_edge_litert.interpreter",
            "tflite_runtime.interpreter",
            "tensorflow.lite.python.interpreter",
            "ai_edge_litert.compiled_model",
            "tflite_micro.python.tflite_micro",
            "onnxruntime",
            "openvino",
            "ncnn",
            "MNN",
            "keras",
        ):
            monkeypatch.setitem(sys.modules, module, None)
        for engine in engines_for(Path("x.onnx")):
            how = "pip install openvino" if engine == "openvino" else "pip install onnxruntime"
            refused(linear_models["float32.onnx"], how, error=UnavailableError, engine=engine)
        refused(linear_models["float32.ncnn"], "pip install ncnn", error=UnavailableError)
        mnn = with_manifest(tmp_path / "x.mnn", b"not read")
        refused(mnn, "pip install MNN", error=UnavailableError)
        for engine in engines_for(Path("x.keras")):
            how = "pip install 'fmnist-edge[export]'"
            refused(linear_models["float32.keras"], how, error=UnavailableError, engine=engine)
        int8 = linear_models["int8.tflite"]
        refused(int8, "pip install ai-edge-litert", error=UnavailableError)
        refused(int8, "pip install 'ai-edge-litert>=2.1'", error=UnavailableError, engine="litert-compiled")
        refused(int8, "pip install tflite-runtime 'numpy<2'", error=UnavailableError, engine="tflite-runtime")
        refused(int8, "pip install --pre tflite-micro", error=UnavailableError, engine="tflite-micro")

    def test_without_manifest(self, linear_models, tmp_path, any_file):
        bare = shutil.copy(linear_models[any_file], tmp_path / any_file)
        refused(bare, "no manifest")
        with Classifier.load(bare, contract=LINEAR) as classifier:
            assert np.abs(classifier.scores(IMAGES) - EXPECTED).max() < TOLERANCE.get(any_file, 1e-4)

    @pytest.mark.parametrize("change", [lambda c: c[:-1], lambda c: c + b"\0", lambda c: c[:99] + b"\xff" + c[100:]])
    def test_a_file_that_differs_from_its_manifest(self, linear_models, tmp_path, any_file, change):
        path = tmp_path / any_file
        path.write_bytes(change(linear_models[any_file].read_bytes()))
        shutil.copy(manifest_path(linear_models[any_file]), tmp_path)
        refused(path, "truncated or altered")

    @pytest.mark.parametrize("contract", [Contract((28, 28, 3), "logits", LINEAR.labels),
                                          Contract((28, 28, 1), "logits", ("a", "b"))])  # fmt: skip
    def test_contract_that_does_not_fit(self, linear_models, contract, name, tmp_path):
        path = with_manifest(tmp_path / name, linear_models[name].read_bytes(), contract)
        refused(path, "contract says")

    def test_weights_that_are_nan(self, linear_models, tmp_path):
        content = linear_models["float32.onnx"].read_bytes()
        broken = content.replace(BIAS.tobytes(), np.full(10, np.nan, np.float32).tobytes())
        classifier = Classifier.load(with_manifest(tmp_path / "nan.onnx", broken))
        with pytest.raises(ArtifactError, match="NaN"):
            classifier(IMAGES[0])
