"""NPUs: those that Arm's Vela compiles for, and those whose makers publish a list of ops.

A list says no more than its document: an op is supported, supported within a limit, or not in the list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fmnist_edge.lookup import Catalog

__all__ = ["NPUS", "Npu", "OpRule"]

EIGHT_BIT = ("INT8", "UINT8")


@dataclass(frozen=True)
class OpRule:
    """What a document says about an op.

    Attributes:
        limit: a limit in words, which is shown and not checked.
        types: types of its activations.
        fused_activation: whether it may have one.
        scale_per_channel: whether its weights may have more than one scale.
    """

    limit: str = ""
    types: tuple[str, ...] = EIGHT_BIT
    fused_activation: bool = True
    scale_per_channel: bool = True


@dataclass(frozen=True)
class Npu:
    """An NPU.

    Attributes:
        vela: Vela's name of its configuration; empty for an NPU with a list of ops.
        rules: TFLite op -> what the document says; an op that is not here is not in the list.
        limits: what the document says of the whole model, in words.
        source: the document.
    """

    name: str
    title: str
    source: str
    vela: str = ""
    rules: Mapping[str, OpRule] = field(default_factory=dict)
    limits: tuple[str, ...] = ()


def ethos(name: str) -> Npu:
    series, macs = name.removeprefix("ethos-").upper().split("-")
    return Npu(name, f"Arm Ethos-{series}, {macs} MACs a cycle", "Vela", vela=name)


NO_FUSED = OpRule(fused_activation=False)
ANY = OpRule()

EDGE_TPU = Npu(
    "edge-tpu",
    "Google Coral Edge TPU",
    "the supported operations in coral.ai/docs/edgetpu/models-intro",
    limits=(
        "all tensors are of constant size",
        "in a tensor of more than 3 dimensions, only the 3 innermost may be larger than 1",
        "after the first op that is not supported, everything runs on the CPU",
    ),
    rules={
        "ADD": ANY,
        "AVERAGE_POOL_2D": NO_FUSED,
        "CONCATENATION": OpRule("a constant input is all zeros, and there is one other input", fused_activation=False),
        "CONV_2D": OpRule("dilation is the same in x and y"),
        "DEPTHWISE_CONV_2D": OpRule("dilation is the same in x and y"),
        "EXPAND_DIMS": ANY,
        "FULLY_CONNECTED": OpRule("weights have the default format, the output one dimension"),
        "L2_NORMALIZATION": ANY,
        "LOGISTIC": ANY,
        "LSTM": OpRule("unidirectional"),
        "UNIDIRECTIONAL_SEQUENCE_LSTM": ANY,
        "MAXIMUM": ANY,
        "MAX_POOL_2D": NO_FUSED,
        "MEAN": OpRule("no reduction of the batch; a reduction of z needs a z that is a multiple of 4"),
        "MINIMUM": ANY,
        "MUL": ANY,
        "PACK": OpRule("not along the batch"),
        "PAD": OpRule("not along the batch"),
        "PRELU": OpRule("alpha is one-dimensional"),
        "QUANTIZE": ANY,
        "REDUCE_MAX": OpRule("not along the batch"),
        "REDUCE_MIN": OpRule("not along the batch"),
        "RELU": ANY,
        "RELU6": ANY,
        "RELU_N1_TO_1": ANY,
        "RESHAPE": OpRule("some reshapes of large tensors are not mapped"),
        "RESIZE_BILINEAR": OpRule("a 3-dimensional tensor; some sizes are not mapped"),
        "RESIZE_NEAREST_NEIGHBOR": OpRule("a 3-dimensional tensor; some sizes are not mapped"),
        "RSQRT": ANY,
        "SLICE": ANY,
        "SOFTMAX": OpRule("a one-dimensional input of 16,000 elements at most"),
        "SPACE_TO_DEPTH": ANY,
        "SPLIT": OpRule("not along the batch"),
        "SQUEEZE": OpRule("not where the batch has more than one element"),
        "STRIDED_SLICE": OpRule("strides of 1, no ellipsis mask, no new axis mask"),
        "SUB": ANY,
        "SUM": OpRule("not along the batch"),
        "SQUARED_DIFFERENCE": ANY,
        "TANH": ANY,
        "TRANSPOSE": ANY,
        "TRANSPOSE_CONV": ANY,
    },
)

BOTH = (*EIGHT_BIT, "FLOAT32", "FLOAT16")
FLOATS = ("FLOAT32", "FLOAT16")
NNAPI_ANY, NNAPI_FLOAT = OpRule(types=BOTH), OpRule(types=FLOATS)
NNAPI = Npu(
    "nnapi",
    "Android NNAPI",
    "the Android NDK's NeuralNetworks.h at API level 30",
    limits=(
        "the header says what a driver may implement, not what the driver of a device does",
        "tensors have 4 dimensions at most",
        "signed 8-bit tensors need API level 30",
        "NNAPI is deprecated since Android 15",
    ),
    rules={
        **dict.fromkeys(
            (
                "ADD", "ARG_MAX", "ARG_MIN", "AVERAGE_POOL_2D", "BATCH_TO_SPACE_ND", "CONCATENATION", "CONV_2D",
                "DEPTHWISE_CONV_2D", "DEPTH_TO_SPACE", "EXPAND_DIMS", "GATHER", "HARD_SWISH", "L2_NORMALIZATION",
                "LOGISTIC", "MAXIMUM", "MAX_POOL_2D", "MEAN", "MINIMUM", "MUL", "PAD", "PADV2", "PRELU", "REDUCE_MAX",
                "REDUCE_MIN", "RELU", "RELU6", "RELU_N1_TO_1", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR",
                "SLICE", "SOFTMAX", "SPACE_TO_BATCH_ND", "SPACE_TO_DEPTH", "SPLIT", "SQUEEZE", "STRIDED_SLICE", "SUB",
                "TANH", "TRANSPOSE", "TRANSPOSE_CONV", "DEQUANTIZE", "QUANTIZE",
            ),
            NNAPI_ANY,
        ),
        **dict.fromkeys(
            ("DIV", "ELU", "EXP", "FLOOR", "LOCAL_RESPONSE_NORMALIZATION", "LOG", "POW", "RSQRT", "SIN", "SQRT", "SUM"),
            NNAPI_FLOAT,
        ),
        "FULLY_CONNECTED": OpRule(types=BOTH, scale_per_channel=False),
    },
)  # fmt: skip

NPUS: Catalog[Npu] = Catalog(
    "NPU",
    (
        *map(
            ethos,
            (
                "ethos-u55-32", "ethos-u55-64", "ethos-u55-128", "ethos-u55-256", "ethos-u65-256", "ethos-u65-512",
                "ethos-u85-128", "ethos-u85-256", "ethos-u85-512", "ethos-u85-1024", "ethos-u85-2048",
            ),
        ),
        EDGE_TPU,
        NNAPI,
    ),
)  # fmt: skip
