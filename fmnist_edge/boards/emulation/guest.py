"""What an emulated core runs to be counted: an engine, so many times, between two marks.

`blocks.c` hears the marks. A call is what `bench` times as the engine's: a tensor in, a tensor out, the binding's own
Python included.
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_edge.runtime.classifier import Classifier
from fmnist_edge.runtime.runner import Runner, model_input

__all__ = ["START", "STOP", "Task", "run_marked"]

START, STOP = 0x7EDC0001, 0x7EDC0002  # as in blocks.c
WARM_UP = 8


@dataclass(frozen=True)
class Task:
    """What to count.

    Attributes:
        images: .npy file whose first image is given to the engine.
        calls: how many to count at once.
        sections: how often to count so many.
    """

    artifact: str
    engine: str
    images: str
    calls: int
    sections: int = 2


def count(request: dict[str, Any], progress: object) -> dict[str, str]:
    """The child's task; `request`: a Task's fields."""
    task = Task(**request)
    image = np.load(task.images, mmap_mode="r", allow_pickle=False)[:1]
    with Classifier.load(task.artifact, threads=1, engine=task.engine) as classifier:
        batch, _ = model_input(np.array(image), classifier.contract)
        prepared = Runner(classifier.engine, classifier.contract).prepared(batch)
        engine = classifier.engine
        run_marked(lambda: engine.run(prepared), task.calls, task.sections, WARM_UP)
        return {"engine_version": engine.version}


def run_marked(call: Callable[[], object], calls: int, sections: int, warm_up: int) -> None:
    """Warm up, then `sections` times: mark, call it so often, mark. The first, which no mark counts, is warm-up too."""
    for _ in range(warm_up):  # CPython rewrites its own code by what a function's first calls are like
        call()
    gc.disable()
    for section in range(sections + 1):
        mark(START if section else 0)
        for _ in range(calls):
            call()
        mark(STOP if section else 0)


def mark(value: int) -> None:
    with contextlib.suppress(OSError):  # there is no such process: it is the call itself that is heard
        os.getpgid(value)
