"""Find and install the packages that the bundle needs. Uses only the standard library, because NumPy may be missing."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import IO

from fmnist_edge.errors import UnavailableError, one_line

__all__ = ["READY_MARKER", "blocked_reason", "install", "missing"]

READY_MARKER = "ready"  # a file in the virtual environment that says that pip succeeded
PIP = (
    "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--only-binary", ":all:",
    "--retries", "1", "--timeout", "15", "-r",
)  # fmt: skip
NO_NETWORK = ("name resolution", "NewConnectionError", "ConnectTimeout", "Network is unreachable", "ProxyError")
NUMPY = "numpy"  # the distribution, and the engine that needs no other package


def missing(requirements: Sequence[str]) -> list[str]:
    """Those of `requirements` that are not installed in any version. pip takes care of the versions."""
    return [item for item in requirements if not installed(distribution(item))]


def blocked_reason(requirements: Sequence[str], engines: Sequence[str]) -> str | None:
    """Why nothing can be measured here: no NumPy, or no engine. None when at least one engine can be measured."""
    absent = missing(requirements)
    if any(distribution(item) == NUMPY for item in absent):
        return "NumPy is not installed"
    if NUMPY in engines:
        return None
    more = [item for item in requirements if distribution(item) != NUMPY]
    names = " and ".join(map(distribution, more))
    return f"no engine is installed (of {names})" if set(more) <= set(absent) else None


def distribution(requirement: str) -> str:
    """The name of the package that a requirement asks for.

    >>> distribution("numpy>=1.24,<3")
    'numpy'
    """
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]


def installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def install(requirements: Path, environment: Path, say: Callable[[str], object]) -> None:
    """Create a virtual environment and install the file `requirements` in it. `say` gets each line of progress.

    A lock allows one installation at a time: after a broken link, an earlier one may still be running. Raises
    UnavailableError with the reason when there is no venv, no network, no space or no wheel for this machine.
    """
    environment.parent.mkdir(parents=True, exist_ok=True)
    with open(environment.with_name(environment.name + ".lock"), "wb") as lock:
        if take_lock(lock) and (environment / READY_MARKER).exists():
            return
        python = environment / "bin/python"
        run([sys.executable, "-m", "venv", "--clear", str(environment)], say, lock)
        run([str(python), "-m", "pip", *PIP, str(requirements)], say, lock)
        (environment / READY_MARKER).touch()


def take_lock(lock: IO[bytes]) -> bool:
    """Take `lock`; returns whether another process held it before."""
    import fcntl  # here, because Windows has none

    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return True
    return False


def run(command: list[str], say: Callable[[str], object], lock: IO[bytes]) -> None:
    lines = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        pass_fds=(lock.fileno(),),  # the child keeps the lock, even if this process is killed
    ) as child:
        for line in child.stdout or ():
            lines.append(line.rstrip())
            say(lines[-1])
    if child.returncode:
        raise UnavailableError(why(lines))


def why(lines: Sequence[str]) -> str:
    """Why venv or pip failed, one line, from their output."""
    text = "\n".join(lines)
    if "No space left on device" in text:
        return "No space left on device"
    if "ensurepip is not" in text or "No module named venv" in text or "No module named ensurepip" in text:
        return "its Python has no venv; run there: sudo apt install python3-venv"
    if any(sign in text for sign in NO_NETWORK):
        return "pip found no network"
    errors = [line for line in lines if line.startswith("ERROR: ")]
    last = (errors or [line for line in lines if line.strip()] or ["no message"])[-1]
    return f"pip: {one_line(ValueError(last.replace('ERROR: ', '')), 200)}"
