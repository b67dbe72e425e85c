"""The releases of runtimes that a file can be meant for, one record each, and the ops that each of them has.

tflite_ops.json has, for every op of TFLite, the newest version of it that each release has a kernel for. It was
measured: each release was given files of one op, for each op and version. TensorFlow's own table, which the converter
writes into files as `min_runtime_version` (tensorflow/compiler/mlir/lite/tools/versioning/runtime_version.cc), is no
substitute: it says that 2.11 has FULLY_CONNECTED version 10, which 2.11 and 2.12 refuse.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fmnist_edge.aliases import JsonObject
from fmnist_edge.errors import UnknownNameError
from fmnist_edge.lookup import Catalog

__all__ = ["Runtime", "get_runtime", "releases_of", "runtimes"]

TFLITE_OPS = Path(__file__).with_name("tflite_ops.json")

# https://onnxruntime.ai/docs/reference/compatibility.html, "ONNX opset support": release, opset, IR version. A release
# implements all up to these. One that is not here implements what the one before it does.
ONNX_RUNTIME = {
    0: (11, 6), 3: (12, 7), 6: (13, 7), 8: (14, 7), 9: (15, 8), 11: (16, 8), 12: (17, 8), 14: (18, 8), 15: (19, 8),
    16: (19, 9), 17: (20, 9), 18: (21, 10),
}  # fmt: skip
NEWEST_ONNX_RUNTIME = 31


@dataclass(frozen=True)
class Runtime:
    """One release of a library that runs files.

    Attributes:
        family: name of the library's package.
        release: its version, major and minor.
        format: of the files that it runs.
        kernels: for TFLite, its column in tflite_ops.json.
        opset, ir_version: for ONNX, the newest that it has.
    """

    family: str
    release: str
    format: str
    kernels: str = ""
    opset: int = 0
    ir_version: int = 0

    @property
    def name(self) -> str:
        return f"{self.family}-{self.release}"

    @property
    def order(self) -> tuple[int, ...]:
        return numbers(self.release)

    def op_version(self, op: str) -> int:
        """The newest version of a TFLite op, such as "CONV_2D", that it has; 0 if it does not have the op."""
        table = tflite_ops()
        known = table["ops"].get(op)
        return int(known[table["releases"].index(self.kernels)]) if known else 0

    @property
    def per_channel_dense(self) -> bool:
        """Whether its integer FULLY_CONNECTED reads one scale per output channel.

        Older kernels use the first channel's scale for all of them, and give wrong answers without an error.
        """
        return self.family == "ai-edge-litert" or self.order >= PER_CHANNEL_DENSE

    def computes_16_bits(self, op: str) -> bool:
        """Whether it computes a TFLite op rightly in 16 bits. The converter does not raise an op's version for these.

        tflite-runtime 2.7 has a wrong BATCH_MATMUL, and 2.8 gave wrong answers for a network of convolutions.
        """
        since = SIXTEEN_BITS_LATER.get(op)
        if since is not None:
            return self.family in since and self.order >= numbers(since[self.family])
        return op in SIXTEEN_BITS and (self.family == "ai-edge-litert" or self.order >= (2, 10))


# Measured with tflite-runtime 2.7 to 2.14 on files of both kinds: 2.7, 2.8 and 2.9 are wrong, 2.10 and later are right.
PER_CHANNEL_DENSE = (2, 10)  # TensorFlow, and the tflite-runtime of the same number
# Ops that tflite-runtime 2.10 and later compute in 16 bits as LiteRT 2.3 does, and those that came later: measured too.
SIXTEEN_BITS = frozenset({
    "ABS", "ADD", "AVERAGE_POOL_2D", "BATCH_MATMUL", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "DEQUANTIZE",
    "FULLY_CONNECTED", "GATHER", "LEAKY_RELU", "LOGISTIC", "MAXIMUM", "MAX_POOL_2D", "MEAN", "MINIMUM", "MUL", "PACK",
    "PAD", "QUANTIZE", "REDUCE_MAX", "RELU", "RESHAPE", "RESIZE_BILINEAR", "REVERSE_V2", "SOFTMAX", "SPLIT",
    "STRIDED_SLICE", "SUB", "TANH", "TRANSPOSE", "TRANSPOSE_CONV",
})  # fmt: skip
SIXTEEN_BITS_LATER = {
    "EXP": {"tflite-runtime": "2.13", "tensorflow": "2.13", "ai-edge-litert": "1.0"},
    "GELU": {"ai-edge-litert": "1.3"},
    "RSQRT": {"tensorflow": "2.15", "ai-edge-litert": "1.0"},
    "TILE": {"ai-edge-litert": "2.2"},
}


def numbers(release: str) -> tuple[int, ...]:
    """
    >>> numbers("2.14")
    (2, 14)
    """
    return tuple(map(int, release.split(".")))


@cache
def tflite_ops() -> JsonObject:
    table: JsonObject = json.loads(TFLITE_OPS.read_text())
    return table


def tflite_runtimes() -> list[Runtime]:
    found = []
    for name in tflite_ops()["releases"]:
        family, _, release = name.rpartition("-")
        found.append(Runtime(family, release, "tflite", kernels=name))
    # The packages tflite-runtime and tensorflow of one number are built from the same kernels.
    same = [
        Runtime("tensorflow", item.release, "tflite", item.kernels) for item in found if item.family == "tflite-runtime"
    ]
    return sorted([*found, *same], key=lambda item: (FAMILIES.index(item.family), item.order))


FAMILIES = ("tflite-runtime", "tensorflow", "ai-edge-litert")


def onnx_runtimes() -> list[Runtime]:
    found, has = [], ONNX_RUNTIME[0]
    for minor in range(NEWEST_ONNX_RUNTIME + 1):
        has = ONNX_RUNTIME.get(minor, has)
        found.append(Runtime("onnxruntime", f"1.{minor}", "onnx", opset=has[0], ir_version=has[1]))
    return found


@cache
def runtimes() -> Catalog[Runtime]:
    return Catalog("runtime", [*tflite_runtimes(), *onnx_runtimes()])


def get_runtime(name: str) -> Runtime:
    """The runtime of a name. Raises UnknownNameError, which lists the families with their first and last release."""
    if name not in runtimes():
        families = [found for format in ("tflite", "onnx") for found in releases_of(format).values()]
        spans = ", ".join(f"{releases[0].name} to {releases[-1].release}" for releases in families)
        raise UnknownNameError(f"unknown runtime {name!r}; choose from: {spans}")
    return runtimes()[name]


def releases_of(format: str) -> dict[str, list[Runtime]]:
    """The runtimes of a format, by family, oldest first."""
    found: dict[str, list[Runtime]] = {}
    for item in runtimes().values():
        if item.format == format:
            found.setdefault(item.family, []).append(item)
    return found
