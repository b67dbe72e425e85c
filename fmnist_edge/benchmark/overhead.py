"""Measure the time that we add to an engine's own: by the bench suite's loop, or by a whole call of a Classifier.

The baseline is a bare loop over the engine's own API. The two alternate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.benchmark.bare import BARE_LOOPS
from fmnist_edge.benchmark.loop import calls, prepared, without_gc
from fmnist_edge.runtime.classifier import Classifier
from fmnist_edge.worker.calls import call
from fmnist_edge.worker.endings import Status

__all__ = ["Overhead", "measure_overhead", "overhead"]

ALLOWED_NS, ALLOWED_SHARE = 2000, 0.02  # for the suite's loop; the larger one applies
PAIRS, MIN_PAIRS = 1000, 30
TIME_LIMIT_S = 15  # after this time MIN_PAIRS are enough
BLOCK_S = 0.002  # short, so that other load disturbs only a few blocks, which the median ignores
WARM_UP_S = 0.5
REPLICATES = 2000
TIMEOUT_S = 300


@dataclass(frozen=True)
class Overhead:
    """Nanoseconds per call: of the bare loop, and the median that we add to it, with a 95 % bootstrap interval."""

    bare_ns: float
    added_ns: float
    lower_ns: float
    upper_ns: float

    @property
    def allowed_ns(self) -> float:
        return max(ALLOWED_NS, ALLOWED_SHARE * self.bare_ns)

    @property
    def passed(self) -> bool:
        return self.upper_ns <= self.allowed_ns


def measure_overhead(artifact: Path, engine: str, images: Path, whole: bool = False) -> Overhead | str:
    """Measure in a child process; returns the reason, one line, when that fails.

    Args:
        images: a .npy file, uint8 (n, height, width).
        whole: measure a Classifier's calls with one image each, instead of the suite's loop.
    """
    question = {"artifact": str(artifact), "engine": engine, "images": str(images), "whole": whole}
    end = call("fmnist_edge.benchmark.overhead:reply_to", question, timeout_s=TIMEOUT_S)
    return Overhead(**end.value) if end.status is Status.DONE else end.reason


def reply_to(question: JsonObject, progress: object) -> JsonObject:
    """The child's task. `question`: the arguments of `measure`; "images" is a file."""
    return vars(measure(**{**question, "images": np.load(question["images"], allow_pickle=False)}))


def measure(artifact: str, engine: str, images: np.ndarray, whole: bool = False) -> Overhead:
    """Alternate blocks of both loops, so that drift affects both equally. Raises what Classifier.load raises."""
    bare = BARE_LOOPS[engine](artifact)
    with Classifier.load(artifact, threads=1, engine=engine) as classifier, without_gc():
        tensors = [prepared(classifier, image[None]) for image in images]
        warm_up, _ = calls(classifier.engine.run, tensors, WARM_UP_S, 10)
        count = max(3, int(BLOCK_S * 1e9 / (sum(warm_up) / len(warm_up))))
        bare(tensors, count)

        def time_suite_loop() -> float:
            samples, _ = calls(classifier.engine.run, tensors, 0, count)
            return sum(samples) / count

        def time_classifier() -> float:
            start = perf_counter_ns()
            for index in range(count):
                classifier(images[index % len(images)])
            return (perf_counter_ns() - start) / count

        def time_bare_loop() -> float:
            start = perf_counter_ns()
            bare(tensors, count)
            return (perf_counter_ns() - start) / count

        measured = time_classifier if whole else time_suite_loop
        pairs: list[tuple[float, float]] = []
        end = perf_counter_ns() + TIME_LIMIT_S * 10**9
        while len(pairs) < PAIRS and (len(pairs) < MIN_PAIRS or perf_counter_ns() < end):
            if len(pairs) % 2:  # the order within a pair alternates, too
                pairs.append((measured(), time_bare_loop()))
            else:
                bare_ns = time_bare_loop()
                pairs.append((measured(), bare_ns))
    return overhead(pairs)


def overhead(pairs: Sequence[tuple[float, float]], seed: int = 0) -> Overhead:
    """Overhead from pairs of (our mean time per call, the bare loop's time per call), both in ns.

    >>> overhead([(1200.0, 1000.0), (1210.0, 1000.0), (1190.0, 1000.0)]).added_ns
    200.0
    """
    ours, bare = np.asarray(pairs, float).T
    added = ours - bare
    drawn = np.random.default_rng(seed).integers(len(added), size=(REPLICATES, len(added)))
    lower, upper = np.quantile(np.median(added[drawn], axis=1), [0.025, 0.975])
    return Overhead(float(np.median(bare)), float(np.median(added)), float(lower), float(upper))
