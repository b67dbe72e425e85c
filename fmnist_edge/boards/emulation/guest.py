"""The program that an emulated core runs: it calls an engine a number of times between two marks.

The QEMU plugin `blocks.c` sees the marks. A call is what `bench` times as the engine's share: from input tensor to
output tensor, including the binding's Python code.
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.runtime.classifier import Classifier
from fmnist_edge.runtime.runner import Runner, model_input

__all__ = ["START", "STOP", "Task", "run_marked"]

START, STOP = 0x7EDC0001, 0x7EDC0002  # as in blocks.c
WARM_UP = 8


@dataclass(frozen=True)
class Task:
    """What to count.

    Attributes:
        images: .npy file; the engine gets its first image.
        calls: number of calls in a section.
        sections: number of sections.
    """

    artifact: str
    engine: str
    images: str
    calls: int
    sections: int = 2


def count(request: JsonObject, progress: object) -> dict[str, str]:
    """Run in the child process; `request`: the fields of a Task."""
    task = Task(**request)
    image = np.load(task.images, mmap_mode="r", allow_pickle=False)[:1]
    with Classifier.load(task.artifact, threads=1, engine=task.engine) as classifier:
        batch, _ = model_input(np.array(image), classifier.contract)
        prepared = Runner(classifier.engine, classifier.contract).prepare(batch)
        engine = classifier.engine
        run_marked(lambda: engine.run(prepared), task.calls, task.sections, WARM_UP)
        return {"engine_version": engine.version}


def run_marked(call: Callable[[], object], calls: int, sections: int, warm_up: int) -> None:
    """Warm up, then run `sections` sections: start mark, `calls` calls, stop mark.

    The first section has no marks and belongs to the warm-up.
    """
    for _ in range(warm_up):  # CPython specialises bytecode during a function's first calls
        call()
    gc.disable()
    for section in range(sections + 1):
        mark(START if section else 0)
        for _ in range(calls):
            call()
        mark(STOP if section else 0)


def mark(value: int) -> None:
    with contextlib.suppress(OSError):  # the call fails, as there is no such process; the plugin sees it anyway
        os.getpgid(value)
