"""GPU engines: on software Vulkan where it is available, and without any driver."""

import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from support import lavapipe
from support.bench_models import write, write_onnx, write_tflite
from support.installed import needs
from support.linear import linear_ncnn

from fmnist_edge.benchmark import cells, loop, process, results, suite, tables
from fmnist_edge.benchmark.plan import Plan
from fmnist_edge.cli import main
from fmnist_edge.errors import FileError, UnavailableError
from fmnist_edge.report import runs
from fmnist_edge.runtime.engine_catalog import GPU, engines_on
from fmnist_edge.runtime.engines import cuda, onnxruntime_cuda
from fmnist_edge.runtime.engines.compiled_model import placement_from

TINY = Plan("tiny", 1, 0, 0, min_queries=3, warm_up_runs=2, warm_up_seconds=0, threads=(1,))
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 28, 28), np.uint8)
NEEDS = {
    "onnxruntime-webgpu": "onnxruntime_ep_webgpu",
    "ncnn-vulkan": "ncnn",
    "litert-gpu": "ai_edge_litert",
    "onnxruntime-cuda": "onnxruntime",
    "onnxruntime-cuda-graph": "onnxruntime",
}
FILES = {"onnxruntime": "float32.onnx", "ncnn": "float32.ncnn", "litert": "float32.tflite"}
# The log of onnxruntime-gpu 1.31 without CUDA's libraries.
LOGGED = (
    "[E:onnxruntime:Default, provider_bridge_ort.cc:2458 operator()] Failed to load library "
    "libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared object file: No such file or "
    "directory\n[W:onnxruntime:Default] Failed to create CUDAExecutionProvider. Require cuDNN 9.* and CUDA 13.*.\n"
)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "linear"
    write(folder / "float32.ncnn", linear_ncnn())
    return {name: folder / name for name in ("float32.ncnn", write_onnx(folder / "float32.onnx").name)} | {
        "float32.tflite": write_tflite(folder / "float32.tflite")
    }


def model_for(models, engine):
    return models[FILES[engine.partition("-")[0]]]


@pytest.fixture
def software(monkeypatch):
    """Child processes see lavapipe as the only Vulkan driver."""
    found = lavapipe.environment()
    if isinstance(found, str):
        pytest.skip(found)
    for name, value in found.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def no_driver(monkeypatch):
    """Child processes see no Vulkan driver."""
    monkeypatch.setenv("VK_ICD_FILENAMES", os.devnull)
    monkeypatch.setenv("VK_DRIVER_FILES", os.devnull)


@pytest.fixture(autouse=True)
def no_idle_second(monkeypatch):
    monkeypatch.setattr(suite, "IDLE_S", 0.01)


def engines(*names):
    return [pytest.param(name, marks=needs(NEEDS[name])) for name in names]


def measured(path, engine, out):
    made = cells.cells_for([path], (1,), [engine])
    return suite.run(suite.begin(made, IMAGES, TINY, out, calibrated=False))


def request_for(path, engine, tmp_path, **changes):
    np.save(tmp_path / "images.npy", IMAGES)
    values = {
        "threads": 1, "batch": 1, "seconds": 0, "end_to_end_seconds": 0, "min_queries": 3, "warm_up_runs": 2,
        "warm_up_seconds": 0,
    }  # fmt: skip
    return loop.Request(artifact=str(path), engine=engine, images=str(tmp_path / "images.npy"), **{**values, **changes})


def lrn_tflite(path):
    """A model with an op that no GPU engine supports."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from TensorFlow
        import keras
        import tensorflow as tf

        class Lrn(keras.layers.Layer):
            def call(self, values):
                return tf.nn.local_response_normalization(values)

        inputs = keras.Input((28, 28, 1), batch_size=1)
        values = keras.layers.Flatten()(Lrn()(keras.layers.Conv2D(2, 3)(inputs)))
        model = keras.Model(inputs, keras.layers.Dense(10)(values))
        return write(path, tf.lite.TFLiteConverter.from_keras_model(model).convert())


@pytest.mark.slow
class TestOnSoftware:
    @pytest.mark.parametrize("engine", engines("onnxruntime-webgpu", "litert-gpu", "ncnn-vulkan"))
    def test_same_answers_as_the_cpu_and_no_latency(self, software, models, tmp_path, engine):
        result = measured(model_for(models, engine), engine, tmp_path)
        (cell,) = result["cells"]
        assert (cell["status"], cell["reason"], cell["target"]) == ("ok", None, "gpu")
        assert cell["placement"]["software"] is True and "llvmpipe" in cell["placement"]["device"]
        assert cell["parity"]["passed"] and cell["parity"]["images"] == len(IMAGES) and not cell["placement"]["on_cpu"]
        assert len(cell["rounds"]) == 1 and cell["rounds"][0]["first_ns"] > 0 and cell["rounds"][0]["device"] is None
        assert not tables.rows(result) and not tables.has_failures(result)
        assert (
            f"software: {engine}: llvmpipe" in tables.unmeasured(result)[0]
            and "latency is not shown" in tables.unmeasured(result)[0]
        )
        assert "software device" in {reason["rule"] for reason in cell["verdict"]["reasons"]}
        with pytest.raises(FileError, match="no measured cell"):
            runs.read([tmp_path])

    @needs("ai_edge_litert")
    def test_ops_on_the_cpu_are_counted_and_make_it_partial(self, software, tmp_path):
        result = measured(lrn_tflite(tmp_path / "linear/float32.tflite"), "litert-gpu", tmp_path / "out")
        (cell,) = result["cells"]
        assert cell["status"] == "partial" and "ran on the CPU" in cell["reason"]
        assert "LOCAL_RESPONSE_NORMALIZATION" in cell["reason"] and not tables.has_failures(result)
        assert 0 < sum(cell["placement"]["on_cpu"].values()) < cell["placement"]["ops"]

    def test_the_vulkan_loader_lists_it(self, software):
        code = (
            "from fmnist_edge.runtime.engines import vulkan as v;print([(d.name[:8], d.software) for d in v.devices()])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[('llvmpipe', True)]"


class TestWithout:
    @pytest.mark.parametrize("engine", engines(*engines_on(GPU)))
    def test_without_a_gpu_every_engine_is_unavailable_with_a_reason(self, no_driver, models, tmp_path, engine):
        if engine.startswith("onnxruntime-cuda") and has_cuda():
            pytest.skip("this machine has CUDA")
        path = model_for(models, engine)
        reply = process.run_child(request_for(path, engine, tmp_path, memory=True))
        assert reply["status"] == "unavailable", reply
        reason = reply["reason"]
        assert "\n" not in reason and ("finds no GPU" in reason or "without CUDA" in reason or "NVIDIA" in reason)

    def test_a_missing_engine_says_what_to_install(self, models, tmp_path, monkeypatch):
        for engine, module in NEEDS.items():
            blocked = tmp_path / engine
            blocked.mkdir()
            (blocked / f"{module}.py").write_text(f"raise ImportError('blocked', name='{module}')")
            monkeypatch.setenv("PYTHONPATH", str(blocked))
            reply = process.run_child(request_for(model_for(models, engine), engine, tmp_path, memory=True))
            assert reply["status"] == "unavailable" and "pip install" in reply["reason"], reply

    def test_no_driver_no_devices(self, no_driver):
        code = "from fmnist_edge.runtime.engines import vulkan; print(vulkan.devices())"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"

    def test_cuda_distinguishes_a_missing_driver_and_a_missing_library(self, monkeypatch):
        monkeypatch.setattr(cuda, "DRIVER", "libcuda-is-not-here.so.1")
        with pytest.raises(UnavailableError, match=r"no NVIDIA driver .*libcuda-is-not-here"):
            cuda.Cuda()
        assert "libcublasLt.so.13 is missing; in an environment" in onnxruntime_cuda.load_failure(LOGGED)
        assert "Require cuDNN 9" in onnxruntime_cuda.load_failure(LOGGED.splitlines()[1])
        assert "no reason given" in onnxruntime_cuda.load_failure("")

    def test_a_session_on_the_cpu_does_not_count_as_cuda(self, models, monkeypatch):
        import onnxruntime

        class Driver:
            name, stream = "a GPU", 0

        monkeypatch.setattr(onnxruntime_cuda, "Cuda", Driver)
        # An onnxruntime without CUDA that claims to have it.
        monkeypatch.setattr(onnxruntime_cuda, "cuda_onnxruntime", lambda: onnxruntime)
        with warnings.catch_warnings(), pytest.raises(UnavailableError, match="cannot use CUDA"):
            warnings.simplefilter("ignore")  # ONNX Runtime's warning about the provider that it leaves out
            onnxruntime_cuda.OnnxRuntimeCudaEngine(str(models["float32.onnx"]), 1)

    def test_litert_with_all_ops_on_the_cpu_does_not_count_as_a_gpu(self):
        with pytest.raises(UnavailableError, match="runs no op of this model on the GPU"):
            placement_from("INFO: Created TensorFlow Lite XNNPACK delegate for CPU.", True, {})

    def test_real_and_software_gpus_are_distinguished(self):
        said = "Selected adapter: NVIDIA T4, arch=turing, vendor=nvidia, backend=Vulkan, adapterType=Discrete GPU"
        assert not placement_from(said, True, {}).software
        assert placement_from(said.replace("Discrete GPU", "CPU / Software"), True, {}).software


def has_cuda():
    try:
        cuda.Cuda()
    except UnavailableError:
        return False
    return True


class TestCommand:
    def test_the_target_chooses_engines_plan_and_batches(self, no_driver, models, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        asked = []
        monkeypatch.setattr(suite, "begin", lambda *given, **more: asked.append(given) or pytest.skip.Exception)
        monkeypatch.setattr("fmnist_edge.commands.bench.measure", lambda session, *_, **__: 0)
        assert main(["bench", str(models["float32.onnx"]), "--target", "gpu"]) == 0
        made, _, plan, _ = asked[0]
        assert plan.name == "gpu" and plan.batches == (1, 8, 32, 128)
        assert [cell.engine for cell in made] == ["onnxruntime-cuda", "onnxruntime-cuda-graph", "onnxruntime-webgpu"]
        assert {cell.target for cell in made} == {"gpu"}
        assert main(["bench", str(models["float32.onnx"]), "--target", "gpu", "--engine", "onnxruntime"]) == 2
        assert "onnxruntime does not run on the GPU; choose from: onnxruntime-cuda, " in capsys.readouterr().err
        assert main(["bench", "--resume", "a.partial.jsonl", "--target", "gpu"]) == 2
        assert "--target: cannot be used with --resume" in capsys.readouterr().err

    def test_without_an_engine_it_says_what_to_install(self, no_driver, models, tmp_path, monkeypatch, capsys):
        (tmp_path / "tiny.toml").write_text("\n".join(f"{k} = {json.dumps(v)}" for k, v in PLAN.items()))
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(suite, "calibrate", lambda threads: {"threads": {}})
        command = ["bench", str(models["float32.tflite"]), "--target", "gpu", "--plan", "tiny.toml"]
        assert main(command) == 3
        assert "unavailable: litert-gpu: " in capsys.readouterr().out
        (file,) = tmp_path.glob("benchmarks/results/*/*")
        assert results.load(file)["cells"][0]["status"] == "unavailable"


PLAN = {
    "rounds": 1, "seconds": 0, "end_to_end_seconds": 0, "min_queries": 3, "warm_up_runs": 2, "warm_up_seconds": 0,
    "threads": [1],
}  # fmt: skip
