"""Load the example HTTP service with twice its capacity: no answer may be lost or wrong, and memory must stay bounded.

    python scripts/soak_service.py exported/compact_cnn/int8.tflite --seconds 600
    python scripts/soak_service.py exported/compact_cnn/int8.tflite --seconds 5

The script first measures the capacity: answers per second to as many clients as the service lets wait. Then it sends
requests at twice that rate, without waiting for answers to earlier ones. Each request has its own connection and an
image whose answer is known. It must get that answer, or a clean 503 with Retry-After. Exit code 1 if a request got
anything else, if resident memory grew by more than --allowed after the first tenth of the time, or if threads or files
are left after the load. Percentiles are for this run on this machine, with the clients on the same cores.
"""

from __future__ import annotations

import argparse
import io
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fmnist_edge.files import write_json
from fmnist_edge.runtime import Classifier
from fmnist_edge.worker.calls import child_environment

SERVICE = Path(__file__).parents[1] / "examples/http_service.py"
WAITING = 8  # number of requests that the service accepts at once
SENDERS = 48  # threads; fewer than the service's limit of connections
IMAGES = 32
SIDE = 1024  # pixels per side of a photo, so that decoding keeps the service busy
LOOKS = 10
TIMEOUT_S = 30.0


@dataclass
class Tally:
    """The answers so far.

    Attributes:
        kinds: number of answers of each kind, see `kind_of`.
        latencies: seconds from connect to last byte of each right answer.
        odd: up to five answers that are neither right nor busy.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: str, seconds: float, said: bytes) -> None:
        with self.lock:
            self.kinds[kind] += 1
            if kind == "right":
                self.latencies.append(seconds)
            elif kind != "busy" and len(self.odd) < 5:
                self.odd.append(f"{kind}: {said[:200]!r}")


@dataclass(frozen=True)
class Question:
    """A request, and its only right answer: label and confidence to four places."""

    request: bytes
    answer: tuple[str, float]


def questions(model: str) -> list[Question]:
    """Requests with IMAGES photos, JPEGs of SIDE x SIDE pixels. No two have the same answer."""
    from PIL import Image

    rng = np.random.default_rng(0)
    found: dict[tuple[str, float], Question] = {}
    with Classifier.load(model, threads=1) as classify:
        while len(found) < IMAGES:
            coarse = rng.integers(0, 256, (5, 5), np.uint8)
            file = io.BytesIO()
            Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
            body = file.getvalue()
            expected = classify.from_file(io.BytesIO(body), invert="auto")
            answer = expected.label, round(expected.confidence, 4)
            head = f"POST /classify HTTP/1.1\r\nHost: soak\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
            found[answer] = Question(head.encode() + body, answer)
    return list(found.values())


@contextmanager
def service(model: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start the example as a user does; yields its process and port. Raises RuntimeError when it ends with an error."""
    command = [sys.executable, "-W", "error", str(SERVICE), model, "0", str(WAITING)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, env=child_environment(), **pipes) as process:
        try:
            yield process, int(process.stdout.readline().rpartition(":")[2])  # type: ignore[union-attr]
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(TIMEOUT_S)
    if code:
        raise RuntimeError(f"the service ended with code {code} when asked to stop")


def ask(port: int, request: bytes) -> bytes:
    """Send `request` and return the whole answer; empty when the service closes the connection without one."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as client:
        client.sendall(request)
        parts = []
        while part := client.recv(65536):
            parts.append(part)
        return b"".join(parts)


def is_healthy(port: int) -> bool:
    return ask(port, b"GET /health HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n").endswith(b'{"status":"ok"}')


def kind_of(said: bytes, expected: tuple[str, float]) -> str:
    """The kind of an answer: right, busy (a clean 503), wrong (another 200) or odd."""
    head, _, body = said.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1:2]
    if status == [b"200"]:
        try:
            found = json.loads(body)
            return "right" if (found["label"], round(found["confidence"], 4)) == expected else "wrong"
        except (ValueError, KeyError, TypeError):
            return "wrong"
    clean = b"\r\nretry-after: 1" in head and body == b'{"detail":"busy"}'
    return "busy" if status == [b"503"] and clean else "odd"


def put(port: int, question: Question, tally: Tally) -> None:
    begun = time.perf_counter()
    said = b""
    try:
        said = ask(port, question.request)
        kind = kind_of(said, question.answer) if said else "lost"
    except OSError as error:
        kind, said = "lost", str(error).encode()
    tally.add(kind, time.perf_counter() - begun, said)


def together(count: int, work) -> None:
    """Run `work(number)` in `count` threads and wait for all of them."""
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def capacity(port: int, asked: list[Question], seconds: float) -> float:
    """Right answers per second to WAITING clients that send the next request at once."""
    tally, end = Tally(), time.monotonic() + seconds

    def client(number: int) -> None:
        while time.monotonic() < end:
            put(port, asked[number % len(asked)], tally)

    together(WAITING, client)
    return tally.kinds["right"] / seconds


def load(port: int, asked: list[Question], rate: float, seconds: float, tally: Tally) -> float:
    """Send requests at `rate` per second from SENDERS threads; returns the rate that was reached.

    A thread is never later than its last answer took.
    """
    begun = time.monotonic()
    before = tally.kinds.total()

    def sender(number: int) -> None:
        turn = number
        while (due := begun + turn / rate) < begun + seconds:
            time.sleep(max(0.0, due - time.monotonic()))
            put(port, asked[turn % len(asked)], tally)
            # A late thread skips the requests that it missed, so that it does not send them in a burst.
            late = int((time.monotonic() - begun) * rate - turn) // SENDERS
            turn += SENDERS * max(1, late)

    together(SENDERS, sender)
    return (tally.kinds.total() - before) / (time.monotonic() - begun)


def resident_mb(pid: int) -> float:
    """Resident memory of a process in MB: Linux's VmRSS."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1000


def held(pid: int) -> tuple[int, int]:
    """(threads, open files) of a process."""
    return (len(list(Path(f"/proc/{pid}/task").iterdir())), len(list(Path(f"/proc/{pid}/fd").iterdir())))


def when_idle(pid: int, idle: tuple[int, int]) -> tuple[int, int]:
    """Wait until the process is back to `idle`, at most TIMEOUT_S; returns its (threads, open files)."""
    end = time.monotonic() + TIMEOUT_S
    while any(now > then for now, then in zip(held(pid), idle, strict=True)) and time.monotonic() < end:
        time.sleep(0.1)
    return held(pid)


def soak(model: str, seconds: float) -> dict:
    """Run everything; returns the figures."""
    asked = questions(model)
    with service(model) as (process, port):
        bearable = capacity(port, asked, min(10.0, seconds / 5))
        time.sleep(1)
        idle = held(process.pid)
        tally, memory, rates = Tally(), [], []
        for _ in range(LOOKS):
            rates.append(load(port, asked, 2 * bearable, seconds / LOOKS, tally))
            memory.append(resident_mb(process.pid))
        left = when_idle(process.pid, idle)
        healthy = is_healthy(port)
    tail = np.percentile(tally.latencies, [50, 99]) * 1e3 if tally.latencies else [0.0, 0.0]
    return {
        "seconds": seconds,
        "capacity_per_s": round(bearable, 1),
        "offered_per_s": round(float(np.mean(rates)), 1),
        "answers": dict(sorted(tally.kinds.items())),
        "odd": tally.odd,
        "p50_ms": round(float(tail[0]), 2),
        "p99_ms": round(float(tail[1]), 2),
        "resident_mb": memory,
        "threads_and_files": {"before": idle, "after": left},
        "healthy": healthy,
    }


def failures(found: dict, allowed_mb: float) -> list[str]:
    """The requirements that were not met, one line each."""
    wrong = [f"{count} {kind}" for kind, count in found["answers"].items() if kind not in ("right", "busy")]
    growth = max(found["resident_mb"]) - found["resident_mb"][0]
    held_before, held_after = found["threads_and_files"].values()
    if growth > allowed_mb:
        wrong.append(f"memory grew by {growth:.1f} MB, {allowed_mb:g} allowed")
    if any(now > then for now, then in zip(held_after, held_before, strict=True)):
        wrong.append(f"threads and files were {held_before}, are {held_after}")
    if not found["answers"].get("right"):
        wrong.append("nothing was answered")
    return wrong if found["healthy"] else [*wrong, "not healthy after the load"]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("artifact")
    parser.add_argument("--seconds", type=float, default=600.0, help="duration of the load (default 600)")
    parser.add_argument(
        "--allowed", type=float, default=10.0, metavar="MB", help="allowed growth of memory (default 10)"
    )
    parser.add_argument("--report", type=Path, default=Path("reports/soak_service.json"), metavar="FILE")
    options = parser.parse_args()
    found = soak(options.artifact, options.seconds)
    wrong = failures(found, options.allowed)
    write_json(options.report, {"schema": 1, **found, "failures": wrong})
    answers = ", ".join(f"{count:,} {kind}" for kind, count in found["answers"].items())
    print(f"capacity {found['capacity_per_s']:,} answers/s; load for {options.seconds:g} s", end=" ")
    print(f"{found['offered_per_s']:,} requests/s: {answers}")
    print(f"p50 {found['p50_ms']} ms, p99 {found['p99_ms']} ms in this run; resident MB", end=" ")
    print(*(f"{item:.1f}" for item in found["resident_mb"]))
    for line in [*wrong, *found["odd"]]:
        print(f"FAILED {line}", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
