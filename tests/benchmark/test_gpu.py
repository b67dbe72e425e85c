"""What is the same on every GPU: parity before timing, a device's own time, validity, the report."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.bench_models import write_onnx
from support.bench_results import cell, during, result, series_of, steady
from support.report_results import entry, read
from support.stand_ins import script

from fmnist_edge.benchmark import backend, comparison, loop, process, results, tables
from fmnist_edge.benchmark.summary import summarize
from fmnist_edge.report import markdown
from fmnist_edge.report import tables as report_tables
from fmnist_edge.runtime.engine_catalog import ENGINES, GPU, EngineRecord
from fmnist_edge.runtime.engines.onnxruntime import OnnxRuntimeEngine
from fmnist_edge.runtime.placement import Placement

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 28, 28), np.uint8)
SOFTWARE = Placement("llvmpipe", True, ops=2).as_dict()
PARITY = {"reference": "onnxruntime (1.0)", "images": 64, "differing": 0, "max_abs_delta": 0.0, "passed": True}


class OnTheDevice(OnnxRuntimeEngine):
    """A CPU engine that says it is on a GPU, and how long that took."""

    placement = Placement("a GPU", False, {"LRN": 1}, 3)

    def device_ns(self, batch):
        return 1000 * len(batch)


class Wrong(OnTheDevice):
    def run(self, batch):
        return super().run(batch)[:, ::-1]


class Nearly(OnTheDevice):
    def run(self, batch):
        return super().run(batch) * np.float32(1 + 1e-5)


@pytest.fixture
def request_for(tmp_path, monkeypatch):
    for kind in (OnTheDevice, Wrong, Nearly):
        record = EngineRecord(kind.__name__, f"{__name__}:{kind.__name__}", "", "", (".onnx",), target=GPU)
        monkeypatch.setitem(ENGINES._records, kind.__name__, record)
    np.save(tmp_path / "images.npy", IMAGES)
    path = write_onnx(tmp_path / "linear/float32.onnx")

    def made(engine, **changes):
        values = {
            "threads": 1, "batch": 1, "seconds": 0, "end_to_end_seconds": 0, "min_queries": 3, "warm_up_runs": 2,
            "warm_up_seconds": 0,
        }  # fmt: skip
        return loop.Request(str(path), engine, images=str(tmp_path / "images.npy"), **{**values, **changes})

    return made


class TestParity:
    def test_an_engine_that_answers_otherwise_is_not_timed(self, request_for):
        reply = loop.measure_memory(request_for("Wrong", memory=True))
        assert reply["status"] == "failed" and not reply["parity"]["passed"]
        assert (
            "differ from those of onnxruntime (onnxruntime " in reply["reason"] and "another class" in reply["reason"]
        )

    def test_one_that_rounds_otherwise_is(self, request_for):
        reply = loop.measure_memory(request_for("Nearly", memory=True))
        assert reply["status"] == "measured" and reply["parity"]["passed"] and reply["parity"]["max_abs_delta"] > 0
        assert reply["placement"]["on_cpu"] == {"LRN": 1}

    def test_a_cpu_engine_is_asked_nothing(self, request_for):
        reply = loop.measure_memory(request_for("onnxruntime", memory=True))
        assert reply["parity"] is None and reply["placement"] is None

    @given(st.sampled_from(sorted(backend.TOLERANCE)), st.floats(0, 0.3), st.integers(0, 2**32 - 1))
    def test_a_difference_passes_up_to_the_tolerance(self, kind, share, seed):
        expected = np.random.default_rng(seed).normal(0, 5, (40, 10)).astype(np.float32)
        found = expected.copy()
        found[7, 3] += share * np.abs(expected).max()
        verdict = backend.compare_scores(expected, found, kind)
        assert verdict["passed"] == (verdict["max_abs_delta"] <= verdict["tolerance"])
        assert verdict["tolerance"] == pytest.approx(backend.TOLERANCE[kind] * np.abs(expected).max())

    def test_other_classes_fail_even_within_the_tolerance(self):
        level = np.zeros((10, 3), np.float32) + 100
        expected, found = level.copy(), level.copy()
        expected[:, 0] += 0.01
        found[:, 1] += 0.01
        assert not backend.compare_scores(expected, found, "float")["passed"]


class TestDeviceTime:
    def test_it_is_what_the_engine_tells_beside_what_the_caller_sees(self, request_for):
        reply = loop.measure(request_for("OnTheDevice"))
        assert reply["device"]["windows"] == [([1000], [3])] and reply["device"]["cpu_ns"] is None
        assert sum(reply["engine"]["windows"][0][1]) >= 3 and reply["first_ns"] > 0

    def test_it_lasts_its_seconds(self):
        started = time.perf_counter()
        engine = SimpleNamespace(device_ns=lambda item: item)
        found = backend.device_series(engine, [5, 6], seconds=0.02, least=2)
        assert time.perf_counter() - started >= 0.02 and found["windows"][0][0] == [5, 1]

    def test_its_summary_needs_every_round(self):
        rounds = steady()
        for part in rounds:
            part["device"] = series_of([[40_000, 50_000, 60_000]])
        made = cell(rounds=rounds)
        assert summarize(made)["device"]["p50"] == 50 and summarize(made)["engine"]["p50"] > 90
        rounds[2]["device"] = None
        assert summarize(made)["device"] is None


def gpu_cell(each=None, **changes):
    """A valid cell on a GPU; `each`: a GpuDuring a round, by what differs."""
    rounds = steady()
    for part, more in zip(rounds, each or [{}] * len(rounds), strict=True):
        seen = {"sm_mhz": [345, 1980], "temperature_c": [50], "power_w": [90], "throttle_reasons": 0, **more}
        part["during"] = during(gpu=seen)
    values = {"target": "gpu", "engine": "onnxruntime-cuda", "placement": Placement("H100", False, ops=2).as_dict()}
    return cell(rounds=rounds, **{**values, "parity": PARITY, **changes})


def rules(made):
    return {reason["rule"] for reason in result(made)["cells"][0]["verdict"]["reasons"]}


class TestValidity:
    def test_a_quiet_gpu_is_valid_and_one_that_is_not_seen_is_named(self):
        assert result(gpu_cell())["verdict"] == {"status": "VALID", "reasons": [], "unseen": []}
        blind = cell(target="gpu", engine="litert-gpu", placement=Placement("a GPU", False).as_dict(), parity=PARITY)
        assert result(blind)["verdict"] == {"status": "VALID", "reasons": [], "unseen": ["GPU clock"]}

    @pytest.mark.parametrize("bits, told", [(0x1, False), (0x4, False), (0x8, True), (0x20, True), (0x44, True)])
    def test_heat_and_power_brakes_count_and_idling_and_power_caps_do_not(self, bits, told):
        each = [{}, {}, {"throttle_reasons": bits}, {}, {"throttle_reasons": None}]
        assert ("throttling" in rules(gpu_cell(each))) == told

    @pytest.mark.slow
    @given(st.lists(st.floats(100, 2500), min_size=5, max_size=5))
    def test_a_change_of_its_clock_is_caught(self, mhz):
        changed = 1 - min(mhz) / max(mhz) > 0.05
        assert ("frequency change" in rules(gpu_cell([{"sm_mhz": [90.0, value]} for value in mhz]))) == changed

    def test_software_is_never_valid_never_in_a_table_and_never_compared(self):
        made = gpu_cell(placement=SOFTWARE)
        whole = result(made)
        assert rules(made) == {"software device"} and not tables.rows(whole)
        (line,) = tables.unmeasured(whole)
        assert line.startswith("software: onnxruntime-cuda: llvmpipe") and "agree with onnxruntime (1.0)" in line
        assert "software GPU" in comparison.compare(whole, result(gpu_cell()))[0].problem

    def test_ops_on_the_cpu_are_told_and_are_no_failure(self):
        whole = result(gpu_cell(status="partial", reason="2 of 10 ops ran on the CPU: 2 LRN"))
        assert (
            not tables.has_failures(whole) and "2 LRN" in tables.unmeasured(whole)[0] and len(tables.rows(whole)) == 1
        )
        assert tables.has_failures(result(cell(status="partial", rounds=steady(rounds=4))))
        assert tables.has_failures(result(gpu_cell(), cell(status="failed", rounds=[])))


class TestReport:
    def test_gpu_rows_are_told_apart_and_have_a_front_of_their_own(self, tmp_path):
        fast = gpu_cell()
        on_gpu = entry(us=10, **{key: fast[key] for key in ("target", "engine", "placement", "parity")})
        soft = entry(us=1, **{**{key: fast[key] for key in ("target", "engine", "parity")}, "placement": SOFTWARE})
        (run,) = read(tmp_path, result(entry(us=100), on_gpu, soft))
        assert [(row.target, row.front) for row in run.rows] == [("cpu", True), ("gpu", True)]
        assert any("llvmpipe" in line for line in run.missing)
        assert "on" in report_tables.latencies(run).header and "| gpu " in markdown.document([run])
        (tmp_path / "cpu").mkdir()
        (cpu,) = read(tmp_path / "cpu", result(entry()))
        assert "on" not in report_tables.latencies(cpu).header

    def test_a_result_of_schema_2_is_read_with_null_for_what_it_did_not_see(self, tmp_path):
        old = result()
        for item in (old["before"], old["after"]):
            del item["gpus"]
        for made in old["cells"]:
            del made["placement"], made["parity"]
            for part in made["rounds"]:
                del part["device"], part["during"]["gpu"]
        loaded = results.load(results.save({**old, "schema": 2}, tmp_path / "old.json.gz"))
        assert loaded["schema"] == results.SCHEMA and loaded["cells"][0]["rounds"][0]["device"] is None
        assert loaded["before"]["gpus"] is None and loaded["cells"][0]["parity"] is None


@pytest.mark.parametrize(
    "code, words",
    [
        ("echo lost >&2; echo the device >&2; exec sleep 60", "the device"),
        ("echo bad driver >&2; kill -ABRT $$", "SIGABRT"),
    ],
)
def test_what_a_backend_said_before_it_hung_or_crashed_is_in_the_reason(request_for, tmp_path, code, words):
    reply = process.run_child(request_for("OnTheDevice"), script(tmp_path, code), timeout_s=2)
    assert reply["status"] == "failed" and words in reply["reason"] and "last output: " in reply["reason"]
