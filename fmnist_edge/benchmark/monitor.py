"""Watch the machine while a child process runs: CPU use by others, frequency, temperature."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType

from fmnist_edge.benchmark.environment import ROOT
from fmnist_edge.benchmark.gpus import GpuMonitor
from fmnist_edge.benchmark.results import During
from fmnist_edge.benchmark.state import Jiffies, frequencies, highest_temperature, jiffies, throttle_count, throttled
from fmnist_edge.benchmark.usage import usage

__all__ = ["Monitor", "other_cores", "used", "with_own_cpu"]

PERIOD_S = 1.0  # one reading takes less than a millisecond


class Monitor:
    """Watches the machine inside `with`; afterwards `during` has the readings.

    With `gpu` it also reads the first NVIDIA GPU. CPU time of this process and its children counts as ours, all other
    CPU time as that of others.

    >>> with Monitor() as monitor:
    ...     pass
    >>> monitor.during["seconds"] >= 0
    True
    """

    during: During

    def __init__(self, root: Path = ROOT, period_s: float = PERIOD_S, gpu: bool = False) -> None:
        self._gpu = GpuMonitor() if gpu else None
        self._root, self._period_s = root, period_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._mhz: list[float] = []
        self._celsius: list[float] = []
        self._bits: int | None = None

    def __enter__(self) -> Monitor:
        self._count = throttle_count(self._root)
        self._bits = throttled()
        self._before, self._own, self._start = jiffies(self._root), own_cpu_seconds(), time.perf_counter()
        self._thread.start()
        if self._gpu is not None:
            self._gpu.__enter__()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        seconds = time.perf_counter() - self._start
        own, after = own_cpu_seconds() - self._own, jiffies(self._root)
        self._done.set()
        self._thread.join()
        if self._gpu is not None:  # after reading the CPU time, so that a slow driver does not extend its interval
            self._gpu.__exit__(kind, error, trace)
        self._look()
        # The bits "since boot" cover the time in between. Reading them every second would start a process every second.
        count, bits = throttle_count(self._root), None if self._bits is None else throttled()
        both = (self._before, after) if self._before and after else None
        self.during = {
            "seconds": seconds,
            "own_cpu_seconds": own,
            "other_cores": None if both is None else other_cores(*both, own, seconds),
            "steal_cores": None if both is None else used(both[0][1], both[1][1], seconds),
            "frequency_mhz": self._mhz or None,
            "temperature_c": self._celsius or None,
            "throttled": None if self._bits is None or bits is None else self._bits | bits,
            "throttle_count": None if count is None or self._count is None else count - self._count,
            "gpu": None if self._gpu is None else self._gpu.during,
        }

    def _watch(self) -> None:
        while not self._done.wait(self._period_s):
            self._look()

    def _look(self) -> None:
        """Record frequency and temperature. The working core changes, so the fastest core stands for it."""
        mhz, celsius = frequencies(self._root), highest_temperature(self._root)
        if mhz:
            self._mhz.append(max(mhz))
        if celsius is not None:
            self._celsius.append(celsius)


def own_cpu_seconds() -> float:
    """CPU time of this process and of those children that have ended."""
    return usage().cpu_seconds + usage(children=True).cpu_seconds


def other_cores(before: Jiffies, after: Jiffies, own_seconds: float, seconds: float) -> float:
    """Number of busy cores that were not ours, at least 0.

    The difference can come out below 0, because the kernel counts all CPU time in hundredths and ours exactly.

    >>> other_cores((100.0, 0.0), (114.0, 0.0), own_seconds=8.0, seconds=8.0)
    0.75
    """
    return max(0.0, used(before[0], after[0], seconds) - (own_seconds / seconds if seconds > 0 else 0.0))


def used(before: float, after: float, seconds: float) -> float:
    """CPU seconds as a number of busy cores."""
    return max(0.0, after - before) / seconds if seconds > 0 else 0.0


def with_own_cpu(during: During, seconds: float) -> During:
    """`during`, with `seconds` of CPU time that was ours, but of processes for which the system does not say so.

    >>> with Monitor() as monitor:
    ...     pass
    >>> with_own_cpu(monitor.during, 0.0) == monitor.during
    True
    """
    own, others, length = during["own_cpu_seconds"], during["other_cores"], during["seconds"]
    if not seconds or own is None or others is None or length <= 0:
        return during
    return {**during, "own_cpu_seconds": own + seconds, "other_cores": max(0.0, others - seconds / length)}
