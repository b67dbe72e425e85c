"""Run an engine through its own API, without our runtime: the baseline for our overhead."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fmnist_edge.aliases import JsonObject  # at run time nothing of ours is loaded

__all__ = ["BARE_LOOPS", "Loop", "memory", "resident_bytes"]

Loop = Callable[[Sequence[np.ndarray], int], None]


def litert(path: str) -> Loop:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    given, made = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def loop(tensors: Sequence[np.ndarray], count: int) -> None:
        for index in range(count):
            interpreter.set_tensor(given, tensors[index % len(tensors)])
            interpreter.invoke()
            interpreter.get_tensor(made)

    return loop


def onnxruntime(path: str) -> Loop:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given, made = session.get_inputs()[0].name, [session.get_outputs()[0].name]

    def loop(tensors: Sequence[np.ndarray], count: int) -> None:
        for index in range(count):
            session.run(made, {given: tensors[index % len(tensors)]})

    return loop


BARE_LOOPS: dict[str, Callable[[str], Loop]] = {"litert": litert, "onnxruntime": onnxruntime}


def resident_bytes() -> int | None:
    """Resident memory of this process now; None on systems without Linux's /proc/self/statm."""
    gc.collect()
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def memory(question: JsonObject, progress: object) -> int | None:
    """The child's task: run the file "calls" times on zeros, and return the resident memory of the process.

    `question`: {"artifact", "engine", "shape", "dtype", "calls", "ours"}. With "ours" true, a Classifier makes the
    calls. Otherwise the bare loop does, and nothing else of this package is imported.
    """
    if question["ours"]:
        from fmnist_edge.runtime import Classifier

        classify = Classifier.load(question["artifact"], threads=1, engine=question["engine"])
        image = np.zeros(classify.contract.input_shape, np.uint8)
        for _ in range(question["calls"]):
            classify(image)
    else:
        loop = BARE_LOOPS[question["engine"]](question["artifact"])
        loop([np.zeros(question["shape"], question["dtype"])], question["calls"])
    return resident_bytes()
