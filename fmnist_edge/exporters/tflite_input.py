"""Read a finished `.tflite` file, from wherever it is, that is to become C or a web page."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fmnist_edge.checkpoints import hdf5, keras_zip
from fmnist_edge.errors import ArtifactError, ExportError
from fmnist_edge.exporters.c.graph import KINDS, read_graph
from fmnist_edge.exporters.tflite_ends import with_int8_ends
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.embedded import embedded_contract
from fmnist_edge.runtime.engines.numpy.model import Model, Tensor, read_model
from fmnist_edge.runtime.engines.tflite_file import IDENTIFIER
from fmnist_edge.runtime.flatbuffer import RefusedError
from fmnist_edge.runtime.loading import check_hash, read_whole
from fmnist_edge.runtime.manifest import Manifest, manifest_path

__all__ = ["TFLiteInput", "head_of", "is_tflite"]

KERAS_SIGNATURES = (keras_zip.SIGNATURE, hdf5.SIGNATURE)
# Frequent ops without a C kernel, by their numbers in schema.fbs, for messages.
OTHER_OPS = {
    5: "DEPTH_TO_SPACE", 11: "L2_NORMALIZATION", 12: "L2_POOL_2D", 16: "LSTM", 23: "RESIZE_BILINEAR",
    26: "SPACE_TO_DEPTH", 32: "CUSTOM", 36: "GATHER", 37: "BATCH_TO_SPACE_ND", 38: "SPACE_TO_BATCH_ND",
    39: "TRANSPOSE", 42: "DIV", 44: "UNIDIRECTIONAL_SEQUENCE_LSTM", 49: "SPLIT", 50: "LOG_SOFTMAX", 53: "CAST",
    56: "ARG_MAX", 59: "NEG", 60: "PADV2", 65: "SLICE", 67: "TRANSPOSE_CONV", 69: "TILE", 73: "LOG", 74: "SUM",
    75: "SQRT", 78: "POW", 82: "REDUCE_MAX", 88: "UNPACK", 89: "REDUCE_MIN", 97: "RESIZE_NEAREST_NEIGHBOR",
    99: "SQUARED_DIFFERENCE", 100: "MIRROR_PAD", 101: "ABS", 102: "SPLIT_V", 111: "ELU", 126: "BATCH_MATMUL",
    130: "BROADCAST_TO",
}  # fmt: skip
HEADS = {"SOFTMAX": "softmax", "LOGISTIC": "sigmoid", "RELU": "relu", "RELU6": "relu6"}  # op -> activation
UNCHANGED = ("QUANTIZE", "RESHAPE", "SQUEEZE")  # ops after which the scores mean the same
ELSEWHERE = "run the file with LiteRT or TensorFlow Lite Micro"
INT8_ENDS = (
    "expected int8, or float32 or uint8 that is only converted to it; convert the model again to int8 (`fmnist-edge "
    "export --precision int8_only`)"
)


@dataclass(frozen=True)
class TFLiteInput:
    """A `.tflite` file that C can compute.

    Attributes:
        content: of the file with int8 ends, see `tflite_ends`.
        sha256: of the file as it is.
        manifest: the one beside it, which names its SHA-256; None without.
        contract: the manifest's, or the one inside the file; None without.
        source: where the contract is from; "" for none.
    """

    path: Path
    content: bytes
    sha256: str
    model: Model
    manifest: Manifest | None
    contract: Contract | None
    source: str

    @classmethod
    def read(cls, path: Path, title: str) -> TFLiteInput:
        """Read a file, and the manifest beside it. `title`: the format that is to be made, as in a sentence.

        Raises ArtifactError for a file that cannot be read or is not its manifest's, and for a damaged contract;
        ExportError for a file that C cannot compute.
        """
        beside = manifest_path(path)
        manifest = Manifest.read(path) if beside.is_file() else None
        content = read_whole(path)
        if content[4:8] != IDENTIFIER:
            raise ArtifactError(f"{path}: not a TFLite file (no 'TFL3' identifier); it is damaged, or no .tflite file")
        if manifest is not None:
            check_hash(path, content, manifest.sha256)
        with refused_as_one(path, title):
            inner = with_int8_ends(content)
            model = read_model(inner)
            check_interface(model)
            missing = dict.fromkeys(op.kind for op in model.ops if op.kind not in KINDS)
            if missing:
                raise RefusedError(f"there is no C kernel for {', '.join(missing)}")
            read_graph(inner)
        inside = embedded_contract(path.with_suffix(".tflite"), content)
        contract, source = (inside, "inside the file") if manifest is None else (manifest.contract, f"of {beside.name}")
        different = [] if inside is None or contract is None else contract.differences(inside)
        if different:
            raise ArtifactError(f"{path}: {beside.name} and the contract inside it differ in {'; '.join(different)}")
        digest = hashlib.sha256(content).hexdigest()
        return cls(path, inner, digest, model, manifest, contract, source if contract else "")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one image."""
        return self.model.input.shape[1:]

    @property
    def scores(self) -> int:
        """The number of scores of one image."""
        return self.model.output.shape[1]

    @property
    def input_range(self) -> tuple[float, float]:
        """The least and the largest real number that the input tensor holds."""
        used = self.model.input.per_tensor()
        return (-128 - used.zero_point) * used.scale, (127 - used.zero_point) * used.scale


def is_tflite(path: str | Path) -> bool:
    """Whether this is a file with TFLite's identifier, or one that is called `.tflite` and is not a Keras file."""
    path = Path(path)
    try:
        if not path.is_file():
            return False
        with open(path, "rb") as file:
            first = file.read(8)
    except (OSError, ValueError):
        return False  # whoever reads it says what is wrong
    return first[4:8] == IDENTIFIER or (path.suffix.lower() == ".tflite" and not first.startswith(KERAS_SIGNATURES))


@contextmanager
def refused_as_one(path: Path, title: str) -> Iterator[None]:
    """Turn a RefusedError into an ExportError that names the file and says what can be done."""
    try:
        yield
    except RefusedError as refusal:
        reason = re.sub(r"builtin op (\d+)", named, str(refusal)).removesuffix("; engine='litert' has more")
        raise ExportError(f"{path}: cannot be exported as {title}: {reason}{advice_for(reason)}") from None


def named(match: re.Match[str]) -> str:
    """An op by its name in the schema, where its number is known here."""
    return OTHER_OPS.get(int(match[1]), match[0])


def advice_for(reason: str) -> str:
    if "; " in reason:
        return ""
    if reason.startswith("damaged"):
        return "; get the file again"
    return f"; replace that part of the model and convert it again, or {ELSEWHERE}"


def check_interface(model: Model) -> None:
    """Raises RefusedError unless one int8 image goes in and its int8 scores come out."""
    for kind, tensor, axes, expected in (
        ("input", model.input, 4, "one image (1, height, width, channels)"),
        ("output", model.output, 2, "scores (1, n)"),
    ):
        if tensor.dtype != "int8":
            raise RefusedError(f"its {kind} is {tensor.dtype}, {INT8_ENDS}, or {ELSEWHERE}")
        if len(tensor.shape) != axes or tensor.shape[0] != 1:
            raise RefusedError(f"its {kind} has the shape {tensor.shape}; expected {expected}")
        check_scale(kind, tensor)


def check_scale(kind: str, tensor: Tensor) -> None:
    """Raises RefusedError unless all values of the tensor are finite real numbers."""
    used = tensor.per_tensor()
    largest = np.float64(used.scale) * 256
    if not 0 < used.scale <= largest <= np.finfo(np.float32).max or not -128 <= used.zero_point <= 127:
        raise RefusedError(f"damaged: its {kind} has the scale {used.scale:g} and zero point {used.zero_point}")


def head_of(model: Model) -> str:
    """The activation that computes the scores: "softmax", "sigmoid", "relu" or "relu6"; else "linear"."""
    makers = {op.output.index: op for op in model.ops}
    op = makers.pop(model.output.index, None)
    while op is not None and op.kind in UNCHANGED:
        op = makers.pop(op.operand(0).index, None)
    return "linear" if op is None else HEADS.get(op.kind, "linear")
