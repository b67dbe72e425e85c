"""Build a C form's program for an emulated core, and let it call the model a number of times between two marks.

QEMU runs the program with the plugin `blocks.c`, which QEMU_PLUGIN names. A call is the model's `run` function, from
input tensor to output tensor.
"""

from __future__ import annotations

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.boards.emulation.guest import START, STOP, WARM_UP, Task
from fmnist_edge.errors import UnavailableError
from fmnist_edge.parity.c_form.run import build, check_tools, execute
from fmnist_edge.parity.c_form.scores import prepared
from fmnist_edge.parity.c_form.targets import TARGETS, Target
from fmnist_edge.worker.calls import program
from fmnist_edge.worker.temporary import temporary_folder

__all__ = ["count", "version_on"]


def version_on(target: Target) -> str:
    """What the instructions depend on besides the sources: the back end, the compiler, its options."""
    compiler = check_tools(target)
    reply = program([compiler, "--version"]).result(UnavailableError, f"{compiler}: ")
    return f"C for {target.back_end}; {str(reply).splitlines()[0]} {' '.join(target.options)}"


def count(request: JsonObject, progress: object) -> dict[str, str]:
    """Run in a child process; `request`: the fields of a Task, whose engine is the name of a core."""
    task = Task(**request)
    target = TARGETS[task.engine]
    image = np.load(task.images, mmap_mode="r", allow_pickle=False)[:1]
    form = prepared(task.artifact, np.array(image))
    with temporary_folder("c-form") as folder:
        built = build(target, form.files, form.name, folder)
        numbers = (WARM_UP, task.calls, task.sections, START, STOP)
        execute(target, built, folder, form.inputs, form.classes, list(map(str, numbers)))
    return {"engine_version": version_on(target)}
