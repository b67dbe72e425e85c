"""Budgets: limits as people write them, budget.toml, and runs that are held to them."""

import pytest
from support.bench_results import cell, result, steady

from fmnist_edge.benchmark import budgets
from fmnist_edge.benchmark.budgets import (
    accuracy_reason,
    accuracy_share,
    drop_share,
    judge,
    latency_finding,
    latency_ms,
    p50_of,
    size_bytes,
    size_reason,
)
from fmnist_edge.errors import FileError, InputError
from fmnist_edge.runtime.budget import Budget


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (latency_ms, "2ms", 2),
        (latency_ms, "500us", 0.5),
        (latency_ms, "500 µs", 0.5),
        (latency_ms, ".1s", 100),
        (size_bytes, "500kB", 500_000),
        (size_bytes, "1.2MB", 1_200_000),
        (size_bytes, "64KiB", 65_536),
        (size_bytes, "10B", 10),
        (accuracy_share, "94.5", 0.945),
        (accuracy_share, "94.5 %", 0.945),
        (accuracy_share, "100", 1),
        (drop_share, "0.2pp", 0.002),
        (drop_share, "0 pp", 0),
    ],
)
def test_units(read, text, value):
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "texts"),
    [
        (latency_ms, ("2", "2 m", "ms", "-2ms", "0ms", "2msms", "1e3ms", "nan ms", "9" * 400 + "s", "2MS")),
        (size_bytes, ("500", "500kb", "0kB", "-1kB", "1,2MB", "")),
        (accuracy_share, ("0.945", "1", "101", "94.5pp", "x", "-94")),
        (drop_share, ("0.2", "0.2%", "-0.2pp", "101pp")),
    ],
)
def test_wrong_units_are_refused(read, texts):
    for text in texts:
        with pytest.raises(InputError, match=r": expected .* like " if read is not drop_share else "like 0.2pp"):
            read(text)


class TestToml:
    def read(self, tmp_path, text):
        (tmp_path / "budget.toml").write_text(text)
        return budgets.read(tmp_path / "budget.toml")

    def test_keys_are_the_options(self, tmp_path):
        text = 'max-latency = "2ms"\nmax-size = "500kB"\nmin-accuracy = 94.5\nmax-drop = "0.2pp"'
        assert self.read(tmp_path, text) == Budget(2, 500_000, 0.945, 0.002)
        assert self.read(tmp_path, "min-accuracy = 94") == Budget(min_accuracy=0.94)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ('max_latency = "2ms"', "unknown key 'max_latency'; did you mean 'max-latency'?"),
            ('colour = "red"', "unknown key 'colour'; expected max-latency, max-size, min-accuracy, max-drop"),
            ("max-size = 500000", "max-size: '500000': expected a size above 0 with its unit"),
            ("max-size = true", "max-size is True; expected a text"),
            ("[max-size]", "max-size is {}; expected a text"),
            ("", "no limit in it"),
        ],
    )
    def test_what_is_wrong_is_named(self, tmp_path, text, said):
        with pytest.raises(InputError) as error:
            self.read(tmp_path, text)
        assert said in str(error.value) and "budget.toml" in str(error.value) and "\n" not in str(error.value)

    def test_no_toml(self, tmp_path):
        with pytest.raises(FileError, match="not TOML"):
            self.read(tmp_path, "max-size = ")
        with pytest.raises(FileError, match="cannot be read"):
            budgets.read(tmp_path / "none.toml")


class TestBudget:
    def test_the_interval_decides_about_a_latency(self):
        budget = Budget(max_latency_ms=0.1)
        found = [latency_finding(budget, *case) for case in ((99, 98, 100), (101, 100.1, 102), (99, 98, 100.1))]
        assert found == ["within", "over", "unsure"]
        assert (
            latency_finding(budget, 101, None, None) == "over" and latency_finding(budget, 99, None, None) == "unsure"
        )
        assert latency_finding(Budget(), 1e9, None, None) == "within"

    def test_limits_themselves_are_allowed(self):
        budget = Budget(max_size_bytes=500, min_accuracy=0.945, max_drop=0.002)
        assert size_reason(budget, 500) is None and size_reason(budget, 501) == "0.501 kB is more than 0.5 kB"
        assert accuracy_reason(budget, 0.945, 0.947) is None, "0.947 - 0.945 is above 0.002 in binary"
        assert accuracy_reason(budget, 0.9449, None) == "94.49 % accuracy is less than 94.5 %"
        assert accuracy_reason(budget, 0.945, 0.9471) == "loses 0.21 pp, more than 0.2 pp"


class TestARun:
    def judged(self, budget, *cells):
        ((name, finding),) = judge(result(*cells), {"ab": budget, "of another file": Budget(1)})
        assert name == "linear/float32.onnx"
        return finding

    def test_the_fastest_cell_counts(self):
        slow, fast = cell(rounds=steady(300)), cell(engine="openvino", rounds=steady(100))
        finding = self.judged(Budget(max_latency_ms=0.2), slow, fast)
        assert finding.status == "within" and "in openvino, 1 thread; at most 200 µs are allowed" in finding.text
        finding = self.judged(Budget(max_latency_ms=0.05), slow, fast)
        assert finding.is_over and finding.text.startswith("NOT kept: p50 100.1 [100.1, 100.1] µs in openvino")

    def test_what_is_not_known_is_not_decided(self):
        finding = self.judged(Budget(max_latency_ms=9, min_accuracy=0.9), cell())
        assert finding.status == "unsure" and finding.text.startswith("not decided: its accuracy is not known here")
        failed = cell(rounds=[], status="failed", reason="it crashed")
        finding = self.judged(Budget(max_latency_ms=9), failed)
        assert finding.status == "unsure" and "it was not timed (it crashed)" in finding.text
        finding = self.judged(Budget(max_latency_ms=9), cell(rounds=steady(rounds=2)))
        assert finding.status == "unsure", "two rounds have no interval"

    def test_a_limit_of_a_later_version_is_not_decided(self):
        budget = Budget.from_json({"max_size_bytes": 10**6, "max_energy_mj": 3}, "budget")
        finding = self.judged(budget, cell())
        assert finding.text == "not decided: this version does not know max_energy_mj; update fmnist-edge"
        assert Budget.from_json({"max_energy_mj": 3}, "budget"), "it has a limit"

    def test_size_and_accuracy(self):
        accuracy = {"accuracy": 0.9, "reference_accuracy": 0.92, "images": 9, "source": "x", "passed": True}
        found = cell(accuracy=accuracy)
        assert self.judged(Budget(None, 31_400, 0.9, 0.02), found).status == "within"
        finding = self.judged(Budget(None, 31_399, 0.91, 0.01), found)
        assert finding.is_over and "31.4 kB is more than 31.399 kB; 90 % accuracy is less than 91 %" in finding.text

    def test_the_p50_has_its_interval(self):
        p50 = p50_of(result(cell())["cells"][0])
        assert (p50.value, p50.rounds) == (pytest.approx(100.05, abs=0.01), 5) and p50.lower <= p50.value <= p50.upper
