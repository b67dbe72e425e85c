"""Run in the background on the device: start the run, follow its log, fetch its result.

The running process holds a lock, which the system releases however the process ends. Only the run itself needs more
than the standard library.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from fmnist_edge.aliases import JsonObject
from fmnist_edge.benchmark.remote.unpacked import RUN
from fmnist_edge.benchmark.remote.wire import say
from fmnist_edge.errors import FileError, FmnistEdgeError, UnavailableError, one_line
from fmnist_edge.files import sha256_of

__all__ = ["collect", "fetch", "follow", "measure", "read_state", "start"]

LOCK, LOG, STATE = "run.lock", "run.log", "state.json"
STATE_BYTES = 4096  # reserved at the start, so that the final state fits on a full disk
LOOK_S = 0.5
BEAT_S = 5.0  # a broken link is only noticed when something is written to it
CHUNK = 48 * 1024
STOPPED = "it was stopped on the device"


def start(folder: Path) -> JsonObject:
    """Start measuring the bundle in `folder`, unless it is running or done; returns its state.

    Raises UnavailableError when another bundle is being measured on this device, and FileError when the disk is full.
    """
    state = read_state(folder)
    if state["status"] == "done" and (folder / state["result"]).is_file():
        return state
    import fcntl  # here, because Windows has none

    with open(folder.parent / LOCK, "a+b") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = owner_of(folder)
            if owner.get("bundle") == folder.name:
                return read_state(folder)
            how = f"wait for it, or stop it there with: kill {owner.get('pid')}"
            raise UnavailableError(f"another run is in progress on the device; {how}") from None
        return launch(folder, lock.fileno())


def launch(folder: Path, lock: int) -> JsonObject:
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
                start_new_session=True,  # the run continues after the login ends
                pass_fds=(lock,),
            )
        os.ftruncate(lock, 0)
        os.write(lock, json.dumps({"bundle": folder.name, "pid": child.pid}).encode())
    except OSError as error:
        raise FileError(f"{folder}: cannot be written ({error.strerror})") from None
    return state


def measure(folder: Path) -> None:
    """The background process. Whatever happens, it leaves its state in `folder`."""
    from fmnist_edge.benchmark.remote.device import run_bundle

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)  # shells make background processes ignore SIGINT
    state: JsonObject
    try:
        path, result = run_bundle(folder, say_progress)
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
    with suppress(OSError):  # on a full disk a lost log line must not end the run; a lost measurement does
        print(f"{done}/{total} {text}", flush=True)


def follow(folder: Path, offset: int) -> None:
    """Print the log's lines from byte `offset` on until the run ends; then print its state."""
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
    """Print the complete lines after `offset`; returns the offset of the next. A new, shorter log is read from its
    start."""
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
    """Print the results file from byte `offset` on."""
    with open(folder / read_state(folder)["result"], "rb") as file:
        file.seek(offset)
        while piece := file.read(CHUNK):
            say({"data": base64.b64encode(piece).decode()})


def collect(folder: Path) -> None:
    """Confirm that the result has arrived. The next `start` measures again; the results file stays on the device."""
    (folder / STATE).unlink(missing_ok=True)  # it may be gone: after a broken link this is called again


def is_alive(folder: Path) -> bool:
    import fcntl

    try:
        with open(folder.parent / LOCK, "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return owner_of(folder).get("bundle") == folder.name
    return False


def owner_of(folder: Path) -> JsonObject:
    return read_json(folder.parent / LOCK)


def read_state(folder: Path) -> JsonObject:
    """The state that the run wrote last. "running" without a live process means that the process was killed."""
    return {"status": "new", **read_json(folder / STATE)}


def read_json(path: Path) -> JsonObject:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write_state(folder: Path, state: JsonObject) -> None:
    path = folder / STATE
    with open(path, "r+b" if path.exists() else "wb") as file:
        file.write(json.dumps(state).encode().ljust(STATE_BYTES))
        file.flush()
        os.fsync(file.fileno())
