"""Which file to ship: what is known of a file, which keep a budget and in which order, what another CPU changes."""

import json
from pathlib import Path

import pytest
from support.bench_results import cell, result, steady

from fmnist_edge.benchmark.budgets import P50
from fmnist_edge.errors import FileError, InputError
from fmnist_edge.report.choice.evidence import Accuracy, Latency, Run, accuracies, latencies, runs_of_machine
from fmnist_edge.report.choice.features import feature_lines
from fmnist_edge.report.choice.ranking import Candidate, ranked
from fmnist_edge.runtime.budget import Budget


def latency(value, lower=None, upper=None, engine="litert"):
    return Latency(engine, 1, 1, P50(value, lower or value, upper or value, 5), True, "2026-01-02T03:04:05+00:00")


def candidate(name="a", *found, size=1000, accuracy=0.94, reference=0.945, passed=True, **more):
    known = None if accuracy is None else Accuracy(accuracy, reference, 10_000, "images", passed)
    return Candidate(name, name, "m", "int8", "integer", size, accuracy=known, latencies=found, **more)


class TestReasons:
    def test_nothing_against_it(self):
        assert candidate("a", latency(100)).reasons(Budget(0.1, 1000, 0.94, 0.005)) == []

    @pytest.mark.parametrize(
        ("found", "said"),
        [
            (candidate("a", latency(101)), "p50 101.0 [101.0, 101.0] µs in litert is above 100 µs"),
            (candidate("a", latency(99, 98, 101)), "is not shown to be at most 100 µs"),
            (candidate("a", unmeasured="litert: it crashed"), "no latency: litert: it crashed"),
            (candidate("a", latency(1), size=1001), "1.001 kB is more than 1 kB"),
            (candidate("a", latency(1), accuracy=0.9399), "93.99 % accuracy is less than 94 %"),
            (candidate("a", latency(1), reference=0.946), "loses 0.6 pp, more than 0.5 pp"),
            (candidate("a", latency(1), reference=None), "the accuracy of its Keras model is not known"),
            (candidate("a", latency(1), accuracy=None), "its accuracy is not known"),
            (candidate("a", latency(1), passed=False), "it failed its parity check"),
            (candidate("a", latency(1), damage="no such file"), "no such file"),
        ],
    )
    def test_each_has_one(self, found, said):
        (reason,) = found.reasons(Budget(0.1, 1000, 0.94, 0.005))
        assert said in reason

    def test_an_engine_that_keeps_the_limit_comes_before_one_that_may_be_faster(self):
        found = candidate("a", latency(90, 80, 110), latency(95, 94, 96, "openvino"))
        assert found.reasons(Budget(0.1)) == [] and found.best(Budget(0.1)).engine == "openvino"
        assert found.best(Budget()).engine == "litert"

    def test_before_a_file_is_timed_only_what_is_known_counts(self):
        assert candidate("a", accuracy=None).reasons(Budget(0.1, 1000, 0.94), so_far=True) == []
        assert candidate("a", accuracy=None, size=1001).reasons(Budget(0.1, 1000, 0.94), so_far=True)


class TestOrder:
    def names(self, *candidates):
        return [item.artifact for item in ranked(candidates, Budget())]

    def test_by_latency(self):
        assert self.names(candidate("b", latency(20)), candidate("a", latency(10)), candidate("c", latency(15))) == [
            "a", "c", "b",
        ]  # fmt: skip

    def test_overlapping_intervals_by_size(self):
        fast = candidate("fast", latency(10, 9, 12), size=300)
        alike = candidate("alike", latency(11, 10, 20), size=200)
        small = candidate("small", latency(13, 12.1, 14), size=100)
        assert self.names(small, alike, fast) == ["alike", "fast", "small"]


class TestEvidence:
    def report(self, tmp_path, name, **row):
        row = {"sha256": "ab", "accuracy": 0.9, "reference_accuracy": 0.91, "images": 10, "passed": True, **row}
        (tmp_path / name).write_text(json.dumps({"source": "some images", "rows": [row]}))
        return tmp_path / name

    def test_the_accuracy_on_most_images(self, tmp_path):
        few, many = self.report(tmp_path, "few.json"), self.report(tmp_path, "many.json", images=99, accuracy=0.8)
        for reports in ([few, many], [many, few]):
            assert accuracies([], reports) == {"ab": Accuracy(0.8, 0.91, 99, "some images", True)}

    def test_no_labels_no_accuracy(self, tmp_path):
        assert accuracies([], [self.report(tmp_path, "a.json", accuracy=None)]) == {}

    @pytest.mark.parametrize("wrong", [{"accuracy": "0.9"}, {"accuracy": 94.1}, {"images": None}, {"accuracy": True}])
    def test_damaged_reports_are_refused(self, tmp_path, wrong):
        with pytest.raises(FileError, match=r"wrong\.json: not a report"):
            accuracies([], [self.report(tmp_path, "wrong.json", **wrong)])

    def run(self, *cells, day=2, **more):
        return Run(Path(f"{day}.json.gz"), result(*cells, created=f"2026-01-0{day}T03:04:05+00:00", **more))

    def test_the_newest_latency_of_the_very_file(self):
        new, old = self.run(cell(rounds=steady(200)), day=3), self.run(cell(), cell(sha256="other"))
        found = latencies([new, old], {"ab"})
        assert list(found) == [("ab", "onnxruntime", 1)]
        assert found["ab", "onnxruntime", 1].p50.value == pytest.approx(200, abs=0.1)

    def test_an_older_valid_latency_rather_than_a_newer_invalid_one(self):
        new, old = self.run(cell(rounds=steady(200, other_cores=3)), day=3), self.run(cell())
        oldest = self.run(cell(rounds=steady(300)), day=1)
        (found,) = latencies([new, old, oldest], {"ab"}).values()
        assert (found.valid, found.p50.value) == (True, pytest.approx(100, abs=0.1))

    def test_what_does_not_count(self):
        cells = [
            cell(engine_version="onnxruntime 0.9"),
            cell(engine="a", rounds=steady(rounds=3)),
            cell(engine="b", target="gpu"),
            cell(engine="c", rounds=[], status="failed"),
        ]
        assert latencies([self.run(*cells)], {"ab"}, {"onnxruntime": "1.0"}) == {}
        assert list(latencies([self.run(cells[0])], {"ab"}, {"onnxruntime": "0.9"}))

    def test_an_invalid_latency_is_marked(self):
        (found,) = latencies([self.run(cell(rounds=steady(other_cores=3)))], {"ab"}).values()
        assert not found.valid
        (found,) = latencies([self.run(cell())], {"ab"}).values()
        assert found.valid

    def test_results_of_two_machines_do_not_mix(self):
        runs = [self.run(), self.run(machine={"cpu": "another"})]
        assert runs_of_machine(runs, runs[1].machine) == [runs[1]]
        with pytest.raises(InputError, match="of another machine than"):
            runs_of_machine(runs, None)

    def test_damaged_results_are_named(self):
        damaged = self.run()
        damaged.result["cells"][0]["sha256"] = ["ab"]
        with pytest.raises(FileError, match=r"2\.json\.gz: damaged \(TypeError"):
            latencies([damaged], {"ab"})


class TestFeatures:
    VNNI, PLAIN = ["avx2", "avx512_vnni"], ["avx2"]

    def run(self, flags, integer_us, float_us):
        cells = [cell(sha256="int", engine="litert", rounds=steady(integer_us)), cell(rounds=steady(float_us))]
        return Run(Path("x"), result(*cells, machine={"cpu_flags": flags, "device": "a-pc"}))

    def lines(self, flags, *others):
        integer = candidate("int", latency(10))
        real = Candidate("ab", "ab", "m", "float32", "float", 10, latencies=(latency(20, engine="onnxruntime"),))
        return feature_lines([integer, real], {"cpu_flags": flags}, others, Budget())

    def test_this_cpu_is_described(self):
        first, second = self.lines(self.VNNI)
        assert "has int8 dot products (avx512_vnni)" in first and "no results of these files" in second
        assert "this one has no int8 dot products" in self.lines(self.PLAIN)[0]
        (line,) = self.lines(None)
        assert "does not say" in line

    def test_what_is_best_on_the_other_kind(self):
        _, line = self.lines(self.VNNI, self.run(self.VNNI, 99, 1), self.run(self.PLAIN, 300, 200))
        assert "the best differs: on a-pc, with no int8 dot products (VNNI, dotprod), it is ab in onnxruntime" in line
        assert line.endswith("here it is int in litert")
        _, line = self.lines(self.PLAIN, self.run(self.VNNI, 100, 200))
        assert "int in litert is also the best on a-pc, with int8 dot products" in line

    def test_floats_depend_on_none(self):
        real = Candidate("ab", "ab", "m", "float32", "float", 10, latencies=(latency(20),))
        assert feature_lines([real], {"cpu_flags": self.VNNI}, [], Budget()) == []
