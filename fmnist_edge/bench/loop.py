"""One cell, one round, in a process of its own: nobody else's thread pool or cache, and a real first inference.

`python -m fmnist_edge.bench.loop` reads a Request as JSON on stdin and prints its reply as JSON on stdout.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np

from fmnist_edge.errors import ArtifactError, FmnistEdgeError, UnavailableError, one_line
from fmnist_edge.runtime.classifier import Classifier
from fmnist_edge.runtime.probe import child_environment

__all__ = ["Request", "measure", "run_child"]

TIMEOUT_S = 180
LONGEST_SERIES_S = 30  # a very slow model stops here with fewer samples, well before the timeout
NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Request:
    """What the child is to measure; `images` is a .npy file, uint8 (n, height, width)."""

    artifact: str
    engine: str
    threads: int
    batch: int
    images: str
    seconds: float
    min_samples: int
    warm_up_runs: int
    warm_up_seconds: float


def measure(request: Request) -> dict[str, Any]:
    """Load, first inference, warm-up, engine-only series, end-to-end series; times in whole nanoseconds.

    `cold_load_ns` includes importing the engine; `load_ns` is the same load once it is imported. Raises what
    Classifier.load raises, and ArtifactError when the file's own batch size is not the request's.
    """
    cold, cold_load_ns = timed_load(request)
    cold.close()
    classifier, load_ns = timed_load(request)
    with classifier, without_gc():
        check_batch(classifier, request)
        images, source = images_for(classifier, request.images)
        groups = [images.take(range(i, i + request.batch), axis=0, mode="wrap") for i in range(len(images))]
        tensors = [prepared(classifier, group) for group in groups]
        first = series(classifier.engine.run, tensors, 0, 1)
        warm_up = series(classifier.classify, groups, request.warm_up_seconds, request.warm_up_runs)
        engine_ns = series(classifier.engine.run, tensors, request.seconds, request.min_samples)
        end_to_end_ns = series(classifier.classify, groups, request.seconds, request.min_samples)
        return {
            "status": "measured",
            "engine_version": classifier.engine.version,
            "threads": request.threads,
            "images": source,
            "cold_load_ns": cold_load_ns,
            "load_ns": load_ns,
            "first_ns": first[0],
            "warm_up": {"runs": len(warm_up), "seconds": sum(warm_up) / NS_PER_S},
            "engine_ns": engine_ns,
            "end_to_end_ns": end_to_end_ns,
            "peak_rss_bytes": peak_rss_bytes(),
        }


def timed_load(request: Request) -> tuple[Classifier, int]:
    start = perf_counter_ns()
    classifier = Classifier.load(request.artifact, threads=request.threads, engine=request.engine)
    return classifier, perf_counter_ns() - start


def check_batch(classifier: Classifier, request: Request) -> None:
    fixed = classifier.engine.input.shape[0]
    if fixed not in (None, request.batch):
        raise ArtifactError(
            f"{request.artifact}: takes {fixed} images a call, {request.batch} asked; "
            f"export it with --batch {request.batch} or dynamic"
        )


def images_for(classifier: Classifier, path: str) -> tuple[np.ndarray, str]:
    """The images of `path`, or as many of noise where the model takes another shape, and which of the two."""
    images = np.load(path, allow_pickle=False)
    shape = classifier.contract.input_shape
    if images.shape[1:] in (shape, shape[:-1] if shape[-1] == 1 else shape):
        return images, "given"
    return np.random.default_rng(0).integers(0, 256, (len(images), *shape), np.uint8), "noise"


def prepared(classifier: Classifier, images: np.ndarray) -> np.ndarray:
    """`images` as the engine takes them: scaled, quantised, contiguous."""
    contract = classifier.contract
    batch = contract.preprocessing.apply(images, contract.input_shape)
    return np.ascontiguousarray(classifier.engine.input.quantize(batch))


def series(call: Callable[[Any], Any], items: Sequence[Any], seconds: float, least: int) -> list[int]:
    """Nanoseconds of each `call(item)`, cycling through `items`, until both `seconds` and `least` are reached."""
    samples: list[int] = []
    begin = perf_counter_ns()
    enough, longest = begin + int(seconds * NS_PER_S), begin + LONGEST_SERIES_S * NS_PER_S
    while True:
        item = items[len(samples) % len(items)]
        start = perf_counter_ns()
        call(item)
        end = perf_counter_ns()
        samples.append(end - start)
        if (end >= enough and len(samples) >= least) or end >= longest:
            return samples


@contextmanager
def without_gc() -> Iterator[None]:
    """No collection pause lands in a sample; what the calls allocate is freed by its reference count."""
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def peak_rss_bytes() -> int | None:
    """Largest resident size of this process. Not getrusage: on Linux that starts from the parent's own peak."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), None)


def run_child(request: Request, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """`measure(request)` in a child. Never raises for what happens there: the reply's "status" is then "failed" or
    "unavailable", with one line under "reason"."""
    try:
        done = subprocess.run(
            child_command(),
            input=json.dumps(asdict(request)).encode(),
            capture_output=True,
            timeout=timeout_s,
            env=child_environment(),
            process_group=0,  # Ctrl-C reaches the parent alone, which then ends the child
            check=False,
        )
    except subprocess.TimeoutExpired:
        return failed(f"not done after {timeout_s:g} s")
    except OSError as error:
        return failed(f"the measuring process did not start ({error.strerror or error})")
    if done.returncode < 0:
        return failed(f"{request.engine} crashed on it ({signal_name(-done.returncode)})")
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        said = (done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
        return failed(f"the measuring process ended with code {done.returncode} ({said[:160]})")


def child_command() -> list[str]:
    return [sys.executable, "-m", "fmnist_edge.bench.loop"]


def failed(reason: str, status: str = "failed") -> dict[str, Any]:
    return {"status": status, "reason": reason}


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def reply_to(request: Request) -> dict[str, Any]:
    try:
        return measure(request)
    except UnavailableError as error:
        return failed(one_line(error), "unavailable")
    except FmnistEdgeError as error:
        return failed(one_line(error))
    except Exception as error:  # engines raise classes of their own
        return failed(f"{type(error).__name__}: {one_line(error, 200)}")


def main() -> None:
    """The child. What engines print to file descriptor 1 goes to stderr, so that stdout holds the reply alone."""
    with os.fdopen(os.dup(1), "w") as answer:
        os.dup2(2, 1)
        print(json.dumps(reply_to(Request(**json.load(sys.stdin)))), file=answer)


if __name__ == "__main__":
    main()
