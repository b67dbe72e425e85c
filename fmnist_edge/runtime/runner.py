"""Images in, scores out: a loaded engine, fed as its contract says."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from fmnist_edge.errors import ArtifactError, one_line
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.engine import Engine, TensorSpec
from fmnist_edge.runtime.preprocess import Preprocessing, as_batch, forms

__all__ = ["Runner", "chunks", "model_input", "run_chunk"]

LARGEST_CHUNK = 256  # images per call of a dynamic-batch model
BYTES = ("int8", "uint8")


class Runner:
    """An engine and its contract. Not safe to share between threads: single images go through one array.

    `engine` may be replaced by another one of the same file.
    """

    def __init__(self, engine: Engine, contract: Contract) -> None:
        """Raises ArtifactError when the file's tensors are not those the contract promises."""
        check_fit(engine, contract)
        self.engine = engine
        self._contract = contract
        # Value by value, both ways: a pixel has 256, and so has a quantised score.
        levels = np.arange(256, dtype=np.uint8)
        self._inputs = engine.input.quantize(contract.preprocessing.apply(levels, levels.shape)[0])
        self._outputs = scores_of_bytes(engine.output)
        # Engines have read their input when they answer, and answer in an array of their own.
        self._image = np.empty((1, *contract.model_shape), self._inputs.dtype)
        self._axes = None if contract.layout == "NHWC" else (0, 3, 1, 2)

    def prepared(self, batch: np.ndarray) -> np.ndarray:
        """Images uint8 or float (n, *input_shape) as the engine takes them, (n, *model_shape) of its input's dtype.

        A single uint8 image is in an array that the next one will be in.
        """
        if batch.dtype == np.uint8:
            if self._axes is not None:
                batch = batch.transpose(self._axes)
            if len(batch) == 1:  # "clip" looks up without a copy in between; no pixel is outside the table
                return self._inputs.take(batch, out=self._image, mode="clip")
            return self._inputs.take(batch)
        values = self.engine.input.quantize(self._contract.preprocessing.apply(batch, self._contract.input_shape))
        return values if self._axes is None else np.ascontiguousarray(values.transpose(self._axes))

    def scores(self, batch: np.ndarray) -> np.ndarray:
        """What the model answers for images uint8 or float (n, *input_shape): float32 (n, classes), dequantised.

        Raises ArtifactError when the engine fails or answers what is no number.
        """
        prepared, fixed = self.prepared(batch), self.engine.input.shape[0]
        if len(prepared) == 1 and fixed in (1, None):
            answers = run_chunk(self.engine, prepared)
        else:
            rows = [run_chunk(self.engine, chunk) for chunk in chunks(prepared, fixed)]
            answers = (rows[0] if len(rows) == 1 else np.concatenate(rows))[: len(batch)]  # its padding is answered too
        if self._outputs is not None:
            return self._outputs.take(answers.view(np.uint8))
        scores = self.engine.output.dequantize(answers)
        if not np.isfinite(scores).all():
            raise ArtifactError("the model answered NaN or infinity for a valid image; its weights are damaged")
        return scores


def model_input(images: np.ndarray, contract: Contract) -> tuple[np.ndarray, bool]:
    """`images` as uint8 or float (n, *input_shape), without a copy, and whether they are one image and no batch.

    Beside what `as_batch` takes, a model whose layout is NCHW takes images in its own order of axes. Raises InputError.
    """
    array, shape = np.asarray(images), contract.input_shape
    accepted = forms(shape)
    if contract.layout != "NHWC" and array.shape[-3:] == contract.model_shape and array.shape[1:] not in accepted:
        array = np.moveaxis(array, -3, -1)
    return as_batch(array, shape), array.shape in accepted


def scores_of_bytes(output: TensorSpec) -> np.ndarray | None:
    """The score that each of 256 answers stands for, in the order of their bits; None where answers are no bytes."""
    if output.dtype not in BYTES:
        return None
    return output.dequantize(np.arange(256, dtype=np.uint8).view(output.dtype))


def chunks(batch: np.ndarray, fixed: int | None) -> Iterator[np.ndarray]:
    """Contiguous pieces the engine accepts: of any size up to LARGEST_CHUNK, or of exactly `fixed`, zero-padded."""
    size = fixed or min(len(batch), LARGEST_CHUNK)
    for start in range(0, len(batch), size):
        piece = batch[start : start + size]
        if fixed and len(piece) < fixed:
            piece = np.concatenate([piece, np.zeros((fixed - len(piece), *piece.shape[1:]), piece.dtype)])
        yield piece


def run_chunk(engine: Engine, chunk: np.ndarray) -> np.ndarray:
    """The engine's answers, one an image; ArtifactError when it fails."""
    try:
        answers = engine.run(chunk)
    except Exception as error:  # engines raise classes of their own
        raise ArtifactError(
            f"{engine.version} failed on a batch of {len(chunk)} ({one_line(error, 160)}); "
            "classify fewer images at a time or export the model again"
        ) from error
    if len(answers) != len(chunk):
        raise ArtifactError(f"{engine.version} gave {len(answers)} answers to {len(chunk)} images; export it again")
    return answers


def check_fit(engine: Engine, contract: Contract) -> None:
    """Raises ArtifactError when the file's tensors are not those the contract promises, or cannot hold its images."""
    expected = (contract.model_shape, (len(contract.labels),))
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
    """Raises ArtifactError unless whole numbers of `dtype`, which stand for themselves, can hold what images become."""
    pixels = Preprocessing(scale=1.0)
    if preprocessing != pixels:
        raise ArtifactError(
            f"the model's input is {dtype} without a scale: it takes whole numbers, and its contract's "
            f"preprocessing, {preprocessing}, makes others; expected {pixels}"
        )
    if np.iinfo(dtype).max < 255:
        raise ArtifactError(
            f"the model's input is {dtype} without a scale, and a pixel is 0 to 255; export it as uint8"
        )
