"""The child process, which measures one cell in one round.

A fresh process shares no thread pool and no cache with other cells, and its first inference is really the first.
"""

from __future__ import annotations

import gc
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter_ns
from typing import Any, TypeVar

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.benchmark.images import images_for
from fmnist_edge.benchmark.series import encode
from fmnist_edge.benchmark.state import jiffies
from fmnist_edge.benchmark.tensors import Loaded, groups_of, load
from fmnist_edge.benchmark.usage import usage
from fmnist_edge.errors import ArtifactError
from fmnist_edge.runtime.engine_catalog import BROWSER, ENGINES
from fmnist_edge.runtime.model import Model
from fmnist_edge.runtime.runner import Runner, model_input

__all__ = ["Request", "measure", "reply_to"]

T = TypeVar("T")

WINDOW_S = 0.25  # short enough that a disturbance leaves other windows quiet
# A series stops after this many times its seconds, but not before SERIES_LIMIT_S. A very slow model then has fewer
# samples than the plan asks for.
SERIES_LIMIT_FACTOR = 3
SERIES_LIMIT_S = 30
MEMORY_RUNS = 10
NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Request:
    """The child's task.

    Attributes:
        images: a .npy file, uint8 (n, height, width, ...), or the records of `tensors.packed`; n is 0 for the
            artifact's golden images.
        seconds, end_to_end_seconds, min_queries: of each series in this round.
        memory: measure memory and count the graph's operations; time nothing.
        variables: environment variables of the child, which replace ours.
    """

    artifact: str
    engine: str
    threads: int
    batch: int
    images: str
    seconds: float
    end_to_end_seconds: float
    min_queries: int
    warm_up_runs: int
    warm_up_seconds: float
    memory: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)


def measure(request: Request) -> JsonObject:
    """Measure load, first inference, warm-up, engine-only series and end-to-end series, in whole nanoseconds.

    `cold_load_ns` includes importing the engine; `load_ns` is a second load, after that import. Raises what
    Classifier.load raises, and ArtifactError when the file's own batch size is not the request's.
    """
    cold, cold_load_ns = timed_load(request)
    cold.close()
    classifier, load_ns = timed_load(request)
    with classifier, without_gc():
        groups, source = groups_for(classifier, request)
        tensors = [prepared(classifier, group) for group in groups]
        run, classify = timed_calls(classifier)
        least = request.min_queries
        first, _ = calls(run, tensors, 0, 1)
        # One end-to-end call runs both paths, so both are warm before the first series.
        warm_up, _ = calls(classify, groups, request.warm_up_seconds, request.warm_up_runs)
        return {
            "status": "measured",
            "engine_version": classifier.engine.version,
            "images": source,
            "cold_load_ns": cold_load_ns,
            "load_ns": load_ns,
            "first_ns": first[0],
            "first_answer_ns": None,
            "warm_up": {"runs": len(warm_up), "seconds": sum(warm_up) / NS_PER_S},
            "engine": series(run, tensors, request.seconds, least),
            "end_to_end": series(classify, groups, request.end_to_end_seconds, least),
            **on_device(classifier, tensors, request),
        }


def on_device(classifier: Loaded, tensors: Sequence[np.ndarray], request: Request) -> JsonObject:
    """Where it ran, and the latency by the device's own clock if the engine reports it; both None on a CPU."""
    engine = classifier.engine
    if engine.placement is None:
        return {"placement": None, "device": None}
    from fmnist_edge.benchmark.backend import device_series

    seconds, least = request.end_to_end_seconds, request.min_queries
    return {
        "placement": engine.placement.as_dict(),
        "device": device_series(engine, tensors, seconds, least),
    }


def measure_memory(request: Request) -> JsonObject:
    """Measure memory and complexity of the artifact, and on a GPU its agreement with the CPU.

    Raises what `measure` raises.
    """
    baseline = peak_rss_bytes()
    classifier, _ = timed_load(request)
    with classifier:
        groups, _ = groups_for(classifier, request)
        _, classify = timed_calls(classifier)
        for group in groups[:MEMORY_RUNS]:
            classify(group)
        peak = peak_rss_bytes()
        found = answers(classifier, request)
        if found["parity"] is not None and not found["parity"]["passed"]:
            return {**failed(disagreement(found["parity"])), **found}
    known = baseline is not None and peak is not None
    memory = {"baseline_rss_bytes": baseline, "peak_rss_bytes": peak} if known else None
    # Imported last, because the graph's reader may need more memory than the engine.
    from fmnist_edge.benchmark.complexity import complexity_of

    return {"status": "measured", "memory": memory, "complexity": complexity_of(Path(request.artifact)), **found}


def answers(classifier: Loaded, request: Request) -> JsonObject:
    """Where the artifact runs, and whether its scores there agree with the CPU's; both None on a CPU."""
    engine = classifier.engine
    if engine.placement is None or isinstance(classifier, Model):
        return {"placement": None, "parity": None}
    from fmnist_edge.benchmark.backend import compare_with_cpu

    images, _ = images_for(classifier, request.artifact, request.images)
    parity = compare_with_cpu(classifier, request.artifact, images, request.batch)
    return {"placement": engine.placement.as_dict(), "parity": parity}


def disagreement(parity: JsonObject) -> str:
    return (
        f"not timed, because its answers differ from those of {parity['reference']}: scores differ by up to "
        f"{parity['max_abs_delta']:.3g}, allowed are {parity['tolerance']:.3g}; {parity['differing']} of "
        f"{parity['images']} images get another class"
    )


def timed_load(request: Request) -> tuple[Loaded, int]:
    start = perf_counter_ns()
    loaded = load(request.artifact, request.threads, request.engine)
    return loaded, perf_counter_ns() - start


def timed_calls(loaded: Loaded) -> tuple[Callable[[Any], object], Callable[[Any], object]]:
    """What is timed: the engine alone, and all of a call."""
    if isinstance(loaded, Model):
        return loaded.engine.run_all, loaded
    return loaded.engine.run, loaded.classify


def groups_for(classifier: Loaded, request: Request) -> tuple[Sequence[Any], str]:
    """One batch per call, (batch, *image) or arrays by name, and where it is from, see `images_for`."""
    fixed = classifier.engine.input.shape[0]
    if fixed not in (None, request.batch):
        raise ArtifactError(
            f"{request.artifact}: its batch size is {fixed}, but {request.batch} was requested; "
            f"export it with --batch {request.batch} or dynamic"
        )
    if isinstance(classifier, Model):
        return groups_of(classifier, np.load(request.images, allow_pickle=False), request.batch)
    images, source = images_for(classifier, request.artifact, request.images)
    return [images.take(range(i, i + request.batch), axis=0, mode="wrap") for i in range(len(images))], source


def prepared(classifier: Loaded, images: Any) -> Any:
    """The engine's input for `images`: scaled, quantised, and in a contiguous array of its own."""
    if isinstance(classifier, Model):
        return classifier.prepare(images)
    batch, _ = model_input(images, classifier.contract)
    return Runner(classifier.engine, classifier.contract).prepare(batch).copy()


def series(call: Callable[[T], object], items: Sequence[T], seconds: float, least: int) -> JsonObject:
    """Time calls as `calls` does; a `results.Series` with this process's CPU time and context switches."""
    before, start = usage(), perf_counter_ns()
    marks = [disturbance()]
    samples, ends = calls(call, items, seconds, least, lambda: marks.append(disturbance()))
    marks.append(disturbance())
    elapsed, spent = perf_counter_ns() - start, usage().since(before)
    pieces = np.split(np.frombuffer(samples, np.int64), ends)
    return {
        "windows": [encode(piece) for piece in pieces],
        "noise": [noise_between(*pair) for pair in zip(marks, marks[1:])],
        "calls_per_sample": 1,
        "elapsed_ns": elapsed,
        "cpu_ns": int(spent.cpu_seconds * NS_PER_S),
        "voluntary_switches": spent.voluntary_switches,
        "involuntary_switches": spent.involuntary_switches,
    }


Mark = tuple[int, int, "int | None"]  # wall clock in ns, involuntary context switches, stolen ns since boot


def disturbance() -> Mark:
    """What has disturbed this process so far. Takes about 0.1 ms, so it is read between calls, once in a window."""
    steal, switches = stolen_ns(), usage().involuntary_switches or 0
    return perf_counter_ns(), switches, steal


def stolen_ns() -> int | None:
    """What the hypervisor took from all cores since boot, in ns; None where the system does not tell."""
    found = jiffies()
    return None if found is None else int(found[1] * NS_PER_S)


def noise_between(before: Mark, after: Mark) -> list[int | None]:
    """A window's entry in the noise of a `results.Series`."""
    stolen = None if before[2] is None or after[2] is None else after[2] - before[2]
    return [after[0] - before[0], after[1] - before[1], stolen]


def calls(
    call: Callable[[T], object],
    items: Sequence[T],
    seconds: float,
    least: int,
    at_boundary: Callable[[], object] = lambda: None,
) -> tuple[array[int], list[int]]:
    """Time each `call(item)` in nanoseconds, cycling through `items`.

    Stops after `seconds` and `least` calls, whichever comes later. A very slow model stops earlier, see
    SERIES_LIMIT_FACTOR. `at_boundary` is called after each window but the last.
    Returns the samples (int64), and for each window the number of samples when it ended.
    """
    samples = array("q")
    ends: list[int] = []
    begin = perf_counter_ns()
    enough = begin + int(seconds * NS_PER_S)
    longest = begin + int(max(SERIES_LIMIT_S, SERIES_LIMIT_FACTOR * seconds) * NS_PER_S)
    window = int(WINDOW_S * NS_PER_S)
    boundary = begin + window
    number, count = len(items), 0
    while True:
        item = items[count % number]
        start = perf_counter_ns()
        call(item)
        end = perf_counter_ns()
        samples.append(end - start)
        count += 1
        if (end >= enough and count >= least) or end >= longest:
            return samples, ends
        if end >= boundary:
            ends.append(count)
            at_boundary()
            boundary += window * (1 + (end - boundary) // window)


@contextmanager
def without_gc() -> Iterator[None]:
    """Disable garbage collection, so that no pause falls into a sample. Reference counts still free memory."""
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def peak_rss_bytes() -> int | None:
    """Largest resident size of this process. getrusage would not do: on Linux a child starts with its parent's peak."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), None)


def failed(reason: str, status: str = "failed") -> JsonObject:
    return {"status": status, "reason": reason}


def reply_to(request: JsonObject, progress: object) -> JsonObject:
    """The child's task. `request`: a Request's fields."""
    asked = Request(**request)
    if ENGINES[asked.engine].target == BROWSER:
        from fmnist_edge.benchmark import browser

        return browser.reply_to(asked)
    return measure_memory(asked) if asked.memory else measure(asked)
