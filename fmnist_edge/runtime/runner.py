"""Runs a loaded engine as its contract says: images in, scores out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from fmnist_edge.errors import ArtifactError, one_line
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.engine import Engine, TensorSpec
from fmnist_edge.runtime.preprocess import Preprocessing, accepted_shapes, as_batch

__all__ = ["Runner", "chunks", "model_input", "run_chunk"]

LARGEST_CHUNK = 256  # images per call of a dynamic-batch model
BYTE_DTYPES = ("int8", "uint8")


AXES: dict[str, tuple[int, ...] | None] = {"NHWC": None, "NCHW": (0, 3, 1, 2)}  # of a batch of images


class PixelTable:
    """The value that a model's input tensor has for each uint8 pixel.

    Attributes:
        values: of the tensor's dtype: (256,), or one such row after another for each of the model's channels.
    """

    def __init__(self, tensor: TensorSpec, contract: Contract) -> None:
        levels = tensor.quantize(contract.preprocessing.levels())
        self.values = levels.ravel(order="F")
        self._axes = AXES[contract.layout]
        self._reversed = contract.preprocessing.order == "BGR"
        # Where the row of each channel begins, for (n, *input_shape).
        self._starts = None if levels.ndim == 1 else np.arange(0, levels.size, 256, dtype=np.intp)

    def take(self, batch: np.ndarray, out: np.ndarray | None) -> np.ndarray:
        """Images uint8 (n, *input_shape) -> (n, *model_shape); `out`, if given, is the array for it."""
        if self._reversed:
            batch = batch[..., ::-1]
        indices = batch if self._starts is None else batch + self._starts
        if self._axes is not None:
            indices = indices.transpose(self._axes)
        if out is None:
            return self.values.take(indices)
        return self.values.take(indices, out=out, mode="clip")  # avoids a copy; no pixel is outside the table


class Runner:
    """An engine with its contract. Do not share it between threads: it reuses one array for single images.

    `engine` may be replaced by another engine that loaded the same file.
    """

    def __init__(self, engine: Engine, contract: Contract) -> None:
        """Raises ArtifactError when the file's tensors do not match the contract."""
        check_fit(engine, contract)
        self.engine = engine
        self._contract = contract
        # Lookup tables: a pixel has 256 values, and so has an 8-bit score.
        self._inputs = PixelTable(engine.input, contract) if contract.dtype == "uint8" else None
        self._outputs = scores_by_byte(engine.output)
        # Reusable: an engine has read its input when it returns, and its output is a new array.
        self._image = np.empty((1, *contract.model_shape), engine.input.dtype)

    def prepare(self, batch: np.ndarray) -> np.ndarray:
        """Images uint8 or float (n, *input_shape) -> the engine's input, (n, *model_shape) of its dtype.

        For a single uint8 image, the result is valid until the next call: the array is reused.
        """
        if batch.dtype == np.uint8 and self._inputs is not None:
            return self._inputs.take(batch, self._image if len(batch) == 1 else None)
        values = self.engine.input.quantize(self._contract.preprocessing.apply(batch, self._contract.input_shape))
        axes = AXES[self._contract.layout]
        return values if axes is None else np.ascontiguousarray(values.transpose(axes))

    def scores(self, batch: np.ndarray) -> np.ndarray:
        """Images uint8 or float (n, *input_shape) -> the model's dequantised scores, float32 (n, classes).

        Raises ArtifactError when the engine fails or returns NaN or infinity.
        """
        prepared, fixed = self.prepare(batch), self.engine.input.shape[0]
        if len(prepared) == 1 and fixed in (1, None):
            answers = run_chunk(self.engine, prepared)
        else:
            rows = [run_chunk(self.engine, chunk) for chunk in chunks(prepared, fixed)]
            answers = (rows[0] if len(rows) == 1 else np.concatenate(rows))[: len(batch)]  # drops the padding
        if self._outputs is not None:
            return self._outputs.take(answers.view(np.uint8))
        scores = self.engine.output.dequantize(answers)
        if not np.isfinite(scores).all():
            raise ArtifactError(
                "the model returned NaN or infinity for a valid image; its weights are damaged, or a value exceeds "
                "the largest of its number type (float16: 65504)"
            )
        return scores


def model_input(images: np.ndarray, contract: Contract) -> tuple[np.ndarray, bool]:
    """(view of `images`, uint8 or float (n, *input_shape); whether `images` is a single image).

    Accepts the shapes of `as_batch`. A model whose layout is NCHW also accepts images with channels first. Raises
    InputError for any other shape or dtype.
    """
    array, shape = np.asarray(images), contract.input_shape
    accepted = accepted_shapes(shape)
    if contract.layout != "NHWC" and array.shape[-3:] == contract.model_shape and array.shape[1:] not in accepted:
        array = np.moveaxis(array, -3, -1)
    return as_batch(array, shape), array.shape in accepted


def scores_by_byte(output: TensorSpec) -> np.ndarray | None:
    """The score of each 8-bit output, float32 (256,), indexed by its bits as uint8; None for other dtypes."""
    if output.dtype not in BYTE_DTYPES:
        return None
    return output.dequantize(np.arange(256, dtype=np.uint8).view(output.dtype))


def chunks(batch: np.ndarray, fixed: int | None) -> Iterator[np.ndarray]:
    """Split `batch` for the engine: into chunks of `fixed` images, zero-padded, or of up to LARGEST_CHUNK."""
    size = fixed or min(len(batch), LARGEST_CHUNK)
    for start in range(0, len(batch), size):
        piece = batch[start : start + size]
        if fixed and len(piece) < fixed:
            piece = np.concatenate([piece, np.zeros((fixed - len(piece), *piece.shape[1:]), piece.dtype)])
        yield piece


def run_chunk(engine: Engine, chunk: np.ndarray) -> np.ndarray:
    """The engine's answers, one per image. Raises ArtifactError when it fails."""
    try:
        answers = engine.run(chunk)
    except Exception as error:  # engines raise their own exception classes
        raise ArtifactError(
            f"{engine.version} failed on a batch of {len(chunk)} ({one_line(error, 160)}); "
            "classify fewer images at a time or export the model again"
        ) from error
    if len(answers) != len(chunk):
        raise ArtifactError(f"{engine.version} gave {len(answers)} answers for {len(chunk)} images; export it again")
    return answers


def check_fit(engine: Engine, contract: Contract) -> None:
    """Raises ArtifactError when the file's tensors do not match the contract or cannot hold its images."""
    for kind, tensors in (("input", engine.inputs), ("output", engine.outputs)):
        if len(tensors) != 1:
            raise ArtifactError(f"the model has {len(tensors)} {kind}s; expected exactly 1; load it with runtime.Model")
    expected = (contract.model_shape, (contract.score_count,))
    found = (engine.input.shape[1:], engine.output.shape[1:])
    for kind, want, have in zip(("input", "output"), expected, found):
        if len(want) != len(have) or any(b is not None and a != b for a, b in zip(want, have)):
            raise ArtifactError(f"the model's {kind} is {have} per image, its contract says {want}; export it again")
    for tensor in (engine.input, engine.output):
        if np.dtype(tensor.dtype).kind not in "fiu":
            raise ArtifactError(f"the model's {tensor.name!r} is {tensor.dtype}; expected numbers")
        if tensor.scale is not None and not (math.isfinite(tensor.scale) and tensor.scale > 0):
            raise ArtifactError(f"the scale of the model's {tensor.name!r} is {tensor.scale}; the file is damaged")
    if engine.input.scale is None and np.dtype(engine.input.dtype).kind in "iu":
        check_pixels_fit(engine.input.dtype, contract.preprocessing)


def check_pixels_fit(dtype: str, preprocessing: Preprocessing) -> None:
    """Raises ArtifactError unless `dtype`, an integer without a scale, can hold preprocessed images."""
    pixels = Preprocessing(scale=1.0)
    if preprocessing not in (pixels, replace(pixels, order="BGR")):
        raise ArtifactError(
            f"the model's input is {dtype} without a scale, so it takes whole numbers, but its contract has "
            f"{preprocessing}; expected {pixels}"
        )
    if np.iinfo(dtype).max < 255:
        raise ArtifactError(
            f"the model's input is {dtype} without a scale, which cannot hold a pixel of 0 to 255; export it as uint8"
        )
