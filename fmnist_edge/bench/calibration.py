"""What this machine can do at most, measured through NumPy: float32 GEMM and memory copy, per number of threads.

It is the yardstick of `summary.roofline`, no promise: the BLAS that NumPy came with may not be this CPU's best, and it
knows no int8, in which engines can exceed it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any

import numpy as np

from fmnist_edge.bench.environment import cpu_flags, cpu_info, memory_bytes
from fmnist_edge.worker.calls import call
from fmnist_edge.worker.endings import Status

__all__ = ["calibrate", "copy_peak", "gemm_peak"]

METHOD = "NumPy: float32 matrix product and array copy, the fastest repetition"
GEMM_SIZE = 512  # three matrices of 1 MiB: in the cache of anything this runs on
COPY_BYTES = 64 << 20  # per thread; beyond most caches
COPY_SHARE = 16  # of the memory, at least this fraction is left alone
REPEAT_S = 0.5
LEAST_REPEATS = 5
TIMEOUT_S = 120
# Who reads which: OpenBLAS, OpenMP builds, MKL, Accelerate. They read it once, so each number takes a process.
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


# OpenBLAS chooses its kernels by the CPU's name, and takes AVX2's for an EPYC that has AVX-512: these are tried too.
AVX512_KERNELS = {"OPENBLAS_CORETYPE": "SkylakeX"}


def calibrate(threads: Sequence[int]) -> dict[str, Any]:
    """{"method", "blas", "threads": {"1": {"macs_per_s", "bytes_per_s"}, ...}, "reason"}; what could not be measured is
    missing from "threads", and "reason" says why."""
    found: dict[str, Any] = {}
    reason = None
    for count in sorted(set(threads)):
        limits = dict.fromkeys(THREAD_VARIABLES, str(count))
        kernels = ({}, AVX512_KERNELS) if "avx512f" in (cpu_flags(cpu_info()) or ()) else ({},)
        ends = [
            call("fmnist_edge.bench.calibration:peaks", count, timeout_s=TIMEOUT_S, environment={**limits, **more})
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
    """Multiply-accumulates a second of the fastest product of two float32 (size, size) matrices."""
    left, right = np.random.default_rng(0).random((2, size, size), np.float32)
    out = np.empty_like(left)
    return size**3 / fastest(lambda: np.matmul(left, right, out))


def copy_peak(threads: int, size: int | None = None) -> float:
    """Bytes a second, read and written, of the fastest copy of `size` bytes by each of `threads` threads at once."""
    size = size or min(COPY_BYTES, (memory_bytes() or COPY_BYTES * COPY_SHARE) // COPY_SHARE // threads)
    pairs = [(np.ones(size, np.uint8), np.ones(size, np.uint8)) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:  # NumPy copies without Python's lock
        return 2 * size * threads / fastest(lambda: list(pool.map(lambda pair: np.copyto(*pair), pairs)))


def fastest(call: Callable[[], object]) -> float:
    """Seconds of the fastest of many calls, the first left out."""
    call()
    times: list[float] = []
    while len(times) < LEAST_REPEATS or sum(times) < REPEAT_S:
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return min(times)


def blas() -> str | None:
    """Name and version of NumPy's BLAS."""
    try:
        found = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return f"{found['name']} {found['version']}"
    except (KeyError, TypeError):  # NumPy before 1.25 prints only
        return None
