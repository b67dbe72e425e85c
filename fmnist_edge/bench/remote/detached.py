"""A run on the device that nobody needs to watch: start it, follow it, fetch what it measured.

Who holds the lock runs; the lock goes with the process, whatever ends it. The standard library alone, but for the run.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from fmnist_edge.bench.remote.unpacked import RUN
from fmnist_edge.bench.remote.wire import say
from fmnist_edge.errors import FileError, FmnistEdgeError, UnavailableError, one_line
from fmnist_edge.files import sha256_of

__all__ = ["collect", "fetch", "follow", "measure", "read_state", "start"]

LOCK, LOG, STATE = "run.lock", "run.log", "state.json"
STATE_BYTES = 4096  # written whole at the start, so that a full disk has room for how the run ended
LOOK_S = 0.5
BEAT_S = 5.0  # a link that was cut is noticed when something is written to it
CHUNK = 48 * 1024
STOPPED = "it was stopped on the device"


def start(folder: Path) -> dict[str, Any]:
    """Make sure that the bundle in `folder` is being measured, or has been; its state.

    Raises UnavailableError when another bundle is being measured here, and FileError when the disk is full.
    """
    state = read_state(folder)
    if state["status"] == "done" and (folder / state["result"]).is_file():
        return state
    with open(folder.parent / LOCK, "a+b") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = owner_of(folder)
            if owner.get("bundle") == folder.name:
                return read_state(folder)
            how = f"wait for it, or end it there with: kill {owner.get('pid')}"
            raise UnavailableError(f"another run is under way on it; {how}") from None
        return launch(folder, lock.fileno())


def launch(folder: Path, lock: int) -> dict[str, Any]:
    state = {"status": "running"}
    try:
        write_state(folder, state)
        with open(folder / LOG, "wb") as log:
            child = subprocess.Popen(
                [sys.executable, RUN, "detached"],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # what ends the login does not end it
                pass_fds=(lock,),
            )
        os.ftruncate(lock, 0)
        os.write(lock, json.dumps({"bundle": folder.name, "pid": child.pid}).encode())
    except OSError as error:
        raise FileError(f"{folder}: cannot be written ({error.strerror})") from None
    return state


def measure(folder: Path) -> None:
    """The detached process: everything that it has to tell is in `folder` afterwards, whatever happens."""
    from fmnist_edge.bench.remote.device import measured

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)  # a shell that starts something in the background has it ignored
    state: dict[str, Any]
    try:
        path, result = measured(folder, say_progress)
        digest, size = sha256_of(path), path.stat().st_size
        state = {"status": "done", "result": str(path.relative_to(folder)), "sha256": digest, "size": size}
        if result["interrupted"]:
            state = {"status": "failed", "error": STOPPED, "exit_code": UnavailableError.exit_code}
    except KeyboardInterrupt:
        state = {"status": "failed", "error": STOPPED, "exit_code": UnavailableError.exit_code}
    except FmnistEdgeError as error:
        state = {"status": "failed", "error": one_line(error), "exit_code": error.exit_code}
    except Exception as error:
        state = {"status": "failed", "error": f"{type(error).__name__}: {one_line(error)}", "exit_code": 70}
    write_state(folder, state)


def say_progress(done: int, total: int, text: str) -> None:
    with suppress(OSError):  # a full disk ends the run where it loses a measurement, not for a line of the log
        print(f"{done}/{total} {text}", flush=True)


def follow(folder: Path, offset: int) -> None:
    """Print each line of the log from byte `offset` on, until the run has ended; then its state."""
    beat = time.monotonic()
    while True:
        is_last = not is_alive(folder)
        offset = print_log(folder, offset)
        if is_last:
            break
        if time.monotonic() - beat > BEAT_S:
            say({"offset": offset})
            beat = time.monotonic()
        time.sleep(LOOK_S)
    say({"state": read_state(folder)})


def print_log(folder: Path, offset: int) -> int:
    """Print the whole lines after `offset`; where the next begins. A log that has begun anew is read from its start."""
    try:
        with open(folder / LOG, "rb") as log:
            if offset > os.fstat(log.fileno()).st_size:
                offset = 0
            log.seek(offset)
            content = log.read()
    except FileNotFoundError:
        return 0
    for line in content[: content.rfind(b"\n") + 1].splitlines(keepends=True):
        offset += len(line)
        say({"offset": offset, "line": line.decode(errors="replace").rstrip("\n")})
    return offset


def fetch(folder: Path, offset: int) -> None:
    """Print the result from byte `offset` on."""
    with open(folder / read_state(folder)["result"], "rb") as file:
        file.seek(offset)
        while piece := file.read(CHUNK):
            say({"data": base64.b64encode(piece).decode()})


def collect(folder: Path) -> None:
    """The result has arrived: the next `start` measures anew. It stays on the device, too."""
    (folder / STATE).unlink(missing_ok=True)  # an answer that got lost is asked for again


def is_alive(folder: Path) -> bool:
    try:
        with open(folder.parent / LOCK, "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return owner_of(folder).get("bundle") == folder.name
    return False


def owner_of(folder: Path) -> dict[str, Any]:
    return read_json(folder.parent / LOCK)


def read_state(folder: Path) -> dict[str, Any]:
    """What the run last said of itself; "running" of one that is not alive is one that something ended."""
    return {"status": "new", **read_json(folder / STATE)}


def read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write_state(folder: Path, state: dict[str, Any]) -> None:
    path = folder / STATE
    with open(path, "r+b" if path.exists() else "wb") as file:
        file.write(json.dumps(state).encode().ljust(STATE_BYTES))
        file.flush()
        os.fsync(file.fileno())
