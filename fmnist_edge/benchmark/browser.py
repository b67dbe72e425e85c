"""Measure a model in a browser: the child's side for engines whose target is the browser.

The protocol is that of `loop`: the samples are taken in a Web Worker, by `performance.now()`.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from time import perf_counter_ns
from typing import cast

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.benchmark.backend import compare_scores, compare_with_cpu, kind_of
from fmnist_edge.benchmark.images import images_for
from fmnist_edge.benchmark.loop import (
    NS_PER_S,
    SERIES_LIMIT_FACTOR,
    SERIES_LIMIT_S,
    WINDOW_S,
    Request,
    disagreement,
    failed,
    stolen_ns,
)
from fmnist_edge.benchmark.series import encode
from fmnist_edge.benchmark.usage import usage
from fmnist_edge.errors import ArtifactError
from fmnist_edge.runtime.classifier import Classifier
from fmnist_edge.runtime.engines.browser import BrowserEngine
from fmnist_edge.runtime.manifest import Manifest
from fmnist_edge.runtime.runner import Runner

__all__ = ["calls_per_sample", "reply_to"]

# A sample is at least this many steps of the clock long, so that the step is at most 1 % of it.
STEPS = 100
NS_PER_MS = 1_000_000
EXTRA_S = 120.0  # for an answer of the browser, beyond the time asked for
SERIES = ("engine", "end_to_end")
CONTEXT_SWITCHES = re.compile(r"^nonvoluntary_ctxt_switches:\s+(\d+)$", re.MULTILINE)


def reply_to(request: Request) -> JsonObject:
    """The child's task; adds the CPU time of the browser that the system does not count as ours."""
    before = usage(children=True).cpu_seconds
    with Classifier.load(request.artifact, threads=1, engine=request.engine) as classifier:
        engine = cast(BrowserEngine, classifier.engine)
        reply = check(classifier, request) if request.memory else measure(classifier, engine, request)
        spent = cpu_seconds(engine)
    counted = usage(children=True).cpu_seconds - before
    return {**reply, "uncounted_cpu_seconds": max(0.0, spent - counted)}


def measure(classifier: Classifier, engine: BrowserEngine, request: Request) -> JsonObject:
    """Like `loop.measure`; and the time to the first answer, the browser, its clock and the bytes loaded."""
    if request.batch != 1:
        raise ArtifactError(f"{request.artifact}: a batch of {request.batch}; in a browser one image is timed per call")
    images, source = images_for(classifier, request.artifact, request.images)
    runner = Runner(engine, classifier.contract)
    tensors = np.concatenate([runner.prepare(images[i : i + 1]).copy() for i in range(len(images))])
    engine.publish(images=images, tensors=tensors)
    engine.ask("data")
    load_ms = engine.ask("reload", EXTRA_S)
    _, first_ns = timed(engine, "engine")
    clock = engine.ask("clock")
    warm_up = {name: timed(engine, name, request.warm_up_seconds, request.warm_up_runs) for name in reversed(SERIES)}
    each = {name: calls_per_sample(ns / runs, clock["clock_ns"]) for name, (runs, ns) in warm_up.items()}
    seconds = {"engine": request.seconds, "end_to_end": request.end_to_end_seconds}
    runs, ns = warm_up["end_to_end"]
    return {
        "status": "measured",
        "engine_version": engine.version,
        "images": source,
        "cold_load_ns": int(engine.cold["load_ms"] * NS_PER_MS),
        "load_ns": int(load_ms * NS_PER_MS),
        "first_ns": first_ns,
        "first_answer_ns": int(engine.cold["first_answer_ms"] * NS_PER_MS),
        "warm_up": {"runs": runs, "seconds": ns / NS_PER_S},
        **{name: series(engine, name, each[name], seconds[name], request.min_queries) for name in SERIES},
        "placement": None,
        "device": None,
        "browser": facts(engine, clock),
    }


def check(classifier: Classifier, request: Request) -> JsonObject:
    """Whether the answers agree with the export's, and the graph's complexity. The memory of a page is not known."""
    from fmnist_edge.benchmark.complexity import complexity_of

    parity = parity_of(classifier, request)
    found = {"placement": None, "parity": parity}
    if not parity["passed"]:
        return {**failed(disagreement(parity)), **found}
    return {"status": "measured", "memory": None, "complexity": complexity_of(Path(request.artifact)), **found}


def parity_of(classifier: Classifier, request: Request) -> JsonObject:
    """The agreement with the golden vectors; of an artifact without any, with a CPU engine. See `backend`."""
    golden = Manifest.read(request.artifact).golden_vectors()
    if golden is None:
        images, _ = images_for(classifier, request.artifact, request.images)
        return compare_with_cpu(classifier, request.artifact, images, 1)
    found = classifier.scores(golden.images)
    compared = compare_scores(golden.scores, found, kind_of(request.artifact), classifier.contract)
    passed = compared["max_abs_delta"] <= golden.tolerance
    compared.update(reference="the golden vectors", tolerance=golden.tolerance, passed=passed)
    return compared


def timed(engine: BrowserEngine, name: str, seconds: float = 0, runs: int = 1) -> tuple[int, int]:
    """Call for `seconds` and at least `runs` times; (number of calls, ns)."""
    timeout = max(SERIES_LIMIT_S, SERIES_LIMIT_FACTOR * seconds) + EXTRA_S
    count, ms = engine.ask("warmUp", timeout, series=name, ms=seconds * 1000, runs=runs)
    return count, int(ms * NS_PER_MS)


def calls_per_sample(call_ns: float, clock_ns: int) -> int:
    """How many calls a sample takes, so that the clock's steps of `clock_ns` do not matter.

    >>> calls_per_sample(700_000, 5_000), calls_per_sample(60_000, 5_000)
    (1, 9)
    """
    return max(1, math.ceil(STEPS * clock_ns / max(call_ns, 1)))


def series(engine: BrowserEngine, name: str, each: int, seconds: float, least: int) -> JsonObject:
    """A `results.Series` of samples of `each` calls. Between two windows the worker waits for us."""
    windows, noise, count = [], [], 0
    longest = max(SERIES_LIMIT_S, SERIES_LIMIT_FACTOR * seconds)
    page, spent, begin = renderer(engine), cpu_seconds(engine), perf_counter_ns()
    while True:
        left = seconds - (perf_counter_ns() - begin) / NS_PER_S
        most = least - count if left <= 0 else 1 << 30
        length = WINDOW_S if left <= 0 else min(WINDOW_S, left)
        start, steal, switches = perf_counter_ns(), stolen_ns(), interruptions(page)
        samples = engine.ask("window", EXTRA_S, series=name, ms=1000 * length, most=most, each=each)
        elapsed = perf_counter_ns() - start
        windows.append(encode(samples))
        noise.append([elapsed, difference(switches, interruptions(page)), difference(steal, stolen_ns())])
        count += len(samples)
        total = (perf_counter_ns() - begin) / NS_PER_S
        if (total >= seconds and count >= least) or total >= longest:
            break
    return {
        "windows": windows,
        "noise": noise,
        "calls_per_sample": each,
        "elapsed_ns": perf_counter_ns() - begin,
        "cpu_ns": int((cpu_seconds(engine) - spent) * NS_PER_S),
        "voluntary_switches": None,
        "involuntary_switches": None,
    }


def difference(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before


def renderer(engine: BrowserEngine) -> int | None:
    """The process that runs the page: the one of its kind that has used most CPU time."""
    found = [item for item in engine.browser.processes() if item["type"] == "renderer"]
    return max(found, key=lambda item: item["cpuTime"])["id"] if found else None


def cpu_seconds(engine: BrowserEngine) -> float:
    """CPU time that all processes of the browser have used."""
    return float(sum(item["cpuTime"] for item in engine.browser.processes()))


def interruptions(pid: int | None) -> int | None:
    """Involuntary context switches of all threads of a process; None where the system does not tell."""
    try:
        texts = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    except OSError:  # a thread may end meanwhile
        return None
    found = [CONTEXT_SWITCHES.search(text) for text in texts]
    return sum(int(match[1]) for match in found if match) if texts else None


def facts(engine: BrowserEngine, clock: JsonObject) -> JsonObject:
    return {
        "name": engine.browser.name,
        "version": engine.browser.version,
        **clock,
        "bytes_loaded": engine.cold["bytes_loaded"],
    }
