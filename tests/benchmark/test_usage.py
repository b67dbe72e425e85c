"""CPU time where there is no module `resource`, as on Windows."""

import time

from fmnist_edge.benchmark import monitor
from fmnist_edge.benchmark import usage as module
from fmnist_edge.benchmark.loop import series
from fmnist_edge.benchmark.usage import usage


def spend(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_both_ways_count_the_same_time(monkeypatch):
    before = usage()
    spend(0.2)
    spent = usage().since(before)
    assert spent.cpu_seconds >= 0.2 and spent.voluntary_switches >= 0
    monkeypatch.setattr(module, "resource", None)
    assert abs(usage().cpu_seconds - before.cpu_seconds - spent.cpu_seconds) < 0.1
    assert usage().since(usage())[1:] == (None, None)


def test_a_series_is_measured_without_it(monkeypatch):
    monkeypatch.setattr(module, "resource", None)
    found = series(lambda item: item, [1], 0.01, 5)
    assert found["cpu_ns"] >= 0 and found["voluntary_switches"] is found["involuntary_switches"] is None
    assert monitor.own_cpu_seconds() > 0
