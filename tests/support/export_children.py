"""Children of an export without TensorFlow: they write small files, at once, and can be told to fail, crash or wait."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fmnist_edge.artifact import Artifact
from fmnist_edge.conversion.job import Job
from fmnist_edge.errors import FileError
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.manifest import Manifest

__all__ = ["WAITING", "quick_child"]

CONTRACT = Contract((2, 2, 1), "logits", ("a", "b"))
WAITING = "waiting-{}"  # file that a waiting child has written, by its format


def quick_child(request: Any, progress: Callable[[Any], object]) -> None:
    """Like `conversion.child.export_all`. `job.labels` says what happens: "onnx crash", "onnx fail" or "all wait"."""
    job = Job.from_json(request)
    which, _, what = (job.labels or "").partition(" ")
    progress({"loaded": "m"})
    progress({"findings": {"source": None, "reason": "", "warnings": [], "notes": []}})
    precisions = job.selected()
    for index in job.indices():
        precision = precisions[index]
        progress({"begun": index})
        concerned = which in ("all", precision.format)
        if concerned and what == "wait":
            Path(job.out, WAITING.format(precision.format)).write_text(str(os.getpid()))
            time.sleep(60)
        if concerned and what == "fail":
            raise FileError("the disk is full")
        if concerned and what == "crash" and precision.name == "float16":
            os.abort()
        path = Path(job.out, "m", precision.filename)
        manifest = Manifest.of(path.name, {"sha256": "0", "contract": CONTRACT.as_dict(), "precision": precision.name})
        Artifact.write(path, b"model", manifest)
        progress({"written": {"path": str(path), "tuning": None}})
