"""Engines for `.ncnn` files: ncnn on the CPU, and on a GPU through Vulkan.

ncnn stores a network in two files. Our `.ncnn` file is an uncompressed ZIP of both: `model.param` (text) and
`model.bin` (weights). `unzip` restores the files that any ncnn program loads.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.errors import ArtifactError, UnavailableError, one_line
from fmnist_edge.runtime.engine import Engine, TensorSpec, single
from fmnist_edge.runtime.engines.native_output import captured_output
from fmnist_edge.runtime.placement import Placement
from fmnist_edge.worker.temporary import temporary_file

if TYPE_CHECKING:
    import ncnn

__all__ = ["BIN", "PARAM", "NcnnEngine", "NcnnVulkanEngine"]

PARAM, BIN = "model.param", "model.bin"
FLOAT16_WEIGHTS = (0x01306B47).to_bytes(4, "little")  # ncnn's tag before a layer's weights
SOFTWARE_GPU = 3  # ncnn's type of a GPU that a CPU emulates
SHAPE_HINT = re.compile(r" -23330=\S+")  # array parameter 30 of any layer
NO_COMPUTE = ("Input", "Split", "Noop")
FLOAT16_OPTIONS = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic")


class NcnnEngine(Engine):
    """ncnn on the CPU. One image per call, because ncnn has no batch axis.

    A file with float16 weights may be computed in float16 if the CPU can. ncnn's default allows this for every file.
    """

    def __init__(self, path: str, threads: int | None = None) -> None:
        import ncnn

        self.version = f"ncnn {ncnn.__version__}"
        param, weights = read(path)
        self._mat = ncnn.Mat
        self._net: ncnn.Net = ncnn.Net()
        options = self._net.opt
        if threads is not None:
            options.num_threads = threads
        for name in FLOAT16_OPTIONS:
            setattr(options, name, weights.startswith(FLOAT16_WEIGHTS))
        with captured_output() as printed:  # ncnn prints reasons of failures on stderr
            self._configure(ncnn)
            failed = self._net.load_param_mem(self._param_text(param)) or load_weights(self._net, weights)
            if failed:
                raise ArtifactError(f"{path}: {self.version} refuses the file ({reason(printed())})")
        self._check_placement(ncnn)
        shapes = shapes_of(self._net_with_shapes(ncnn, param))
        self.input = single(specs(self._net.input_names(), shapes, path), "input", path)
        self.output = single(specs(self._net.output_names(), shapes, path), "output", path)
        self._output_shape = self.output.shape[1:]

    def run(self, batch: np.ndarray) -> np.ndarray:
        extractor = self._net.create_extractor()
        extractor.input(self.input.name, self._mat(batch[0]))
        failed, answer = extractor.extract(self.output.name)
        if failed:  # the Mat is empty and must not be read
            raise ArtifactError(f"{self.version} failed on an image (code {failed})")
        scores = np.array(answer)  # a copy: the Mat is freed with the extractor
        if scores.shape != self._output_shape:
            raise ArtifactError(f"{self.version} returned {scores.shape} for an image; expected {self._output_shape}")
        return scores[None]

    def close(self) -> None:
        self._net = None

    def _configure(self, ncnn: ModuleType) -> None:
        """Set options before the network is loaded."""

    def _param_text(self, param: str) -> str:
        """The text that is loaded."""
        return param

    def _net_with_shapes(self, ncnn: ModuleType, param: str) -> ncnn.Net:
        """A network with the shape hints of the text."""
        return self._net

    def _check_placement(self, ncnn: ModuleType) -> None:
        """Find out the placement after the network is loaded."""


class NcnnVulkanEngine(NcnnEngine):
    """ncnn on its default GPU. Layers without a GPU implementation run on the CPU."""

    def _configure(self, ncnn: ModuleType) -> None:
        if not ncnn.get_gpu_count():
            raise UnavailableError("ncnn finds no GPU (no Vulkan driver)")
        self._net.opt.use_vulkan_compute = True
        self._net.set_vulkan_device(ncnn.get_default_gpu_index())

    def _param_text(self, param: str) -> str:
        """The text without shape hints. Vulkan layers size their shaders by the hints, and fail on an image when only
        some layers have hints, as in our files."""
        return SHAPE_HINT.sub("", param)

    def _net_with_shapes(self, ncnn: ModuleType, param: str) -> ncnn.Net:
        net = ncnn.Net()
        net.load_param_mem(param)
        return net

    def _check_placement(self, ncnn: ModuleType) -> None:
        info = ncnn.get_gpu_info(ncnn.get_default_gpu_index())
        layers = [layer for layer in self._net.layers() if layer.type not in NO_COMPUTE]
        on_cpu = Counter(layer.type for layer in layers if not layer.support_vulkan)
        if sum(on_cpu.values()) == len(layers):
            raise UnavailableError("ncnn runs no layer of this model on the GPU")
        half = {name: str(getattr(self._net.opt, name)).lower() for name in FLOAT16_OPTIONS}
        self.placement = Placement(info.device_name(), info.type() == SOFTWARE_GPU, dict(on_cpu), len(layers), half)


def read(path: str) -> tuple[str, bytes]:
    """(text of the network, weights). Raises ArtifactError when the file is not as export writes it."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if sorted(item.filename for item in entries) != sorted((PARAM, BIN)):
                raise zipfile.BadZipFile(f"expected exactly {PARAM} and {BIN} in it")
            if any(item.compress_type != zipfile.ZIP_STORED for item in entries):
                raise zipfile.BadZipFile("expected no compression")
            return archive.read(PARAM).decode("ascii"), archive.read(BIN)
    except (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise ArtifactError(f"{path}: not a .ncnn file ({one_line(error, 120)}); export the model again") from None


def load_weights(net: ncnn.Net, weights: bytes) -> int:
    """Load weights from a file; returns 0 on success. ncnn's loader from memory could read past the end."""
    with temporary_file("weights.bin", weights) as path:
        return net.load_model(str(path))


def shapes_of(net: ncnn.Net) -> dict[str, tuple[int, ...]]:
    return {blob.name: shape_of(blob.shape) for blob in net.blobs()}


def shape_of(hint: ncnn.Mat) -> tuple[int, ...]:
    """A blob's shape hint, outermost axis first; () when the file has none."""
    return {1: (hint.w,), 2: (hint.h, hint.w), 3: (hint.c, hint.h, hint.w)}.get(hint.dims, ())


def specs(names: list[str], shapes: dict[str, tuple[int, ...]], path: str) -> list[TensorSpec]:
    for name in names:
        if not shapes[name]:
            raise ArtifactError(f"{path}: has no shape for {name!r}; export the model again")
    return [TensorSpec(name, (1, *shapes[name]), "float32") for name in names]


def reason(printed: str) -> str:
    """The first line that ncnn printed, which is the cause. Further lines are its consequences."""
    return one_line(RuntimeError(printed.strip() or "no reason given"), 120)
