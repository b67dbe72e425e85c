"""The file to ship: the fastest that passed its check, by the newest run of each model and device."""

from types import SimpleNamespace

import pytest

from fmnist_edge.report.ship import ship_lines


def row(artifact="int8.tflite", us=10.0, passed=True, **more):
    fields = {"model": "m", "target": "cpu", "batch": 1, "threads": 1, "engine": "litert", "format": "tflite"}
    fields |= {"precision": "int8", "size_bytes": 2000.0, "accuracy": 0.9, "valid": True, **more}
    return SimpleNamespace(artifact=f"m/{artifact}", known_us=us, passed=passed, **fields)


def run(*rows, created="1", device="pi"):
    return SimpleNamespace(created=created, device=device, rows=rows)


def test_the_fastest_that_passed():
    rows = row(), row("float32.tflite", 7.0), row("dynamic_int8.tflite", 5.0, passed=False)
    (line,) = ship_lines([run(*rows)])
    expected = "ship m/float32.tflite with litert, 1 thread: 7.0 µs, 90.00% right, 2 kB; the fastest of 2 files that"
    assert line == f"m on pi: {expected} passed `check`"


@pytest.mark.parametrize("more", [
    {"target": "gpu"}, {"batch": 8}, {"engine": "keras-function"}, {"precision": "stock_int8"}, {"passed": None},
])  # fmt: skip
def test_what_no_device_gets_is_left_out(more):
    (line,) = ship_lines([run(row(), row("other.tflite", 1.0, **more))])
    assert "ship m/int8.tflite" in line and line.endswith("the only file that passed `check`")


def test_the_newest_run_counts_and_doubts_are_said():
    lines = ship_lines([run(row("new.tflite", 9.0, valid=False), created="2"), run(row("old.tflite", 1.0))])
    assert len(lines) == 1 and "ship m/new.tflite" in lines[0] and lines[0].endswith("; INVALID figures, measure again")
    assert ship_lines([run(row(passed=False))]) == [
        "m on pi: no file to ship; none of its files passed `fmnist-edge check`"
    ]
    assert ship_lines([run(row(passed=None))]) == ["m on pi: no file to ship; run `fmnist-edge check`, then bench"]
