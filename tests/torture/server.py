"""Commands run on hostile files, each in a child forked from a process that has the frameworks loaded already.

A start of Python with TensorFlow takes seconds, a fork takes hundredths of one, and whatever happens to a child happens
to it alone. What is watched: how it ends, how long it takes, what it prints, and which files it opens for writing.
"""

from __future__ import annotations

import io
import json
import os
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from fmnist_edge.worker import __main__ as worker
from fmnist_edge.worker import calls
from fmnist_edge.worker.endings import Ending, Status, ending_without_reply, parse_message, reply

__all__ = ["Outcome", "run_forked", "warm"]

MEMORY = 6 << 30  # bytes a child may have: the machine is to survive what the test is about
EVENTS = {"os.system", "os.exec", "os.posix_spawn", "os.spawn", "pickle.find_class", "socket.connect", "ctypes.dlopen"}
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "shutil.rmtree"}
TRIAL = "fmnist_edge.runtime.trial:load_and_run"
NONCE = "forked"
NOTE = re.compile(r"\d+ cells, plan |fmnist-edge: other programs use ")  # what bench says before it begins
ESCAPED = 71  # exit code of a command that raised what it should have caught
# How a Raspberry Pi and an NVIDIA GPU are asked for their clocks and temperature.
PROGRAMS = (sys.executable, "vcgencmd")
LIBRARIES = ("libnvidia-ml.so.1",)
MODULES = (
    "ai_edge_litert.interpreter", "h5py", "keras", "onnx", "onnxruntime", "tensorflow.lite.python.schema_py_generated",
    "tf2onnx", "tqdm", "PIL.Image", "matplotlib.pyplot", "fmnist_edge.commands.explain",
    "fmnist_edge.exporters.pipeline",
    "fmnist_edge.exporters.onnx_precisions", "fmnist_edge.data.files", "fmnist_edge.explain.explanation",
    "fmnist_edge.exporters.recovery.tuned", "fmnist_edge.explain.plot", "fmnist_edge.models.layers",
)  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass
class Outcome:
    """How a command ended.

    Attributes:
        code: its exit code; negative: the signal that ended it.
        hung: whether it had to be ended after the bound.
        suspect: what it did that a command has no business doing: run code from elsewhere, write elsewhere.
    """

    code: int
    seconds: float
    hung: bool = False
    said: str = ""
    suspect: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        """Which of the promises it broke."""
        lines = [line for line in self.said.splitlines() if line.strip() and not NOTE.match(line)]
        found = []
        if self.hung:
            found.append("hang")
        elif self.code < 0:
            found.append(f"crash ({signal.Signals(-self.code).name})")
        if self.code == 70:
            found.append("internal error")
        if "Traceback (most recent call last)" in self.said:
            found.append("traceback")
        elif self.code in (2, 3) and (len(lines) != 1 or not lines[0].startswith("fmnist-edge: error: ")):
            found.append("refusal that is not one line")
        return found + [f"suspect: {item}" for item in self.suspect]

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "seconds": round(self.seconds, 2), "faults": self.faults()}


def warm() -> None:
    """Load what children need. No TensorFlow op may run here: its threads would not survive the fork."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for module in MODULES:
        import_module(module)


def run_forked(
    arguments: Sequence[str],
    folder: Path,
    bound_s: float,
    *,
    forked_trials: bool = True,
    working: Path | None = None,
    user: int | None = None,
) -> Outcome:
    """`fmnist-edge ARGUMENTS` in `folder`, which and below which alone it may write.

    Args:
        forked_trials: whether the child process that a file is tried in is forked too, instead of started.
        working: the working folder, if another, which it may then write to as well.
        user: whom the command runs as, if not as us.
    """
    said = folder / "stderr"
    audit = folder / "audit"
    start = time.monotonic()
    child = os.fork()
    if not child:
        try:
            if user is not None:
                os.setgid(user)
                os.setuid(user)
            os._exit(run_here(arguments, folder, working or folder, forked_trials))
        finally:
            os._exit(ESCAPED)  # whatever it raised: a child must not tidy up in its parent's place
    code = waited(child, start + bound_s)
    return Outcome(
        code=-signal.SIGKILL if code is None else code,
        seconds=time.monotonic() - start,
        hung=code is None,
        said=said.read_text(errors="replace") if said.exists() else "",
        suspect=sorted(set(audit.read_text().splitlines())) if audit.exists() else [],
    )


def waited(child: int, until: float) -> int | None:
    """The child's exit code; None when it had to be killed at `until`, with all that it started."""
    while time.monotonic() < until:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def run_here(arguments: Sequence[str], folder: Path, working: Path, forked_trials: bool) -> int:
    """In the child: the exit code, as the installed command would give it."""
    try:
        os.setpgid(0, 0)
        os.chdir(working)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for descriptor in (1, 2):
            os.dup2(nowhere, descriptor)
        sys.stdout = io.TextIOWrapper(io.FileIO(os.devnull, "w"))
        sys.stderr = io.TextIOWrapper(io.FileIO(folder / "stderr", "w"), errors="replace", line_buffering=True)
        if forked_trials:
            calls.call = forked(calls.call)
        watch(folder, working, os.open(folder / "audit", os.O_WRONLY | os.O_CREAT | os.O_APPEND))
        from fmnist_edge.cli import main

        return main(list(arguments))
    except SystemExit as error:  # argparse
        return error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
        return ESCAPED


def watch(folder: Path, working: Path, log: int) -> None:
    """Note, from now on, code that is run from elsewhere and files that are written outside of both folders."""
    allowed = (f"{folder}/", f"{working}/", "/dev/null", "/dev/shm/")
    os.environ["TMPDIR"] = str(folder)
    import tempfile

    tempfile.tempdir = str(folder)

    def elsewhere(path: Any) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        text = os.path.normpath(
            working / os.fsdecode(path)
        )  # links need not be followed: there are none below `folder`
        return text not in (str(folder), str(working)) and not text.startswith(allowed) and "__pycache__" not in text

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = args
            if isinstance(flags, int) and flags & WRITING and elsewhere(path):
                os.write(log, f"wrote {os.fsdecode(path)!r}\n".encode())
        elif event in CHANGES and elsewhere(args[0]):
            os.write(log, f"{event} {args[0]!r}\n".encode())
        elif event in EVENTS and not (event == "ctypes.dlopen" and args[0] in LIBRARIES):
            os.write(log, f"{event} {args!r:.100}\n".encode())
        elif event == "subprocess.Popen" and args[0] not in PROGRAMS:
            os.write(log, f"{event} {args[1]!r:.100}\n".encode())

    sys.addaudithook(hook)


def forked(started: Callable[..., Ending]) -> Callable[..., Ending]:
    """`calls.call`, by which a trial of a file is forked off and not started: the same code, in a child as well."""

    def call(task: str, request: Any, **options: Any) -> Ending:
        if task != TRIAL:
            return started(task, request, **options)
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.close(read)
            os._exit(tried(task, request, write, options))
        os.close(write)
        code = waited(child, time.monotonic() + min(options["timeout_s"], 5))
        with os.fdopen(read, "rb") as pipe:
            messages = [message for line in pipe if (message := parse_message(line, NONCE))]
        if code is None:
            return Ending(Status.TIMED_OUT)
        return reply(*messages[-1]) if messages else ending_without_reply(code, "")

    return call


def tried(task: str, request: Any, write: int, options: dict[str, Any]) -> int:
    os.setpgid(0, 0)
    os.dup2(write, 1)
    try:
        order = {"request": request, "folder": None, "memory": options["memory"], "seconds": options["timeout_s"],
                 "prefix": None, "nonce": NONCE}  # fmt: skip
        worker.main(task, json.dumps(order))
        return 0
    except BaseException:
        return 1
