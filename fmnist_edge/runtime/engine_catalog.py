"""Every engine as one record: what it runs, where, how it is got, and what is asked of it.

An engine is a file in `engines/` and a record here. The first record that names a suffix is its default engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmnist_edge.errors import InputError, UnavailableError
from fmnist_edge.lookup import Catalog, load

if TYPE_CHECKING:
    from fmnist_edge.runtime.engine import Engine

__all__ = ["CPU", "ENGINES", "GPU", "EngineRecord", "engines_for", "engines_on", "shipped", "suffixes"]

CPU, GPU = "cpu", "gpu"  # the part of a machine that an engine runs on


@dataclass(frozen=True)
class EngineRecord:
    """What is known of an engine before it is imported.

    Attributes:
        implementation: "module:class".
        title: the library's name, as its users know it.
        install: the command that gets it.
        suffixes: of the files it runs.
        settings: keyword arguments of the class, beyond path and threads.
        target: CPU, or GPU, where it runs only when it is named.
        requirement: what pip is asked for on a device, by range; None where no device is given this engine.
        shipped: whether a bundle for a device has it without being asked.
        timed: whether `bench` times it without being asked.
        compared: whether `matrix` runs it without being asked.
        slow: takes 10 to 20 ms an image, so that `matrix` gives it fewer images.
        witness: one of those whose difference from the default engine sets the tolerance of golden vectors. They round
            each in its own way, and none of them is wrong.
        survives_fork: whether a forked child can load the model again.
        process_threads: the number of threads is the process's and not the engine's.
        own_environment: needs packages that the other engines cannot live with.
    """

    name: str
    implementation: str
    title: str
    install: str
    suffixes: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    target: str = CPU
    requirement: str | None = None
    shipped: bool = False
    timed: bool = False
    compared: bool = True
    slow: bool = False
    witness: bool = False
    survives_fork: bool = True
    process_threads: bool = False
    own_environment: bool = False

    def load(self, path: str | Path, threads: int | None = None) -> Engine:
        """The engine with the model file at `path` loaded; `threads=None` leaves the engine's own default.

        Raises UnavailableError when the engine is not installed, ArtifactError when it refuses the file.
        """
        try:
            engine: Engine = load(self.implementation)(str(path), threads, **self.settings)
        except ImportError as error:
            if (error.name or "").partition(".")[0] == "fmnist_edge":
                raise  # a fault of ours
            raise UnavailableError(f"{self.title} is not installed; run: {self.install}") from None
        engine.name, engine.survives_fork = self.name, self.survives_fork
        return engine


LITERT: dict[str, Any] = {"title": "LiteRT", "install": "pip install ai-edge-litert", "suffixes": (".tflite",)}
LITERT_RANGE = "ai-edge-litert>=2.1,<3"
ONNX: dict[str, Any] = {"title": "ONNX Runtime", "install": "pip install onnxruntime", "suffixes": (".onnx",)}
ONNX_RANGE = "onnxruntime>=1.19,<2"
CUDA: dict[str, Any] = {
    **ONNX,
    "install": "pip install 'onnxruntime-gpu[cuda,cudnn]', in an environment of its own",
    "target": GPU,
    "survives_fork": False,
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
}

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
        # Its LOCAL_RESPONSE_NORMALIZATION leaves the last channel of each window out (LiteRT 2.3), as no other does.
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
            title="tflite-runtime",
            install="pip install tflite-runtime 'numpy<2', in an environment of its own",
            suffixes=(".tflite",),
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
            survives_fork=False,  # its threads are not in the child, and a new model waits for them
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
            **LITERT,
            target=GPU,
            survives_fork=False,
        ),
        EngineRecord("ncnn-vulkan", "fmnist_edge.runtime.engines.ncnn:NcnnVulkanEngine", **NCNN, target=GPU),
    ),
)


def engines_on(target: str) -> tuple[str, ...]:
    """Names of the engines that run on `target`."""
    return tuple(name for name, record in ENGINES.items() if record.target == target)


def shipped() -> tuple[str, ...]:
    """Names of the engines that a device is given without asking: what one would ship; peers when they are named."""
    return tuple(name for name, record in ENGINES.items() if record.shipped)


def suffixes() -> tuple[str, ...]:
    """Of the files that any engine runs."""
    return tuple(dict.fromkeys(suffix for record in ENGINES.values() for suffix in record.suffixes))


def engines_for(path: Path, target: str = CPU) -> tuple[str, ...]:
    """Names of the engines that can run `path` on `target`, by its suffix, the default one first; none where none can.

    Raises InputError for a suffix that no engine knows.
    """
    if path.suffix not in suffixes():
        raise InputError(f"{path}: unknown suffix {path.suffix!r}; expected {' or '.join(suffixes())}")
    return tuple(name for name in engines_on(target) if path.suffix in ENGINES[name].suffixes)
