"""The standard metadata of TFLite, which MediaPipe, ML Kit and the Task Library read: beside our own contract.

It has the normalisation of the pixels, and the labels as the associated file `labels.txt`. Such files are a zip archive
at the end of the model. Schema: metadata_schema.fbs of tflite-support; how the tools use it:
https://ai.google.dev/edge/litert/models/metadata.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fmnist_edge.errors import ExportError
from fmnist_edge.exporters.tflite_metadata import embed
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.preprocess import Preprocessing

__all__ = ["NAME", "add"]

NAME, IDENTIFIER, LABELS = "TFLITE_METADATA", b"M001", "labels.txt"
PARSER_VERSION = "1.0.0"  # the least that reads these fields
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # zip's first day: the same model gives the same bytes
# Numbers of the schema's unions and enumerations.
IMAGE_PROPERTIES, NORMALIZATION_OPTIONS, SCORE_THRESHOLDING_OPTIONS = 2, 1, 3
RGB, GREYSCALE, TENSOR_AXIS_LABELS = 1, 2, 2


def add(content: bytes, contract: Contract) -> bytes:
    """A `.tflite` file with the metadata and the labels. Unchanged for inputs that those tools do not know: other than
    images with channels last, greyscale or RGB. Unchanged too for outputs that do not have one label each.
    A BGR model is unchanged, as these tools would feed it RGB.

    Raises ExportError when the file has such metadata already.
    """
    if contract.layout != "NHWC" or len(contract.input_shape) != 3 or contract.input_shape[2] not in (1, 3):
        return content
    if contract.dtype != "uint8" or contract.score_count != len(contract.labels) or not contract.labels:
        return content
    if contract.preprocessing.order != "RGB":  # the schema has no BGR: a tool would feed RGB, without a word
        return content
    if zipfile.is_zipfile(io.BytesIO(content)):
        raise ExportError("the TFLite file has associated files already")
    file = io.BytesIO(embed(content, NAME, model_metadata(contract)))
    with zipfile.ZipFile(file, "a") as archive:  # appends to what is no archive yet
        archive.writestr(zipfile.ZipInfo(LABELS, LONG_AGO), "\n".join(contract.labels) + "\n")
    return file.getvalue()


def model_metadata(contract: Contract) -> bytes:
    """The flatbuffer ModelMetadata."""
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    graph = table(
        builder,
        {
            2: offsets(builder, [input_tensor(builder, contract)]),
            3: offsets(builder, [output_tensor(builder, contract)]),
        },
    )
    fields = {0: builder.CreateString("fmnist-edge"), 3: offsets(builder, [graph])}
    fields[7] = builder.CreateString(PARSER_VERSION)
    builder.Finish(table(builder, fields), IDENTIFIER)
    return bytes(builder.Output())


def input_tensor(builder: Any, contract: Contract) -> int:
    """TensorMetadata of the image: its size and colours, and (pixel - mean) / std for pixels 0..255."""
    height, width, channels = contract.input_shape
    size = table(builder, {}, {0: (builder.PrependUint32Slot, width), 1: (builder.PrependUint32Slot, height)})
    colours = {0: (builder.PrependInt8Slot, RGB if channels == 3 else GREYSCALE)}
    image = table(builder, {1: size}, colours)
    about = table(builder, {1: image}, {0: (builder.PrependUint8Slot, IMAGE_PROPERTIES)})
    used = contract.preprocessing  # (pixel * scale - mean) / std, one number or one for each channel
    mean, std = (floats(builder, (np.ravel(part) / used.scale).tolist()) for part in broadcast(used))
    normalization = unit(builder, NORMALIZATION_OPTIONS, table(builder, {0: mean, 1: std}))
    ends = [(value * used.scale - np.ravel(used.mean)) / np.ravel(used.std) for value in (255, 0)]
    limits = [floats(builder, end.tolist()) for end in ends]
    stats = table(builder, {0: limits[0], 1: limits[1]})
    name = builder.CreateString("image")
    return table(builder, {0: name, 3: about, 4: offsets(builder, [normalization]), 5: stats})


def broadcast(used: Preprocessing) -> tuple[np.ndarray, ...]:
    """Mean and std with as many numbers as the longer of them: the tools expect the same number of both."""
    return tuple(np.broadcast_arrays(np.ravel(used.mean), np.ravel(used.std)))


def output_tensor(builder: Any, contract: Contract) -> int:
    """TensorMetadata of the scores: the file of labels, and for probabilities a threshold that keeps every class."""
    fields = {0: builder.CreateString(contract.output)}
    if contract.output == "probabilities":
        threshold = table(builder, {}, {0: (builder.PrependFloat32Slot, 0.0)})
        fields[4] = offsets(builder, [unit(builder, SCORE_THRESHOLDING_OPTIONS, threshold)])
    name = builder.CreateString(LABELS)
    labels = table(builder, {0: name}, {2: (builder.PrependInt8Slot, TENSOR_AXIS_LABELS)})
    fields[6] = offsets(builder, [labels])
    return table(builder, fields)


def unit(builder: Any, kind: int, options: int) -> int:
    """A ProcessUnit: the number of its kind, and the options of that kind."""
    return table(builder, {1: options}, {0: (builder.PrependUint8Slot, kind)})


def table(
    builder: Any, targets: dict[int, int], numbers: Mapping[int, tuple[Callable[..., None], float]] | None = None
) -> int:
    """A table of offsets (field -> target) and numbers (field -> the builder's method, value)."""
    builder.StartObject(max([*targets, *(numbers or {}), 0]) + 1)
    for field, target in targets.items():
        builder.PrependUOffsetTRelativeSlot(field, target, 0)
    for field, (prepend, value) in (numbers or {}).items():
        prepend(field, value, 0)
    return builder.EndObject()


def offsets(builder: Any, targets: list[int]) -> int:
    builder.StartVector(4, len(targets), 4)
    for target in reversed(targets):
        builder.PrependUOffsetTRelative(target)
    return builder.EndVector()


def floats(builder: Any, values: list[float]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return builder.EndVector()
