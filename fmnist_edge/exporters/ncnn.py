"""Export to ncnn with pnnx, which reads ONNX.

ncnn's two files are packed into one; `fmnist_edge.runtime.engines.ncnn` describes it.
"""

from __future__ import annotations

import importlib.util
import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.catalog.precisions import Precision
from fmnist_edge.errors import ExportError, UnavailableError
from fmnist_edge.exporters.exporter import Census, Exporter, export_errors
from fmnist_edge.exporters.several import Samples
from fmnist_edge.exporters.via_onnx import ONNX_PACKAGES, convert_in_child, float32_onnx
from fmnist_edge.runtime.engines.ncnn import BIN, PARAM
from fmnist_edge.worker.temporary import temporary_folder

if TYPE_CHECKING:
    import keras

__all__ = ["EXPORTER"]

FIXED_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest date in ZIP
TOP_SHAPES = -23330  # ncnn's array parameter 30 of any layer: dims, w, h, c of each output


class NcnnExporter(Exporter):
    packages = (*ONNX_PACKAGES, "pnnx")

    def convert(
        self,
        model: keras.Model,
        precision: Precision,
        batch: int | None,
        calibration: Samples | None,
        keep_float: tuple[str, ...] = (),
    ) -> bytes:
        with export_errors(f"ncnn {precision.name} conversion"):
            if batch != 1:
                raise ExportError(
                    f"ncnn takes one image per call; got {batch or 'a dynamic batch'}; export with --batch 1"
                )
            converter = pnnx()
            half = int(precision.weights == "float16")
            with temporary_folder("ncnn") as folder:
                (folder / "model.onnx").write_bytes(float32_onnx(model, batch))
                files = (f"ncnnparam={PARAM}", f"ncnnbin={BIN}")
                weights = convert_in_child([converter, "model.onnx", f"fp16={half}", *files], folder, BIN)
                param = (folder / PARAM).read_text("ascii")
            return pack_files(add_shape_hints(param, model.input_shape[1:], model.output_shape[1:]), weights)

    def census(self, content: bytes) -> Census:
        with export_errors("reading the ncnn file"), zipfile.ZipFile(io.BytesIO(content)) as archive:
            layers = archive.read(PARAM).decode("ascii").splitlines()[2:]
            return Census.of([(*layer.split()[:2], True) for layer in layers])  # type: ignore[misc]


def pnnx() -> str:
    """Path of the converter in pnnx's wheel. pnnx is not imported, because that imports PyTorch; its program does not.

    Raises UnavailableError when pnnx is not installed.
    """
    spec = importlib.util.find_spec("pnnx")
    folder = Path(spec.origin).parent if spec and spec.origin else None
    for program in ("pnnx", "pnnx.exe"):
        if folder and (folder / program).is_file():
            return str(folder / program)
    raise UnavailableError(
        "pnnx is not installed; run: pip install --no-deps pnnx (--no-deps: it works without PyTorch)"
    )


def add_shape_hints(param: str, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> str:
    """Add ncnn's shape hints to the first and last layer of a network's text.

    A program needs these shapes to run the network, and pnnx leaves them out. Raises ExportError when the first layer
    is not the only input.
    """
    lines = param.splitlines()
    lines[2] += shape_hint(input_shape)
    lines[-1] += shape_hint(output_shape)
    if not lines[2].startswith("Input ") or sum(line.startswith("Input ") for line in lines) != 1:
        raise ExportError("pnnx wrote a network with several inputs, or whose first layer is not its input")
    return "\n".join(lines) + "\n"


def shape_hint(shape: tuple[int, ...]) -> str:
    """` -23330=4,dims,w,h,c`; ncnn lists axes innermost first."""
    sizes = [*reversed(shape), 1, 1][:3]
    return f" {TOP_SHAPES}=4,{len(shape)},{','.join(map(str, sizes))}"


def pack_files(param: str, weights: bytes) -> bytes:
    """Pack both files into one ZIP file, with the same bytes every time."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(PARAM, FIXED_DATE), param)
        archive.writestr(zipfile.ZipInfo(BIN, FIXED_DATE), weights)
    return file.getvalue()


EXPORTER = NcnnExporter()
