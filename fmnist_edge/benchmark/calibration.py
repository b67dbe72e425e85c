"""Measure this machine's peak through NumPy: float32 GEMM and memory copy, per number of threads.

`summary.roofline` compares cells with this peak. Engines can exceed it: NumPy's BLAS may not be the fastest for this
CPU, and it has no int8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.benchmark.environment import cpu_flags, cpu_info, memory_bytes
from fmnist_edge.worker.calls import call
from fmnist_edge.worker.endings import Status

__all__ = ["calibrate", "copy_peak", "gemm_peak"]

METHOD = "NumPy: float32 matrix product and array copy, the fastest repetition"
GEMM_SIZE = 512  # three matrices of 1 MiB each fit the cache of any CPU that this runs on
COPY_BYTES = 64 << 20  # per thread; larger than most caches
COPY_SHARE = 16  # sources take at most 1/16 of the memory, over all threads, and so do targets
REPEAT_S = 0.5
MIN_REPEATS = 5
TIMEOUT_S = 120
# Read by OpenBLAS, OpenMP builds, MKL and Accelerate, in this order. A BLAS reads its variable once, so each number of
# threads needs its own process.
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


# OpenBLAS chooses kernels by the CPU's name, and picks AVX2 for an EPYC that has AVX-512. So we also try AVX-512.
AVX512_KERNELS = {"OPENBLAS_CORETYPE": "SkylakeX"}


def calibrate(threads: Sequence[int]) -> JsonObject:
    """Measure the peak for each number of threads.

    Returns {"method", "blas", "threads": {"1": {"macs_per_s", "bytes_per_s"}, ...}, "reason"}. A number of threads
    that could not be measured is missing from "threads", and "reason" says why.
    """
    found: JsonObject = {}
    reason = None
    for count in sorted(set(threads)):
        limits = dict.fromkeys(THREAD_VARIABLES, str(count))
        kernels = ({}, AVX512_KERNELS) if "avx512f" in (cpu_flags(cpu_info()) or ()) else ({},)
        ends = [
            call("fmnist_edge.benchmark.calibration:peaks", count, timeout_s=TIMEOUT_S, environment={**limits, **more})
            for more in kernels
        ]
        measured = [end.value for end in ends if end.status is Status.DONE]
        if measured:
            found[str(count)] = {name: max(peak[name] for peak in measured) for name in ("macs_per_s", "bytes_per_s")}
        else:
            reason = ends[0].reason
    return {"method": METHOD, "blas": blas(), "threads": found, "reason": reason}


def peaks(threads: int, progress: object) -> dict[str, float]:
    """The child's task."""
    return {"macs_per_s": gemm_peak(), "bytes_per_s": copy_peak(threads)}


def gemm_peak(size: int = GEMM_SIZE) -> float:
    """Multiply-accumulates per second of the fastest product of two float32 (size, size) matrices."""
    left, right = np.random.default_rng(0).random((2, size, size), np.float32)
    out = np.empty_like(left)
    return size**3 / fastest(lambda: np.matmul(left, right, out))


def copy_peak(threads: int, size: int | None = None) -> float:
    """Bytes read and written per second, when `threads` threads each copy `size` bytes at once; the fastest try."""
    size = size or min(COPY_BYTES, (memory_bytes() or COPY_BYTES * COPY_SHARE) // COPY_SHARE // threads)
    pairs = [(np.ones(size, np.uint8), np.ones(size, np.uint8)) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:  # NumPy releases Python's lock while it copies
        return 2 * size * threads / fastest(lambda: list(pool.map(lambda pair: np.copyto(*pair), pairs)))


def fastest(call: Callable[[], object]) -> float:
    """Seconds of the fastest of many calls; the first call is not timed."""
    call()
    times: list[float] = []
    while len(times) < MIN_REPEATS or sum(times) < REPEAT_S:
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return min(times)


def blas() -> str | None:
    """Name and version of NumPy's BLAS."""
    try:
        found = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return f"{found['name']} {found['version']}"
    except (KeyError, TypeError):  # NumPy before 1.25 prints it and returns nothing
        return None
