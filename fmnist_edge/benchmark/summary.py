"""Compute a cell's statistics from raw samples: percentiles, throughput, burst, sustained, repeatability, roofline."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.benchmark.estimates import estimate, p50s_of
from fmnist_edge.benchmark.results import Cell, Complexity, Series
from fmnist_edge.benchmark.series import encode, merged, nearest_rank
from fmnist_edge.errors import InputError

__all__ = ["SAMPLES_FOR_P99", "distribution", "limit_us", "repeatability", "summarize"]

# With 662 samples or more, at least two exceed the true 99th percentile, with 99 % confidence
# (0.99^n + n·0.01·0.99^(n-1) <= 0.01).
SAMPLES_FOR_P99 = 662
NS_PER_US = 1000
FIRST_SECOND_NS = 900_000_000  # the last of its windows may end a little early


def summarize(cell: Cell, calibration: JsonObject | None = None) -> JsonObject | None:
    """A cell's statistics over all its rounds, in µs; None when no round was measured."""
    rounds = cell["rounds"]
    if not rounds:
        return None
    engine = series_summary([part["engine"] for part in rounds], cell["batch"])
    return {
        **{
            name: distribution([encode([part[f"{name}_ns"] for part in rounds])])  # type: ignore[literal-required]
            for name in ("cold_load", "load", "first")
        },
        "engine": engine,
        "end_to_end": series_summary([part["end_to_end"] for part in rounds], cell["batch"]),
        "device": device_summary([part["device"] for part in rounds]),
        "roofline": roofline(cell, engine["p50"], calibration),
        "estimates": {name: estimate_summary(cell, name) for name in ("engine", "end_to_end")},
    }


def estimate_summary(cell: Cell, name: str) -> JsonObject | None:
    """The p50 of a series with its 95 % interval, in µs, see `estimates.estimate`; None for too few rounds."""
    found = estimate(p50s_of(cell, name))
    return None if found is None else {**asdict(found), "half_width": found.half_width}


def distribution(windows: Sequence[Sequence[Sequence[int]]]) -> JsonObject:
    """Count, p50, p90, p99, mean, min and max, in µs, of all samples. No sample is dropped as an outlier.

    Percentiles are nearest-rank (see `series.nearest_rank`). p99 is None below 662 samples. Raises InputError when
    there is no sample.

    >>> distribution([encode([3000, 1000, 2000])])["p50"]
    2.0
    """
    values, counts = merged(windows)
    total = int(counts.sum())
    if not total:
        raise InputError("no samples to summarize; expected at least 1")
    return {
        "count": total,
        "p50": nearest_rank(values, counts, 50) / NS_PER_US,
        "p90": nearest_rank(values, counts, 90) / NS_PER_US,
        "p99": nearest_rank(values, counts, 99) / NS_PER_US if total >= SAMPLES_FOR_P99 else None,
        "mean": int(values @ counts) / total / NS_PER_US,
        "min": int(values[0]) / NS_PER_US,
        "max": int(values[-1]) / NS_PER_US,
    }


def series_summary(parts: Sequence[Series], batch: int) -> JsonObject:
    """`distribution` of all rounds together, and these:

    images_per_s: throughput of sequential calls, without the time between calls. burst_p50: of the first second of
    each round. sustained_p50: of the later half of each round. Both are None when a round is hardly longer.
    round_p50, round_p90: of each round. repeatability: see `repeatability`.
    """
    whole = distribution([window for part in parts for window in part["windows"]])
    rounds = [distribution(part["windows"]) for part in parts]
    seconds = [first_second(part) for part in parts]
    long_enough = all(0 < count < len(part["windows"]) for count, part in zip(seconds, parts))
    first = [window for count, part in zip(seconds, parts) for window in part["windows"][:count]]
    late = [window for part in parts for window in part["windows"][len(part["windows"]) // 2 :]]
    return {
        **whole,
        "images_per_s": batch * 1e6 / whole["mean"] if whole["mean"] else None,
        "burst_p50": distribution(first)["p50"] if long_enough else None,
        "sustained_p50": distribution(late)["p50"] if long_enough else None,
        "round_p50": [item["p50"] for item in rounds],
        "round_p90": [item["p90"] for item in rounds],
        "repeatability": {name: repeatability([item[name] for item in rounds]) for name in ("p50", "p90")},
    }


def first_second(series: Series) -> int:
    """Number of windows in the first second. Before schema 4 a window was a second."""
    if series["noise"] is None:
        return 1
    count, elapsed = 0, 0
    while count < len(series["windows"]) and elapsed < FIRST_SECOND_NS:
        elapsed += series["noise"][count][0] or 0
        count += 1
    return count


def device_summary(parts: Sequence[Series | None]) -> JsonObject | None:
    """`distribution` of the latencies by the GPU's own clock; None when a round has none."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return distribution([window for part in known for window in part["windows"]])


def repeatability(rounds: Sequence[float]) -> float | None:
    """Largest difference to expect between two such runs, as a share.

    This is the repeatability limit of ISO 5725-6: 1.96·√2 standard errors. `rounds` is a percentile of each round. The
    standard error is that of their median, √(π/2)·s/√n. None for fewer than two rounds.

    >>> round(repeatability([100, 100, 100, 100, 104]), 3)
    0.028
    """
    middle = statistics.median(rounds) if rounds else 0
    if len(rounds) < 2 or middle <= 0:
        return None
    error = math.sqrt(math.pi / 2) * statistics.stdev(rounds) / math.sqrt(len(rounds))
    return 1.96 * math.sqrt(2) * error / middle


def roofline(cell: Cell, p50_us: float, calibration: JsonObject | None) -> JsonObject | None:
    """Compare the engine's p50 with this machine's measured peak for the same number of threads.

    None when the artifact's complexity or the machine's peak is unknown. The peak is that of float32, so integer
    engines may exceed it.

    Williams, Waterman and Patterson 2009, "Roofline: an insightful visual performance model".
    """
    peak = (calibration or {}).get("threads", {}).get(str(cell["threads"]))
    complexity = cell["complexity"]
    if peak is None or complexity is None or p50_us <= 0:
        return None
    limit, bound = limit_us(complexity, cell["batch"], peak["macs_per_s"], peak["bytes_per_s"])
    macs_per_s = complexity["macs"] * cell["batch"] / (p50_us / 1e6)
    return {
        "macs_per_s": macs_per_s,
        "share_of_gemm_peak": macs_per_s / peak["macs_per_s"],
        "limit_us": limit,
        "bound": bound,
        "share_of_limit": limit / p50_us,
    }


def limit_us(complexity: Complexity, batch: int, macs_per_s: float, bytes_per_s: float) -> tuple[float, str]:
    """Lower limit of a call's latency in µs, and whether "compute" or "memory" sets it.

    Assumes that a call reads every weight once, and writes and reads every activation once.

    >>> limit_us({"macs": 10**6, "parameters": 0, "weight_bytes": 4000, "activation_bytes": 1000}, 1, 1e10, 1e9)
    (100.0, 'compute')
    """
    compute = complexity["macs"] * batch / macs_per_s * 1e6
    memory = (complexity["weight_bytes"] + complexity["activation_bytes"] * batch) / bytes_per_s * 1e6
    return (compute, "compute") if compute >= memory else (memory, "memory")


def pooled(cell: Cell, name: str) -> tuple[np.ndarray, np.ndarray]:
    """All samples of a cell's series "engine" or "end_to_end": (values in ns, count of each)."""
    return merged(window for part in cell["rounds"] for window in part[name]["windows"])  # type: ignore[literal-required]
