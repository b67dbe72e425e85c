import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.bench_models import write_onnx

from fmnist_edge.benchmark import bare, calibration, overhead
from fmnist_edge.benchmark.overhead import Overhead
from fmnist_edge.runtime.engine_catalog import ENGINES
from fmnist_edge.worker.endings import Ending, Status

NS = st.floats(100, 1e7)


@given(st.lists(st.tuples(NS, NS), min_size=1, max_size=30))
def test_what_ours_adds_is_the_median_difference_with_its_interval(pairs):
    found = overhead.overhead(pairs)
    assert found.added_ns == pytest.approx(np.median([ours - bare for ours, bare in pairs]))
    assert found.bare_ns == pytest.approx(np.median([bare for _, bare in pairs]))
    assert found.lower_ns <= found.upper_ns


@pytest.mark.parametrize(
    "bare_us, upper_us, passed", [(10, 2, True), (10, 2.1, False), (100, 2, True), (1000, 19, True), (1000, 21, False)]
)
def test_two_microseconds_or_two_percent_are_allowed_and_the_whole_interval_counts(bare_us, upper_us, passed):
    found = Overhead(bare_us * 1000, 0, -100, upper_us * 1000)
    assert found.passed is passed
    assert dataclasses.replace(found, added_ns=10**9).passed is passed


def test_both_loops_run_the_same_file(tmp_path, monkeypatch):
    monkeypatch.setattr(overhead, "PAIRS", 4)
    monkeypatch.setattr(overhead, "BLOCK_S", 0.001)
    monkeypatch.setattr(overhead, "WARM_UP_S", 0.001)
    images = np.zeros((4, 28, 28), np.uint8)
    found = overhead.measure(str(write_onnx(tmp_path / "float32.onnx")), "onnxruntime", images)
    assert found.bare_ns > 0


@pytest.mark.parametrize("engine", bare.BARE_LOOPS)
def test_every_bare_loop_is_of_an_engine_and_runs_its_file(engine, linear_models):
    assert engine in ENGINES
    path = linear_models["float32.tflite" if engine == "litert" else "float32.onnx"]
    loop = bare.BARE_LOOPS[engine](str(path))
    loop([np.zeros((1, 28, 28, 1), np.float32)], 2)
    with pytest.raises(Exception, match=r".+"):  # it does look at its tensors
        loop([np.zeros((1, 2), np.float32)], 1)


def test_a_file_that_cannot_run_is_a_line(tmp_path):
    path, images = tmp_path / "a.onnx", tmp_path / "images.npy"
    path.write_bytes(b"nothing")
    np.save(images, np.zeros((2, 28, 28), np.uint8))
    reason = overhead.measure_overhead(path, "onnxruntime", images)
    assert isinstance(reason, str) and "\n" not in reason


def test_the_peak_is_measured(monkeypatch):
    monkeypatch.setattr(calibration, "REPEAT_S", 0.0)
    assert calibration.gemm_peak(64) > 0
    assert calibration.copy_peak(2, 1 << 20) > 0


@pytest.mark.slow
def test_each_number_of_threads_has_its_process():
    found = calibration.calibrate([2, 1, 2])
    assert list(found["threads"]) == ["1", "2"] and found["reason"] is None and "NumPy" in found["method"]
    assert all(part["macs_per_s"] > 1e6 and part["bytes_per_s"] > 1e6 for part in found["threads"].values())


def test_the_peak_is_of_the_fastest_kernels(monkeypatch):
    """OpenBLAS may not take a CPU's AVX-512 by itself."""
    figures = {"SkylakeX": {"macs_per_s": 3.0, "bytes_per_s": 1.0}, None: {"macs_per_s": 2.0, "bytes_per_s": 2.0}}

    def call(task, count, *, timeout_s, environment):
        return Ending(Status.DONE, value=figures[environment.get("OPENBLAS_CORETYPE")])

    monkeypatch.setattr(calibration, "call", call)
    monkeypatch.setattr(calibration, "cpu_flags", lambda cpu: ["avx2", "avx512f"])
    assert calibration.calibrate([1])["threads"] == {"1": {"macs_per_s": 3.0, "bytes_per_s": 2.0}}
    monkeypatch.setattr(calibration, "cpu_flags", lambda cpu: None)
    assert calibration.calibrate([1])["threads"] == {"1": {"macs_per_s": 2.0, "bytes_per_s": 2.0}}


def test_a_peak_that_cannot_be_measured_says_why(monkeypatch):
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    found = calibration.calibrate([1])
    assert found["threads"] == {} and "did not start" in found["reason"]
