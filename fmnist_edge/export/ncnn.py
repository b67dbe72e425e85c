"""ncnn, by pnnx, which reads ONNX. Both of ncnn's files go into one, see `fmnist_edge.runtime.engines.ncnn`."""

from __future__ import annotations

import importlib.util
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_edge.catalog.precisions import Precision
from fmnist_edge.errors import ExportError, UnavailableError
from fmnist_edge.export.exporter import Census, Exporter, translated
from fmnist_edge.export.via_onnx import ONNX_PACKAGES, convert_in_child, float32_onnx
from fmnist_edge.runtime.engines.ncnn import BIN, PARAM
from fmnist_edge.worker.temporary import temporary_folder

__all__ = ["EXPORTER"]

NO_DATE = (1980, 1, 1, 0, 0, 0)  # ZIP's first day
TOP_SHAPES = -23330  # array parameter 30 of any layer: dims, w, h, c of each output


class NcnnExporter(Exporter):
    packages = (*ONNX_PACKAGES, "pnnx")

    def convert(
        self,
        model: Any,
        precision: Precision,
        batch: int | None,
        calibration: np.ndarray | None,
        keep_float: tuple[str, ...] = (),
    ) -> bytes:
        with translated(f"ncnn {precision.name} conversion"):
            if batch != 1:
                raise ExportError(
                    f"ncnn takes one image a call, {batch or 'a dynamic batch'} asked; export with --batch 1"
                )
            converter = pnnx()
            half = int(precision.weights == "float16")
            with temporary_folder("ncnn") as folder:
                (folder / "model.onnx").write_bytes(float32_onnx(model, batch))
                files = (f"ncnnparam={PARAM}", f"ncnnbin={BIN}")
                weights = convert_in_child([converter, "model.onnx", f"fp16={half}", *files], folder, BIN)
                param = (folder / PARAM).read_text("ascii")
            return container(with_shapes(param, model.input_shape[1:], model.output_shape[1:]), weights)

    def census(self, content: bytes) -> Census:
        with translated("reading the ncnn file"), zipfile.ZipFile(io.BytesIO(content)) as archive:
            layers = archive.read(PARAM).decode("ascii").splitlines()[2:]
            return Census.of([(*layer.split()[:2], True) for layer in layers])  # type: ignore[misc]


def pnnx() -> str:
    """The converter in pnnx's wheel. Not by importing it: that imports PyTorch, which its program does without."""
    spec = importlib.util.find_spec("pnnx")
    folder = Path(spec.origin).parent if spec and spec.origin else None
    for program in ("pnnx", "pnnx.exe"):
        if folder and (folder / program).is_file():
            return str(folder / program)
    raise UnavailableError(
        "pnnx is not installed; run: pip install --no-deps pnnx (--no-deps: it works without PyTorch)"
    )


def with_shapes(param: str, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> str:
    """The network's text with ncnn's own shape hints on its first and last layer: pnnx leaves out what a program needs
    to know to feed it."""
    lines = param.splitlines()
    lines[2] += hint(input_shape)
    lines[-1] += hint(output_shape)
    if not lines[2].startswith("Input ") or sum(line.startswith("Input ") for line in lines) != 1:
        raise ExportError("pnnx wrote a network whose only input is not its first layer")
    return "\n".join(lines) + "\n"


def hint(shape: tuple[int, ...]) -> str:
    """` -23330=4,dims,w,h,c`: ncnn counts axes from the innermost."""
    sizes = [*reversed(shape), 1, 1][:3]
    return f" {TOP_SHAPES}=4,{len(shape)},{','.join(map(str, sizes))}"


def container(param: str, weights: bytes) -> bytes:
    """Both files in one, with the same bytes each time."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(PARAM, NO_DATE), param)
        archive.writestr(zipfile.ZipInfo(BIN, NO_DATE), weights)
    return file.getvalue()


EXPORTER = NcnnExporter()
