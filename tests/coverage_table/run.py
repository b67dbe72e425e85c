"""Export the cases and compare: one child process a case, so that a native crash costs the case and not the run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from coverage_table.case import Case, images_for, model_of
from coverage_table.judge import Rounded, Verdict, bound_of, distance, judged, refusal
from fmnist_edge.catalog.precisions import Precision, select

__all__ = ["Row", "precisions", "run_case", "warm"]

Row = dict[str, Any]  # a Verdict with "case", "format" and "precision"
BOUND_S = 120  # for one precision
WEIGHT_LEVELS = (63, 59, 55)  # seven bits, symmetric; others too, as one rounding alone may be lucky
HALF = (0.0, 2**-11, 2**-11, 2**-11)  # what float16 makes of a number, at most
MODULES = ("keras", "tf2onnx", "onnx", "onnxruntime", "ai_edge_litert.interpreter", "fmnist_edge.exporters.pipeline",
           "fmnist_edge.exporters.onnx_precisions", "fmnist_edge.models.layers", "fmnist_edge.checkpoints",
           "onnxruntime.quantization", "tensorflow.lite.python.schema_py_generated")  # fmt: skip


def precisions() -> list[Precision]:
    """Those that `export` writes when none is named."""
    return select("all")


def warm() -> None:
    """Load what children need. No TensorFlow op may run here: its threads would not survive the fork."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for module in MODULES:
        import_module(module)


def run_case(case: Case, wanted: Sequence[Precision]) -> Iterator[Row]:
    """A row for each precision; a child that dies is followed by another for the precisions behind."""
    left = list(wanted)
    while left:
        rows, ending = in_child(lambda write, left=tuple(left): attempt(case, left, write))
        done = {(row["format"], row["precision"]) for row in rows}
        yield from rows
        left = [item for item in left if (item.format, item.name) not in done]
        if left:
            yield row_of(case, left.pop(0), ending)


def row_of(case: Case, precision: Precision, verdict: Verdict) -> Row:
    return {"case": case.id, "format": precision.format, "precision": precision.name, **asdict(verdict)}


def in_child(work: Callable[[Callable[[Row], None]], None], bound_s: int = BOUND_S) -> tuple[list[Row], Verdict]:
    """The rows that a forked child wrote, and what became of it if it died or was silent for `bound_s` seconds."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.close(read)
            silence()
            work(lambda row: os.write(write, json.dumps(row).encode() + b"\n") and None)
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    content, hung = drained(read, child, bound_s)
    _, status = os.waitpid(child, 0)
    rows = [json.loads(line) for line in content.splitlines() if line.endswith(b"}")]
    code = os.waitstatus_to_exitcode(status)
    if hung:
        return rows, Verdict("hang", f"no answer in {bound_s} s")
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return rows, Verdict("crash", name)


def drained(read: int, child: int, bound_s: int) -> tuple[bytes, bool]:
    """All that the child writes, and whether it had to be killed: `bound_s` seconds without a word."""
    import select as system

    content, hung = b"", False
    while True:
        if not system.select([read], [], [], bound_s)[0]:
            hung = True
            os.kill(child, signal.SIGKILL)
            break
        part = os.read(read, 1 << 16)
        if not part:
            break
        content += part
    os.close(read)
    return content, hung


def silence() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    sys.stdout, sys.stderr = (open(os.devnull, "w") for _ in range(2))  # noqa: SIM115
    warnings.simplefilter("ignore")


def attempt(case: Case, wanted: Sequence[Precision], write: Callable[[Row], None]) -> None:
    """In the child: save the case's model, load it as a user's file, export and compare it."""
    from fmnist_edge import checkpoints
    from fmnist_edge.errors import CheckpointError

    with tempfile.TemporaryDirectory(prefix="fmnist-edge-coverage-") as folder:
        path = Path(folder) / "model.keras"
        try:
            model = model_of(case)
            model.save(path)
            checkpoint = checkpoints.load(path)
            pixels = images_for(case)
            try:
                original = compiled(model, case.shape)(preprocessing(case).apply(pixels, case.shape))
            except Exception as error:
                write_all(case, wanted, write, Verdict("keras", str(error)[-200:]))
                return
            if original.shape[1] != model.output_shape[-1]:
                write_all(case, wanted, write, Verdict("keras", f"answers {original.shape}, not {model.output_shape}"))
                return
            if checkpoint.model.input_shape[1:] != case.shape:  # loading has turned channels_first into channels_last
                pixels = np.moveaxis(pixels, 1, -1)
            prepared = preprocessing(case).apply(pixels, checkpoint.model.input_shape[1:])
            rounded = rounded_answers(checkpoint.model, prepared, case.domain)
        except CheckpointError as error:
            write_all(case, wanted, write, Verdict("refused", str(error).removeprefix(f"{path}: ")))
            return
        except Exception as error:
            write_all(case, wanted, write, Verdict("unloaded", f"{type(error).__name__}: {str(error)[-400:]}"))
            return
        tolerance = 1e-3 * np.ptp(original) + 1e-5  # a model is built in float32, whatever its layers compute in
        if not np.isfinite(rounded.exact).all() or np.abs(original - rounded.exact).max() > tolerance:
            write_all(case, wanted, write, Verdict("broken", "Keras answers with NaN, or else before and after saving"))
            return
        for precision in wanted:
            start = time.monotonic()
            verdict = exported(case, checkpoint, precision, pixels, rounded, Path(folder))
            write(row_of(case, precision, verdict) | {"seconds": round(time.monotonic() - start, 2)})


def write_all(case: Case, wanted: Sequence[Precision], write: Callable[[Row], None], verdict: Verdict) -> None:
    for precision in wanted:
        write(row_of(case, precision, verdict))


def preprocessing(case: Case) -> Any:
    from fmnist_edge.runtime.preprocess import Preprocessing

    low, high = case.domain
    return Preprocessing((high - low) / 255, -low, 1.0)


def exported(
    case: Case, checkpoint: Any, precision: Precision, pixels: np.ndarray, rounded: Rounded, folder: Path
) -> Verdict:
    """Calibrated on the images that are compared: the question is whether kernels compute the layer."""
    from fmnist_edge.exporters.calibration_images import Calibration
    from fmnist_edge.exporters.contracts import contract_for
    from fmnist_edge.exporters.pipeline import export
    from fmnist_edge.exporters.tasks import TaskOptions
    from fmnist_edge.runtime.classifier import Classifier

    task = "binary" if checkpoint.model.outputs[0].shape[-1] == 1 else None  # only the scores matter here
    try:
        artifact = export(
            checkpoint,
            precision,
            contract_for(checkpoint, preprocessing(case), None, "either", options=TaskOptions(task)),
            folder,
            calibration=Calibration(pixels, "images of the case"),
            golden_images=pixels[:2],
        )
        with Classifier.load(artifact.path, threads=1) as classify:
            scores = classify.scores(pixels)
    except Exception as error:
        return refusal(error)
    return judged(scores, rounded, bound_of(precision.weights, precision.activations), case.rounds, case.jumps)


def compiled(model: Any, shape: Sequence[int]) -> Callable[[np.ndarray], np.ndarray]:
    """A function of images that gives Keras's answers, one image at a time, as the exported files are asked."""
    import tensorflow as tf

    function = tf.function(lambda x: model(x, training=False), input_signature=[tf.TensorSpec((1, *shape))])

    def answers(images: np.ndarray) -> np.ndarray:
        return np.concatenate([function(tf.constant(image[None])).numpy().reshape(1, -1) for image in images])

    return answers


def rounded_answers(model: Any, images: np.ndarray, domain: tuple[float, float]) -> Rounded:
    """What rounding does to the layer in Keras itself; its weights are the same afterwards."""
    answers = compiled(model, images.shape[1:])
    exact = answers(images)

    def change(inputs: np.ndarray) -> np.ndarray:
        return distance(answers(inputs), exact)

    half_step = np.float32((domain[1] - domain[0]) / 255 / 2)
    signs = [1, -1, *np.random.default_rng(0).choice([-1, 1], (3, *images.shape))]
    step = np.max([change(images + half_step * sign.astype(np.float32)) for sign in map(np.asarray, signs)], axis=0)
    weights = np.zeros_like(step)
    for levels in WEIGHT_LEVELS:
        with weights_as(model, lambda values, levels=levels: in_levels(values, levels)):
            weights = np.maximum(weights, change(images))
    half, rng = np.zeros_like(step), np.random.default_rng(1)
    for size in HALF:
        with weights_as(model, lambda values, size=size: moved(values, size, rng)):
            half = np.maximum(half, change(moved(images, size, rng)))
    return Rounded(exact, half, weights, step)


def moved(values: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    """`values` in float16, each of them moved up or down by `size` of itself."""
    signs = rng.choice(np.float32([-size, size]), values.shape)
    return (values * (1 + signs)).astype(np.float16).astype(np.float32)


def in_levels(values: np.ndarray, levels: int) -> np.ndarray:
    """`values` rounded to multiples of their largest / `levels`."""
    scale = max(float(np.abs(values).max(initial=0)), 1e-12) / levels
    return (np.round(values / scale) * scale).astype(np.float32)


@contextlib.contextmanager
def weights_as(model: Any, change: Callable[[np.ndarray], np.ndarray]) -> Iterator[None]:
    variables = [item for item in model.weights if str(item.dtype) == "float32"]
    before = [np.asarray(item) for item in variables]
    try:
        for variable, values in zip(variables, before, strict=True):
            variable.assign(change(values))
        yield
    finally:
        for variable, values in zip(variables, before, strict=True):
            variable.assign(values)
