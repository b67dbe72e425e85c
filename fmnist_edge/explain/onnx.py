"""Read the tensors of an `.onnx` file: ONNX Runtime runs it with every tensor declared as an output."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fmnist_edge.errors import ArtifactError, one_line
from fmnist_edge.explain.probe import INPUT, OUTPUT, Key, key_counter
from fmnist_edge.exporters.onnx_names import names_read_by
from fmnist_edge.runtime.engine import TensorSpec
from fmnist_edge.runtime.engines.onnx_session import SILENT, import_onnxruntime
from fmnist_edge.runtime.interface import KEY, read_interface
from fmnist_edge.runtime.runner import chunks

if TYPE_CHECKING:
    import onnx
    import onnxruntime

__all__ = ["OnnxProbe"]

CONVERSION_OPS = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Cast")


class Integers(NamedTuple):
    """The integer form of a float tensor in a QDQ graph."""

    name: str
    dtype: str
    scale: float
    zero_point: int


class OnnxProbe:
    """See `fmnist_edge.explain.probe.Probe`. Runs the graph without optimisation, each Q and DQ on its own."""

    engine = "onnxruntime-disabled"

    def __init__(self, path: str) -> None:
        import onnx

        onnxruntime = import_onnxruntime()
        # External data is not part of the artifact, and its SHA-256 does not cover it.
        proto = onnx.load(path, load_external_data=False)
        graph = proto.graph
        image, scores = graph.input[0].name, graph.output[0].name
        ends = integer_ends(proto, path)
        integers = integer_forms(graph) | ends
        found = {INPUT: image}
        self.relus: dict[Key, Key] = {}
        key = key_counter()
        for node in computed_nodes(graph, image):
            for name in node.output:
                found[OUTPUT if name == scores else key(base_name(name))] = name
        found[OUTPUT] = scores
        keys = {name: key for key, name in found.items()}
        for node in graph.node:
            if node.op_type == "Relu" and node.input[0] in keys and node.output[0] in keys:
                self.relus[keys[node.output[0]]] = keys[node.input[0]]

        declared = {item.name for item in graph.output} | {image}
        self._fetch = {key: integers[name].name if name in integers else name for key, name in found.items()}
        extra = sorted(set(self._fetch.values()) - declared)
        graph.output.extend(onnx.ValueInfoProto(name=name) for name in extra)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = SILENT
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            session = onnxruntime.InferenceSession(
                proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions have no other base class
            raise ArtifactError(f"{path}: ONNX Runtime refuses the file ({one_line(error, 120)})") from None
        self.version = f"onnxruntime {onnxruntime.__version__}"
        self._session = session
        self._integer_input = image in ends
        self._image, self._batch = image, session.get_inputs()[0].shape[0]
        self.tensors = tensor_specs(found, integers, session)

    def capture(self, images: np.ndarray, keys: Iterable[Key]) -> dict[Key, np.ndarray]:
        wanted = list(keys)
        if self._integer_input:
            images = self.tensors[INPUT].quantize(images)
        names = {key: self._fetch[key] for key in wanted if self._fetch[key] != self._image}
        pieces: list[list[np.ndarray]] = []
        for chunk in chunks(images, self._batch if isinstance(self._batch, int) else None):
            pieces.append(self._run(list(names.values()), chunk))
        captured = {
            key: np.concatenate(rows)[: len(images)] for key, rows in zip(names, zip(*pieces, strict=True), strict=True)
        }
        return {key: captured.get(key, images) for key in wanted}

    def _run(self, names: list[str], chunk: np.ndarray) -> list[np.ndarray]:
        if not names:  # without names, ONNX Runtime returns all outputs
            return []
        try:
            return self._session.run(names, {self._image: chunk})
        except Exception as error:  # as above
            raise ArtifactError(
                f"{self.version} failed on {len(chunk)} images ({one_line(error, 160)}); export the model again"
            ) from error

    def close(self) -> None:
        self._session = None


def computed_nodes(graph: onnx.GraphProto, image: str) -> list[onnx.NodeProto]:
    """The nodes that depend on the image, also through what their bodies use, without those that only convert."""
    dependent, found = {image}, []
    for node in graph.node:
        if not dependent.isdisjoint(names_read_by(node)):
            dependent.update(node.output)
            found += [] if node.op_type in CONVERSION_OPS else [node]
    return found


def integer_forms(graph: onnx.GraphProto) -> dict[str, Integers]:
    """The float tensors that the file also has in integers: inputs of QuantizeLinear, outputs of DequantizeLinear.

    Only tensors with a single scale are included.
    """
    from onnx import numpy_helper

    constants = {item.name: item for item in graph.initializer}
    forms: dict[str, Integers] = {}
    for node in graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear") or node.input[0] in constants:
            continue
        real, integer = (node.input[0], node.output[0])[:: 1 if node.op_type == "QuantizeLinear" else -1]
        scale, zero_point = (numpy_helper.to_array(constants[name]) for name in node.input[1:3])
        if scale.size == 1:
            forms.setdefault(real, Integers(integer, zero_point.dtype.name, float(scale), int(zero_point)))
    return forms


def integer_ends(proto: onnx.ModelProto, path: str) -> dict[str, Integers]:
    """Input and output that are integers themselves, with the scales in the file's metadata."""
    text = next((entry.value for entry in proto.metadata_props if entry.key == KEY), None)
    names = {"input": proto.graph.input[0].name, "output": proto.graph.output[0].name}
    scalings = read_interface(text, path).items()
    return {names[end]: Integers(names[end], "uint8", *scaling) for end, scaling in scalings if end in names}


def tensor_specs(
    found: dict[Key, str], integers: dict[str, Integers], session: onnxruntime.InferenceSession
) -> dict[Key, TensorSpec]:
    types = {item.name: (item.type, item.shape) for item in (*session.get_inputs(), *session.get_outputs())}
    made = {}
    for key, name in found.items():
        form = integers.get(name)
        kind, shape = types[form.name if form else name]
        sizes = tuple(size if isinstance(size, int) else None for size in shape)
        if form:
            made[key] = TensorSpec(name, sizes, form.dtype, form.scale, form.zero_point)
        elif kind in ("tensor(float)", "tensor(float16)"):
            made[key] = TensorSpec(name, sizes, "float32" if kind == "tensor(float)" else "float16")
    return made


def base_name(name: str) -> str:
    """`layer/Op_2:0` -> `layer/Op`. Ops that a quantiser adds change the number, but not the order."""
    return re.sub(r"(_\d+)?:\d+$", "", name)
