"""Every rule: what it lets pass, what it catches, and that it says nothing about what was not seen."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.bench_results import PLAN, cell, result, round_of, state, steady

from fmnist_edge.benchmark import validity
from fmnist_edge.benchmark.summary import repeatability, summarize

SHARE = st.floats(0, 3)
UNSEEN = {
    "other_cores": None,
    "steal_cores": None,
    "frequency_mhz": None,
    "temperature_c": None,
    "throttle_count": None,
}


def rules(verdict):
    return {reason["rule"] for reason in verdict["reasons"]}


def judged(rounds, plan=None):
    made = cell(rounds=rounds)
    made["summary"] = summarize(made)
    return validity.judge_cell(made, {**PLAN, **(plan or {})})


def with_during(**values):
    """Rounds in which one figure differs from round to round."""
    rounds = steady()
    for name, each in values.items():
        for part, value in zip(rounds, each, strict=True):
            part["during"][name] = value
    return rounds


def test_a_quiet_run_is_valid_and_names_nothing_unseen():
    found = result()
    assert found["verdict"] == {"status": "VALID", "reasons": [], "unseen": []}
    assert found["cells"][0]["verdict"] == {"status": "VALID", "reasons": [], "unseen": []}


def test_what_was_not_seen_is_named_and_not_held_against_a_run():
    nothing = {"throttled": None, "throttle_count": None, "governor": None, "on_battery": None}
    found = result(cell(rounds=steady(**UNSEEN)), before=state(**nothing), after=state(**nothing))
    assert found["verdict"]["status"] == "VALID"
    assert found["verdict"]["unseen"] == [
        "battery", "frequency", "governor", "other load", "steal time", "temperature", "throttling",
    ]  # fmt: skip


@given(st.lists(SHARE, min_size=5, max_size=5))
def test_other_load_is_judged_by_its_mean_over_the_cell(cores):
    assert ("other load" in rules(judged(with_during(other_cores=cores)))) == (sum(cores) / 5 > validity.OTHER_CORES)


@given(st.lists(SHARE, min_size=5, max_size=5))
def test_steal_time_is_judged_by_its_mean_over_the_cell(cores):
    assert ("steal time" in rules(judged(with_during(steal_cores=cores)))) == (sum(cores) / 5 > validity.STEAL_CORES)


def test_load_counts_by_how_long_it_lasted():
    short = with_during(other_cores=[1.0, 0, 0, 0, 0], seconds=[0.1, 4.0, 4.0, 4.0, 4.0])
    assert "other load" not in rules(judged(short))
    assert "other load" in rules(judged(with_during(other_cores=[1.0, 0, 0, 0, 0])))


def test_a_moment_too_short_to_count_cpu_time_in_tells_nothing():
    assert not rules(judged(with_during(other_cores=[1.0] * 5, seconds=[0.05] * 5)))


@given(st.lists(st.floats(100, 5000), min_size=5, max_size=5))
def test_a_change_of_frequency_between_rounds_is_caught(mhz):
    changed = 1 - min(mhz) / max(mhz) > validity.FREQUENCY_CHANGE
    assert ("frequency change" in rules(judged(with_during(frequency_mhz=[[value] * 3 for value in mhz])))) == changed


def test_a_single_look_at_a_slow_moment_is_no_change_of_frequency():
    looks = [[1500.0, 1500.0, 600.0]] * 5
    assert not rules(judged(with_during(frequency_mhz=looks)))


def test_throttling_is_caught_on_x86_and_on_a_raspberry_pi():
    assert "throttling" in rules(judged(with_during(throttle_count=[0, 0, 1, 0, 0])))
    found = result(cell(rounds=with_during(throttled=[0, 0, 0x20000, 0, 0])))
    assert rules(found["verdict"]) == {"throttling"} and "0x20000" in found["verdict"]["reasons"][0]["text"]


BITS = st.integers(0, 2**20 - 1)


@given(BITS, st.lists(BITS, max_size=5))
def test_throttling_before_the_run_is_not_held_against_it_and_any_during_it_is(before, seen):
    new = validity.new_throttling(before, seen)
    sticky = 0
    for bits in seen:
        sticky |= bits
    assert bool(new & 0xF) == bool(sticky & 0xF)
    assert bool(new & 0xF0000) == bool(sticky & 0xF0000 & ~before)
    assert validity.new_throttling(before, [before & 0xF0000, None]) == 0


@given(st.lists(st.integers(50, 200), min_size=5, max_size=5))
def test_a_spread_that_two_runs_could_not_agree_in_is_caught(us):
    rounds = [round_of(number, [[value * 1000] * 210] * 2) for number, value in enumerate(us)]
    expected = repeatability(us) > validity.REPEATABILITY
    assert ("spread too wide" in rules(judged(rounds))) == expected


def test_the_spread_is_of_the_plans_own_percentile():
    calm, wild = [100_000] * 200, [100_000] * 85 + [100_000, 200_000, 300_000, 150_000, 120_000]
    rounds = [round_of(number, [calm + [wild[85 + number]] * 40] * 2) for number in range(5)]
    assert not rules(judged(rounds))
    assert "spread too wide" in rules(judged(rounds, {"headline": "p90"}))


@given(st.integers(1, 300), st.floats(0.1, 2))
def test_too_few_samples_or_seconds_are_caught(count, seconds):
    rounds = [round_of(number, [[100_000] * count]) for number in range(5)]
    for part in rounds:
        for name in ("engine", "end_to_end"):
            part[name]["elapsed_ns"] = int(seconds * 1e9)
    few = 5 * count < PLAN["min_queries"] or 5 * int(seconds * 1e9) / 1e9 < PLAN["seconds"] * (1 - 1e-6)
    assert ("too few samples" in rules(judged(rounds))) == few


def test_a_cell_without_all_its_rounds_is_invalid():
    assert "rounds missing" in rules(judged(steady(rounds=4)))


@pytest.mark.parametrize("field", ["rounds", "min_queries", "warm_up_runs", "warm_up_seconds"])
def test_a_plan_below_the_protocol_is_invalid_however_quiet_the_machine(field):
    short = {field: validity.MINIMUM[field] - (0.1 if field == "warm_up_seconds" else 1)}
    found = result(plan=short)
    assert "short plan" in rules(found["verdict"])
    assert field in found["verdict"]["reasons"][0]["text"]


@pytest.mark.parametrize(
    "changes, rule",
    [
        ({"interrupted": True}, "interrupted"),
        ({"before": state(on_battery=True)}, "battery"),
        ({"after": state(governor="schedutil")}, "governor"),
        ({"before": state(governor="powersave"), "after": state(governor="powersave")}, "governor"),
        ({"after": state(throttled=0x4)}, "throttling"),
        ({"cells": [cell(rounds=[], status="failed")]}, "nothing measured"),
    ],
)
def test_the_run_itself_is_judged(changes, rule):
    assert rules(result(**changes)["verdict"]) == {rule}


def test_powersave_is_the_usual_governor_of_some_drivers():
    slow = {"before": state(governor="powersave"), "after": state(governor="powersave")}
    assert not rules(result(**slow, machine={"frequency_driver": "intel_pstate"})["verdict"])


def test_one_disturbed_cell_makes_the_run_invalid_and_the_others_stay_valid():
    disturbed = cell(artifact="other/float32.onnx", rounds=steady(other_cores=1.0))
    found = result(cell(), disturbed)
    assert [item["verdict"]["status"] for item in found["cells"]] == ["VALID", "INVALID"]
    assert found["verdict"]["status"] == "INVALID"
    assert "1 of 2 cells" in found["verdict"]["reasons"][0]["text"]


def test_a_cell_that_cannot_run_is_no_reason_against_the_others():
    missing = cell(rounds=[], status="unavailable", reason="not installed")
    assert result(cell(), missing)["verdict"]["status"] == "VALID"
    assert validity.judge_cell(missing, PLAN) is None


def test_judging_changes_nothing_and_says_the_same_again():
    found = result()
    before = copy.deepcopy(found)
    assert validity.judge(found) == found["verdict"] and found == before
