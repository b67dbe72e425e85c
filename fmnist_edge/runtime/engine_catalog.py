"""The engines, a file in `engines/` and a record here for each. The first with a suffix is its default engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fmnist_edge.errors import InputError
from fmnist_edge.lookup import Catalog
from fmnist_edge.runtime.engine_record import BROWSER, CPU, GPU, TARGETS, EngineRecord

__all__ = [
    "BROWSER", "CPU", "ENGINES", "GPU", "TARGETS", "EngineRecord", "engines_for", "engines_on", "is_artifact",
    "is_folder", "shipped", "suffixes",
]  # fmt: skip

TFLITE: dict[str, Any] = {"suffixes": (".tflite",), "several": True}
LITERT: dict[str, Any] = {"title": "LiteRT", "install": "pip install ai-edge-litert", **TFLITE}
LITERT_RANGE = "ai-edge-litert>=2.1,<3"
ONNX_FILES: dict[str, Any] = {"suffixes": (".onnx",), "several": True}
ONNX: dict[str, Any] = {"title": "ONNX Runtime", "install": "pip install onnxruntime", **ONNX_FILES}
ONNX_RANGE = "onnxruntime>=1.19,<2"
CUDA: dict[str, Any] = {
    **ONNX,
    "install": "pip install 'onnxruntime-gpu[cuda,cudnn]', in an environment of its own",
    "target": GPU,
    "survives_fork": False,
    "several": False,
}
NCNN: dict[str, Any] = {
    "title": "ncnn",
    "install": "pip install ncnn",
    "suffixes": (".ncnn",),
    "requirement": "ncnn>=1.0.20261020,<2",
    "survives_fork": False,
}
KERAS: dict[str, Any] = {
    "title": "Keras",
    "install": "pip install 'fmnist-edge[export]'",
    "suffixes": (".keras",),
    "timed": True,
    "survives_fork": False,
    "process_threads": True,
    "several": True,
}


BROWSER_ENGINE: dict[str, Any] = {
    "implementation": "fmnist_edge.runtime.engines.browser:BrowserEngine",
    "target": BROWSER,
    "survives_fork": False,
}
NPM = "npm install --prefix DIR "
ORT_WEB, LITERT_JS = "onnxruntime-web@1.30.0", "@litertjs/core@2.5.3 @litertjs/wasm-utils@2.5.3"

ENGINES: Catalog[EngineRecord] = Catalog(
    "engine",
    (
        EngineRecord(
            "litert",
            "fmnist_edge.runtime.engines.litert:LiteRTEngine",
            **LITERT,
            requirement=LITERT_RANGE,
            shipped=True,
            timed=True,
        ),
        EngineRecord(
            "litert-builtin",
            "fmnist_edge.runtime.engines.litert:LiteRTEngine",
            **LITERT,
            settings={"kernels": "BUILTIN_WITHOUT_DEFAULT_DELEGATES"},
            requirement=LITERT_RANGE,
            shipped=True,
            timed=True,
            witness=True,
        ),
        # Its LOCAL_RESPONSE_NORMALIZATION omits the last channel of each window (LiteRT 2.3); no other engine does.
        EngineRecord(
            "litert-reference",
            "fmnist_edge.runtime.engines.litert:LiteRTEngine",
            **LITERT,
            settings={"kernels": "BUILTIN_REF"},
            requirement=LITERT_RANGE,
            compared=False,
            slow=True,
        ),
        EngineRecord(
            "litert-compiled",
            "fmnist_edge.runtime.engines.compiled_model:CompiledModelEngine",
            title="LiteRT with CompiledModel",
            install="pip install 'ai-edge-litert>=2.1'",
            suffixes=(".tflite",),
            requirement=LITERT_RANGE,
        ),
        EngineRecord(
            "tflite-runtime",
            "fmnist_edge.runtime.engines.litert:LiteRTEngine",
            **TFLITE,
            title="tflite-runtime",
            install="pip install tflite-runtime 'numpy<2', in an environment of its own",
            settings={"packages": ("tflite_runtime",)},
            own_environment=True,
        ),
        EngineRecord(
            "tflite-micro",
            "fmnist_edge.runtime.engines.tflite_micro:TFLiteMicroEngine",
            title="tflite-micro",
            install="pip install --pre tflite-micro",
            suffixes=(".tflite",),
            slow=True,
        ),
        EngineRecord(
            "numpy",
            "fmnist_edge.runtime.engines.numpy.engine:NumpyEngine",
            title="NumPy",
            install="pip install numpy",
            suffixes=(".tflite",),
            requirement="numpy>=1.24,<3",
            witness=True,
        ),
        EngineRecord(
            "onnxruntime",
            "fmnist_edge.runtime.engines.onnxruntime:OnnxRuntimeEngine",
            **ONNX,
            requirement=ONNX_RANGE,
            shipped=True,
            timed=True,
        ),
        EngineRecord(
            "onnxruntime-extended",
            "fmnist_edge.runtime.engines.onnxruntime:OnnxRuntimeEngine",
            **ONNX,
            settings={"level": "ORT_ENABLE_EXTENDED"},
            requirement=ONNX_RANGE,
        ),
        EngineRecord(
            "onnxruntime-basic",
            "fmnist_edge.runtime.engines.onnxruntime:OnnxRuntimeEngine",
            **ONNX,
            settings={"level": "ORT_ENABLE_BASIC"},
            requirement=ONNX_RANGE,
        ),
        EngineRecord(
            "onnxruntime-disabled",
            "fmnist_edge.runtime.engines.onnxruntime:OnnxRuntimeEngine",
            **ONNX,
            settings={"level": "ORT_DISABLE_ALL"},
            requirement=ONNX_RANGE,
            witness=True,
        ),
        EngineRecord(
            "openvino",
            "fmnist_edge.runtime.engines.openvino:OpenVINOEngine",
            title="OpenVINO",
            install="pip install openvino",
            suffixes=(".onnx", ".tflite"),
            requirement="openvino>=2026.4",
            timed=True,
            survives_fork=False,  # a new model in the child waits for threads of the parent
        ),
        EngineRecord("ncnn", "fmnist_edge.runtime.engines.ncnn:NcnnEngine", **NCNN, timed=True),
        EngineRecord(
            "mnn",
            "fmnist_edge.runtime.engines.mnn:MNNEngine",
            title="MNN",
            install="pip install MNN",
            suffixes=(".mnn",),
            requirement="MNN>=3.6,<4",
            timed=True,
            survives_fork=False,
        ),
        # It compiles sources, so it is not in a bundle.
        EngineRecord(
            "c",
            "fmnist_edge.runtime.engines.c:CEngine",
            title="a C compiler",
            install="apt-get install gcc libc6-dev",
            suffixes=(".c",),
            timed=True,
            folders=True,
        ),
        # It starts Node, so it is not in a bundle either. A pipe costs more than a small model, so it is not timed.
        EngineRecord(
            "web",
            "fmnist_edge.runtime.engines.web:WebEngine",
            title="Node",
            install="apt-get install nodejs",
            suffixes=(".web",),
            folders=True,
            programs=("node", "nodejs"),
        ),
        EngineRecord("keras-predict", "fmnist_edge.runtime.engines.keras:KerasPredictEngine", **KERAS),
        EngineRecord("keras-call", "fmnist_edge.runtime.engines.keras:KerasCallEngine", **KERAS),
        EngineRecord("keras-function", "fmnist_edge.runtime.engines.keras:KerasFunctionEngine", **KERAS),
        EngineRecord("onnxruntime-cuda", "fmnist_edge.runtime.engines.onnxruntime_cuda:OnnxRuntimeCudaEngine", **CUDA),
        EngineRecord(
            "onnxruntime-cuda-graph",
            "fmnist_edge.runtime.engines.onnxruntime_cuda:OnnxRuntimeCudaEngine",
            **CUDA,
            settings={"graph": True},
        ),
        EngineRecord(
            "onnxruntime-webgpu",
            "fmnist_edge.runtime.engines.onnxruntime_webgpu:OnnxRuntimeWebGpuEngine",
            title="ONNX Runtime with its WebGPU plugin",
            install="pip install onnxruntime onnxruntime-ep-webgpu",
            suffixes=(".onnx",),
            target=GPU,
            survives_fork=False,
        ),
        EngineRecord(
            "litert-gpu",
            "fmnist_edge.runtime.engines.compiled_model:LiteRTGpuEngine",
            **{**LITERT, "several": False},
            target=GPU,
            survives_fork=False,
        ),
        EngineRecord("ncnn-vulkan", "fmnist_edge.runtime.engines.ncnn:NcnnVulkanEngine", **NCNN, target=GPU),
        EngineRecord(
            "web-browser",
            title="Chromium",
            install="apt-get install chromium",
            suffixes=(".web",),
            settings={"module": "web"},
            folders=True,
            **BROWSER_ENGINE,
        ),
        EngineRecord(
            "onnxruntime-web",
            title="ONNX Runtime Web",
            install=NPM + ORT_WEB,
            suffixes=(".onnx",),
            settings={"module": "onnxruntime", "npm": ORT_WEB},
            **BROWSER_ENGINE,
        ),
        EngineRecord(
            "litert-web",
            title="LiteRT.js",
            install=NPM + LITERT_JS,
            suffixes=(".tflite",),
            settings={"module": "litert", "npm": LITERT_JS},
            **BROWSER_ENGINE,
        ),
    ),
)


def engines_on(target: str) -> tuple[str, ...]:
    """Names of the engines that run on `target`."""
    return tuple(name for name, record in ENGINES.items() if record.target == target)


def shipped() -> tuple[str, ...]:
    """Names of the engines in a device bundle by default. Peer engines must be named."""
    return tuple(name for name, record in ENGINES.items() if record.shipped)


def suffixes() -> tuple[str, ...]:
    """The suffixes of all files that an engine can run."""
    return tuple(dict.fromkeys(suffix for record in ENGINES.values() for suffix in record.suffixes))


def is_folder(path: Path) -> bool:
    """Whether artifacts with the suffix of `path` are folders."""
    return any(record.folders for record in ENGINES.values() if path.suffix in record.suffixes)


def is_artifact(path: Path) -> bool:
    """Whether there is a file at `path`, or a folder if its suffix is that of folders."""
    return path.is_dir() if is_folder(path) else path.is_file()


def engines_for(path: Path, target: str = CPU) -> tuple[str, ...]:
    """Names of the engines that can run `path` on `target`, by its suffix, the default engine first; may be empty.

    Raises InputError for a suffix that no engine knows.
    """
    if path.suffix not in suffixes():
        raise InputError(f"{path}: unknown suffix {path.suffix!r}; expected {' or '.join(suffixes())}")
    return tuple(name for name in engines_on(target) if path.suffix in ENGINES[name].suffixes)
