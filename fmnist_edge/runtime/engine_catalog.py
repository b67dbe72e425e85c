"""The engines, a file in `engines/` and a record here for each. The first with a suffix is its default engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmnist_edge.errors import FmnistEdgeError, InputError, UnavailableError
from fmnist_edge.lookup import Catalog, load

if TYPE_CHECKING:
    from fmnist_edge.runtime.engine import Engine

__all__ = [
    "CPU", "ENGINES", "GPU", "EngineRecord", "engines_for", "engines_on", "is_artifact", "is_folder", "shipped",
    "suffixes",
]  # fmt: skip

CPU, GPU = "cpu", "gpu"  # targets


@dataclass(frozen=True)
class EngineRecord:
    """The facts about an engine that are known before it is imported.

    Attributes:
        implementation: "module:class".
        title, install: the library's usual name, and the command that installs it.
        suffixes: suffixes of the files it runs.
        settings: keyword arguments of the class, besides path and threads.
        target: CPU or GPU. GPU engines run only when they are named.
        requirement: the pip requirement, with a version range, for devices; None for an engine not installed there.
        shipped: whether it is in a device bundle by default.
        timed, compared: whether `bench` times it, and whether `matrix` runs it, by default.
        slow: whether it takes 10 to 20 ms per image; `matrix` gives it fewer images.
        witness: whether the tolerance of golden vectors comes from it: it rounds otherwise, and is correct too.
        survives_fork: whether a forked child can load the model again.
        process_threads: whether the number of threads is set for the whole process, not for one engine.
        own_environment: whether it needs packages that conflict with other engines.
        folders: whether its artifacts are folders, see `runtime.folder`.
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
    folders: bool = False
    several: bool = False  # whether it runs models with several inputs or outputs

    def load(self, path: str | Path, threads: int | None = None) -> Engine:
        """Load the model file at `path`; `threads=None` leaves the engine's default.

        Raises UnavailableError when the engine is not installed or cannot be imported, ArtifactError when it refuses
        the file.
        """
        try:
            engine: Engine = load(self.implementation)(str(path), threads, **self.settings)
        except FmnistEdgeError:
            raise
        except Exception as error:  # engines raise their own exception classes
            missing = (error.name or "") if isinstance(error, ImportError) else ""
            ours = missing.partition(".")[0] == "fmnist_edge"
            if ours and missing == self.implementation.partition(":")[0]:  # left out of the wheel for devices
                raise UnavailableError(
                    f"{self.title} is not in this package; run: pip uninstall fmnist-edge-runtime; pip install "
                    "fmnist-edge"
                ) from None
            if ours:
                raise  # a bug of ours, nothing to install
            from fmnist_edge.runtime.engine_failures import meaning

            raise meaning(error, path, self.title, self.install) from error
        engine.name, engine.survives_fork = self.name, self.survives_fork
        return engine


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
