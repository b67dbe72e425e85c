"""Files that nobody vouches for are tried in a child process."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from support import ROOT
from support.engines import refused
from support.installed import needs
from support.linear import LINEAR, with_manifest

from fmnist_edge.data import fashion_mnist
from fmnist_edge.errors import ArtifactError
from fmnist_edge.runtime import Classifier, Contract
from fmnist_edge.runtime.trial import try_load
from fmnist_edge.worker.calls import child_environment


class TestTrial:
    """Files without a manifest are first loaded in a child process, so an engine cannot crash this one."""

    @pytest.mark.parametrize(
        ("suffix", "engine"),
        [
            (".tflite", None),
            (".onnx", None),
            pytest.param(".tflite", "openvino", marks=[needs("openvino"), pytest.mark.slow]),
            pytest.param(".onnx", "openvino", marks=[needs("openvino"), pytest.mark.slow]),
            pytest.param(".ncnn", "ncnn", marks=[needs("ncnn"), pytest.mark.slow]),
            pytest.param(".mnn", "mnn", marks=[needs("MNN"), pytest.mark.slow]),
            pytest.param(".keras", "keras-predict", marks=pytest.mark.slow),  # each child imports TensorFlow
        ],
    )
    def test_hostile_files(self, linear_models, tmp_path, suffix, engine):
        for number, case in enumerate(self.damaged(linear_models[f"float32{suffix}"].read_bytes())):
            path = tmp_path / f"{number}{suffix}"
            path.write_bytes(case)
            refused(path, path.name, contract=LINEAR, engine=engine)

    def test_hostile_keras_files_are_refused_without_a_child_too(self, linear_models, tmp_path):
        """They are vouched for, so this process reads them."""
        for number, case in enumerate(self.damaged(linear_models["float32.keras"].read_bytes())):
            path = with_manifest(tmp_path / f"{number}.keras", case)
            refused(path, path.name, engine="keras-predict")

    def damaged(self, content: bytes) -> list[bytes]:
        rng = np.random.default_rng(5)
        flipped = bytearray(content)
        for position in rng.integers(0, 200, 20):
            flipped[position] = rng.integers(0, 256)
        return [
            b"",
            b"\0" * 100,
            rng.bytes(2000),
            content[:8] + rng.bytes(2000),
            content[: len(content) // 2],
            bytes(flipped),
        ]

    def test_an_engine_that_crashes(self, tmp_path, monkeypatch):
        self.plant(tmp_path, monkeypatch, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
        with pytest.raises(ArtifactError, match="crashed on it"):
            try_load(tmp_path / "x.onnx", "onnxruntime")

    def test_an_engine_that_hangs(self, tmp_path, monkeypatch):
        self.plant(tmp_path, monkeypatch, "import time; time.sleep(60)")
        with pytest.raises(ArtifactError, match=r"did not finish loading it within 1 s"):
            try_load(tmp_path / "x.onnx", "onnxruntime", timeout_s=1)

    def test_modules_beside_the_model_are_not_imported(self, linear_models, tmp_path, monkeypatch):
        """Modules in the folder of an unpacked model are not imported."""
        shutil.copy(linear_models["float32.onnx"], tmp_path / "x.onnx")
        for name in ("json", "numpy", "onnxruntime", "fmnist_edge"):
            (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
        monkeypatch.chdir(tmp_path)
        try_load("x.onnx", "onnxruntime")
        code = "import sys; sys.exit('' in sys.path)"
        assert subprocess.run([sys.executable, "-c", code], env=child_environment(), check=False).returncode == 0
        assert not (tmp_path / "ran").exists()

    def test_the_message_has_the_given_path(self, tmp_path, monkeypatch):
        (tmp_path / "x.onnx").write_bytes(b"x")
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ArtifactError, match=r"^x\.onnx: ONNX Runtime refuses"):
            try_load("x.onnx", "onnxruntime")

    def plant(self, folder, monkeypatch, code):
        """Write a module that the child imports in place of onnxruntime."""
        (folder / "x.onnx").write_bytes(b"x")
        (folder / "sitecustomize.py").write_text(f"import sys\nif 'fmnist_edge.worker' in sys.orig_argv:\n    {code}\n")
        monkeypatch.setenv("PYTHONPATH", str(folder))

    def test_a_verified_file_is_not_tried(self, linear_models, monkeypatch):
        monkeypatch.setattr("fmnist_edge.runtime.loading.try_load", lambda *_, **__: pytest.fail("tried"))
        Classifier.load(linear_models["float32.onnx"]).close()

    def test_a_verified_file_is_tried_with_try_first(self, tmp_path):
        """A well-formed file with an invalid operand. LiteRT 2.3 crashes on it."""
        content = (ROOT / "tests/hostile/litert-2.3-sigsegv.tflite").read_bytes()
        hostile = with_manifest(tmp_path / "x.tflite", content, Contract((28, 28, 1), "logits", fashion_mnist.LABELS))
        refused(hostile, "x.tflite", try_first=True)

    @pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_DATA")
    def test_a_file_that_needs_too_much_memory_is_refused(self, tmp_path):
        from onnx import TensorProto, helper, numpy_helper

        size = numpy_helper.from_array(np.array([1 << 31], np.int64), "size")  # 8 GiB of float32
        info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("image", "scores")]
        nodes = [
            helper.make_node("ConstantOfShape", ["size"], ["huge"]),
            helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0),
            helper.make_node("Add", ["image", "sum"], ["scores"]),
        ]
        graph = helper.make_graph(nodes, "huge", info[:1], info[1:], [size])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        path = tmp_path / "huge.onnx"
        path.write_bytes(model.SerializeToString())
        with pytest.raises(ArtifactError, match=r"huge\.onnx: .*(refuses|cannot run|crashed)"):
            try_load(path, "onnxruntime")
