"""The engine for `.onnx` and `.tflite` files: OpenVINO on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.errors import ArtifactError, one_line
from fmnist_edge.runtime.embedded import read_onnx
from fmnist_edge.runtime.engine import Engine, TensorSpec, single
from fmnist_edge.runtime.engines import tflite_file
from fmnist_edge.runtime.flatbuffer import RefusedError
from fmnist_edge.runtime.interface import KEY, Scaling, read_interface

if TYPE_CHECKING:
    import openvino

__all__ = ["OpenVINOEngine"]

# OpenVINO's default computes float32 models in bfloat16 or float16 if the CPU supports them; ACCURACY prevents that.
# With one stream, all threads work on the same inference.
OPTIONS = {"EXECUTION_MODE_HINT": "ACCURACY", "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
DTYPES = ("float32", "float16", "int8", "uint8", "int16")
LAYOUT_OPS = ("Convert", "Transpose", "Reshape")


class OpenVINOEngine(Engine):
    """OpenVINO with one stream: all threads work on the same inference."""

    def __init__(self, path: str, threads: int | None = None) -> None:
        import openvino

        self.version = f"openvino {openvino.__version__.partition('-')[0]}"
        options = OPTIONS if threads is None else {**OPTIONS, "INFERENCE_NUM_THREADS": threads}
        core = openvino.Core()
        try:
            source = model_source(path)
            model = core.read_model(source)
            stated = stated_scalings(source, path)
            inputs = [spec(port, path, stated.get("input") or input_scaling(port)) for port in model.inputs]
            outputs = [spec(port, path, stated.get("output") or output_scaling(port)) for port in model.outputs]
            self.input, self.output = single(inputs, "input", path), single(outputs, "output", path)
            self._request: openvino.InferRequest = core.compile_model(model, "CPU", options).create_infer_request()
        except (RuntimeError, ValueError, TypeError) as error:
            raise ArtifactError(f"{path}: {self.version} refuses the file ({reason(error)})") from None

    def run(self, batch: np.ndarray) -> np.ndarray:
        request = self._request
        request.infer([batch], share_inputs=True)
        return request.get_output_tensor(0).data.copy()  # a copy: the next run overwrites the tensor

    def close(self) -> None:
        self._request = None


def model_source(path: str) -> bytes | str:
    """The argument of read_model. ONNX is read from memory, so that a model cannot read weights from other files.
    TFLite can only be read by its path."""
    if path.endswith(".tflite"):
        tflite_file.read(path)  # raises for other formats, which OpenVINO would detect by content
        return path
    with open(path, "rb") as file:
        return file.read()


def stated_scalings(source: bytes | str, path: str) -> dict[str, Scaling]:
    """The scalings in the metadata of an ONNX file; empty without any."""
    if isinstance(source, str):
        return {}
    try:
        found = read_onnx(source, KEY)
    except RefusedError as reason:
        raise ArtifactError(f"{path}: its metadata cannot be read ({reason}); export the model again") from None
    return read_interface(found[0].decode(errors="replace") if found else None, path)


def spec(port: openvino.Output, path: str, scaling: tuple[float | None, int | None]) -> TensorSpec:
    """A model's input or output as a TensorSpec. `scaling`: scale and zero point, if the port is of integers."""
    dtype = np.dtype(port.get_element_type().to_dtype()).name
    if dtype not in DTYPES:
        raise ArtifactError(f"{path}: {port.get_any_name()!r} is {dtype}; expected one of {', '.join(DTYPES)}")
    shape = tuple(size.get_length() if size.is_static else None for size in port.get_partial_shape())
    scale, zero_point = scaling if "int" in dtype else (None, None)
    return TensorSpec(port.get_any_name(), shape, dtype, scale, zero_point)


def input_scaling(port: openvino.Output) -> tuple[float | None, int | None]:
    """(scale, zero point) of an integer input, from the FakeQuantize that consumes it; (None, None) without one."""
    consumers = port.get_target_inputs()
    while len(consumers) == 1:
        node = next(iter(consumers)).get_node()
        if node.get_type_name() == "FakeQuantize":
            integers, reals = ranges(node)
            return scale_and_zero_point(integers, reals)
        if node.get_type_name() not in LAYOUT_OPS:
            break
        consumers = node.output(0).get_target_inputs()
    return None, None


def output_scaling(port: openvino.Output) -> tuple[float | None, int | None]:
    """(scale, zero point) of an integer output, from the FakeQuantize that produces it; (None, None) without one."""
    node = port.get_node()
    while node.get_input_size():
        if node.get_type_name() == "FakeQuantize":
            reals, integers = ranges(node)
            return scale_and_zero_point(integers, reals)
        if node.get_type_name() not in (*LAYOUT_OPS, "Result"):
            break
        node = node.input_value(0).get_node()
    return None, None


def ranges(node: openvino.Node) -> tuple[tuple[float, float], tuple[float, float]]:
    """(input range, output range) of a FakeQuantize node."""
    low, high, out_low, out_high = (float(node.input_value(i).get_node().data.ravel()[0]) for i in range(1, 5))
    return (low, high), (out_low, out_high)


def scale_and_zero_point(integers: tuple[float, float], reals: tuple[float, float]) -> tuple[float, int]:
    scale = (reals[1] - reals[0]) / (integers[1] - integers[0])
    return scale, round(integers[0] - reals[0] / scale)


def reason(error: Exception) -> str:
    """The last line of the message. The lines before it name places in OpenVINO's source code."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return one_line(RuntimeError(lines[-1] if lines else type(error).__name__), 160)
