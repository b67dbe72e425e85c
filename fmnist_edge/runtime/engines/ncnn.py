"""ncnn, for `.ncnn` files, on the CPU and on a GPU through Vulkan.

ncnn keeps a network in two files. A `.ncnn` file of ours is both in an uncompressed ZIP, as `model.param` (text) and
`model.bin` (weights): `unzip` gives what any ncnn program loads.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from typing import Any

import numpy as np

from fmnist_edge.errors import ArtifactError, UnavailableError, one_line
from fmnist_edge.runtime.engine import Engine, TensorSpec, single
from fmnist_edge.runtime.engines.native_output import collected
from fmnist_edge.runtime.placement import Placement
from fmnist_edge.worker.temporary import temporary_file

__all__ = ["BIN", "PARAM", "NcnnEngine", "NcnnVulkanEngine"]

PARAM, BIN = "model.param", "model.bin"
FLOAT16_WEIGHTS = (0x01306B47).to_bytes(4, "little")  # ncnn's tag before a layer's weights
SOFTWARE = 3  # ncnn's type of a GPU that is a CPU
HINT = re.compile(r" -23330=\S+")  # array parameter 30 of any layer
NO_WORK = ("Input", "Split", "Noop")
HALF = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic")


class NcnnEngine(Engine):
    """One image a call, as ncnn has no batch axis.

    A file with float16 weights may be computed in float16 where the CPU can, which is ncnn's default for every file.
    """

    def __init__(self, path: str, threads: int | None = None) -> None:
        import ncnn

        self.version = f"ncnn {ncnn.__version__}"
        param, weights = read(path)
        self._mat = ncnn.Mat
        self._net: Any = ncnn.Net()
        options = self._net.opt
        if threads is not None:
            options.num_threads = threads
        for name in HALF:
            setattr(options, name, weights.startswith(FLOAT16_WEIGHTS))
        with collected() as said:  # it gives its reasons on stderr
            self._prepare(ncnn)
            failed = self._net.load_param_mem(self._graph(param)) or load_weights(self._net, weights)
            if failed:
                raise ArtifactError(f"{path}: {self.version} refuses the file ({reason(said())})")
        self._look(ncnn)
        shapes = shapes_of(self._hinted(ncnn, param))
        self.input = single(specs(self._net.input_names(), shapes, path), "input", path)
        self.output = single(specs(self._net.output_names(), shapes, path), "output", path)
        self._answer = self.output.shape[1:]

    def run(self, batch: np.ndarray) -> np.ndarray:
        extractor = self._net.create_extractor()
        extractor.input(self.input.name, self._mat(batch[0]))
        failed, answer = extractor.extract(self.output.name)
        if failed:  # a Mat of nothing, which is not to be looked into
            raise ArtifactError(f"{self.version} failed on an image (code {failed})")
        scores = np.array(answer)  # a copy: the Mat goes with the extractor
        if scores.shape != self._answer:
            raise ArtifactError(f"{self.version} answered {scores.shape} for an image; expected {self._answer}")
        return scores[None]

    def close(self) -> None:
        self._net = None

    def _prepare(self, ncnn: Any) -> None:
        """Before the network is loaded."""

    def _graph(self, param: str) -> str:
        """The text to load."""
        return param

    def _hinted(self, ncnn: Any, param: str) -> Any:
        """A network that has the text's shape hints."""
        return self._net

    def _look(self, ncnn: Any) -> None:
        """After it is."""


class NcnnVulkanEngine(NcnnEngine):
    """On the first GPU that ncnn would choose; layers that it has not there run on the CPU."""

    def _prepare(self, ncnn: Any) -> None:
        if not ncnn.get_gpu_count():
            raise UnavailableError("ncnn finds no GPU (no Vulkan driver)")
        self._net.opt.use_vulkan_compute = True
        self._net.set_vulkan_device(ncnn.get_default_gpu_index())

    def _graph(self, param: str) -> str:
        """Without shape hints: Vulkan's layers size their shaders by them, and fail on an image where some layers have
        hints and others none, as in our files."""
        return HINT.sub("", param)

    def _hinted(self, ncnn: Any, param: str) -> Any:
        net = ncnn.Net()
        net.load_param_mem(param)
        return net

    def _look(self, ncnn: Any) -> None:
        info = ncnn.get_gpu_info(ncnn.get_default_gpu_index())
        layers = [layer for layer in self._net.layers() if layer.type not in NO_WORK]
        on_cpu = Counter(layer.type for layer in layers if not layer.support_vulkan)
        if sum(on_cpu.values()) == len(layers):
            raise UnavailableError("ncnn has none of this model's layers for the GPU; all would run on the CPU")
        half = {name: str(getattr(self._net.opt, name)).lower() for name in HALF}
        self.placement = Placement(info.device_name(), info.type() == SOFTWARE, dict(on_cpu), len(layers), half)


def read(path: str) -> tuple[str, bytes]:
    """The text of the network and its weights. Raises ArtifactError when the file is not as export writes it."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if sorted(item.filename for item in entries) != sorted((PARAM, BIN)):
                raise zipfile.BadZipFile(f"expected {PARAM} and {BIN} in it and nothing else")
            if any(item.compress_type != zipfile.ZIP_STORED for item in entries):
                raise zipfile.BadZipFile("expected no compression")
            return archive.read(PARAM).decode("ascii"), archive.read(BIN)
    except (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise ArtifactError(f"{path}: not a .ncnn file ({one_line(error, 120)}); export the model again") from None


def load_weights(net: Any, weights: bytes) -> int:
    """Through a file, which ncnn reads no further than its end; its load from memory knows no end. 0 when it did."""
    with temporary_file("weights.bin", weights) as path:
        return net.load_model(str(path))


def shapes_of(net: Any) -> dict[str, tuple[int, ...]]:
    return {blob.name: shape_of(blob.shape) for blob in net.blobs()}


def shape_of(hint: Any) -> tuple[int, ...]:
    """A blob's shape hint, outermost axis first; () where the file has none."""
    return {1: (hint.w,), 2: (hint.h, hint.w), 3: (hint.c, hint.h, hint.w)}.get(hint.dims, ())


def specs(names: list[str], shapes: dict[str, tuple[int, ...]], path: str) -> list[TensorSpec]:
    for name in names:
        if not shapes[name]:
            raise ArtifactError(f"{path}: says no shape for {name!r}; export the model again")
    return [TensorSpec(name, (1, *shapes[name]), "float32") for name in names]


def reason(said: str) -> str:
    """ncnn's first line: the cause; it goes on with what follows from it."""
    return one_line(RuntimeError(said.strip() or "no reason given"), 120)
