"""The engine for `.onnx` files: ONNX Runtime with its WebGPU plugin, on a GPU through Vulkan, Direct3D 12 or Metal."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.errors import ArtifactError, UnavailableError
from fmnist_edge.runtime.engine import Engine
from fmnist_edge.runtime.engines import vulkan
from fmnist_edge.runtime.engines.native_output import captured_output
from fmnist_edge.runtime.engines.onnx_gpu_session import ASSIGNMENT, ops_by_provider, specs
from fmnist_edge.runtime.engines.onnx_session import SILENT, import_onnxruntime, reason
from fmnist_edge.runtime.placement import Placement

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["OnnxRuntimeWebGpuEngine"]

PROVIDER = "WebGpuExecutionProvider"
# Environment variable; "1" allows a software device.
SOFTWARE_VARIABLE = "ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER"
NO_GPU = "WebGPU finds no GPU (no Vulkan driver that it can use)"
OPTIONS = "ep.webgpuexecutionprovider."


class OnnxRuntimeWebGpuEngine(Engine):
    """ONNX Runtime with its WebGPU plugin. `run` copies the answer back before it returns."""

    options: dict[str, str] = {}  # noqa: RUF012  (options of the plugin, without the prefix OPTIONS)

    def __init__(self, path: str, threads: int | None = None) -> None:
        onnxruntime = import_onnxruntime()
        import onnxruntime_ep_webgpu as plugin

        self.version = f"onnxruntime {onnxruntime.__version__}, onnxruntime-ep-webgpu {version_of_plugin()}"
        options = onnxruntime.SessionOptions()
        options.log_severity_level = SILENT
        options.add_session_config_entry(ASSIGNMENT, "1")
        if threads is not None:
            options.intra_op_num_threads = threads
        with open(path, "rb") as file:
            content = file.read()
        with captured_output():  # hides Dawn's warnings; failures raise exceptions
            device = find_device(onnxruntime, plugin)
            options.add_provider_for_devices([device], {OPTIONS + key: value for key, value in self.options.items()})
            try:
                session = onnxruntime.InferenceSession(content, options, enable_fallback=0)
            except Exception as error:  # the only common base of its exceptions
                if "adapter" in str(error) or "webgpu_context" in str(error):
                    raise UnavailableError(NO_GPU) from None
                raise ArtifactError(f"{path}: ONNX Runtime refuses the file ({reason(error, self.version)})") from None
            self.placement = placement_of(session, device)
        self._session = session
        self.input, self.output = specs(session, path)
        self._names = [self.output.name], self.input.name

    def run(self, batch: np.ndarray) -> np.ndarray:
        outputs, name = self._names
        return self._session.run(outputs, {name: batch})[0]

    def close(self) -> None:
        self._session = None


def version_of_plugin() -> str:
    from importlib import metadata

    return metadata.version("onnxruntime-ep-webgpu")


def find_device(onnxruntime: ModuleType, plugin: ModuleType) -> onnxruntime.OrtEpDevice:
    """A device of the plugin, a GPU if there is one. Raises UnavailableError when there is no device."""
    known = {device.ep_name for device in onnxruntime.get_ep_devices()}
    if PROVIDER not in known:
        onnxruntime.register_execution_provider_library(PROVIDER, plugin.get_library_path())
    offered = [device for device in onnxruntime.get_ep_devices() if device.ep_name == PROVIDER]
    if not offered:
        raise UnavailableError(f"{NO_GPU}; a software one needs {SOFTWARE_VARIABLE}=1")
    return max(offered, key=lambda device: device.device.type == onnxruntime.OrtHardwareDeviceType.GPU)


def placement_of(session: onnxruntime.InferenceSession, device: onnxruntime.OrtEpDevice) -> Placement:
    """The placement. Raises UnavailableError when no op runs on the GPU."""
    ops = ops_by_provider(session)
    if PROVIDER not in ops:
        raise UnavailableError("ONNX Runtime runs no op of this model on WebGPU")
    count = sum(sum(kinds.values()) for kinds in ops.values())
    on_cpu = {kind: number for name, kinds in ops.items() if name != PROVIDER for kind, number in kinds.items()}
    # The plugin does not name its device. It prefers a GPU, so it uses a software device only when there is no other.
    found = vulkan.devices()
    chosen = next((item for item in found if not item.software), found[0] if found else None)
    name = chosen.name if chosen else f"{device.device.vendor} {device.device.device_id:#06x}"
    return Placement(name, chosen is not None and chosen.software, on_cpu, count)
