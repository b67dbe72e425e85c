"""Judge whether a run is VALID, by rules on the plan, the samples and the machine.

All are pure functions of a result. Any one rule can make it INVALID. A rule that lacks its data stays silent, and the
verdict lists the missing data under "unseen".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import cast

from fmnist_edge.aliases import JsonObject
from fmnist_edge.benchmark.estimates import LEAST_ROUNDS, Estimate
from fmnist_edge.benchmark.gpus import THROTTLED, GpuDuring
from fmnist_edge.benchmark.results import Cell, During, Reason, Result, Round, Verdict, is_software
from fmnist_edge.benchmark.series import count_of
from fmnist_edge.benchmark.summary import repeatability

__all__ = ["INVALID", "VALID", "judge", "judge_cell", "judge_ratio", "judge_rounds", "new_throttling", "run_reasons"]

VALID, INVALID = "VALID", "INVALID"

# The protocol's minimum, for every plan.
MINIMUM = {"rounds": 5, "min_queries": 1024, "warm_up_runs": 10, "warm_up_seconds": 0.5}
OTHER_CORES = 0.10  # mean over a cell; a tenth of one core changes a p50 by about one percent
STEAL_CORES = 0.02
FREQUENCY_CHANGE = 0.05  # between the medians of the rounds
REPEATABILITY = 0.05  # two runs on a quiet machine agree within 5 %
RATIO_PRECISION = 0.05  # half-width of the 95 % interval of a ratio
MIN_SECONDS = 0.5  # for less, the kernel's count in hundredths of a second is too coarse
GPU_CLOCK_CHANGE = 0.05  # between the highest clocks of the rounds
THROTTLED_NOW, THROTTLED_SINCE = 0xF, 0xF0000  # of vcgencmd get_throttled
# With these drivers "powersave" is the default governor and does not slow the CPU down.
OWN_GOVERNOR = ("intel_pstate", "amd-pstate", "amd-pstate-epp")

UNSEEN: dict[str, Callable[[Round], object]] = {
    "other load": lambda part: part["during"]["other_cores"],
    "steal time": lambda part: part["during"]["steal_cores"],
    "frequency": lambda part: part["during"]["frequency_mhz"],
    "temperature": lambda part: part["during"]["temperature_c"],
}


def judge(result: Result) -> Verdict:
    """The verdict on a whole run, after the cells have theirs: VALID when all measured cells and the run itself are."""
    reasons = run_reasons(result)
    measured = [cell for cell in result["cells"] if cell["rounds"]]
    broken = Counter(rule for cell in measured for rule in {reason["rule"] for reason in verdict_of(cell)["reasons"]})
    for rule, count in broken.items():
        example = next(r["text"] for cell in measured for r in verdict_of(cell)["reasons"] if r["rule"] == rule)
        reasons.append({"rule": rule, "text": f"{count} of {len(measured)} cells: {rule}, such as: {example}"})
    if not measured:
        reasons.append({"rule": "nothing measured", "text": "no cell was measured"})
    unseen = {name for cell in measured for name in verdict_of(cell)["unseen"]}
    return verdict(reasons, sorted(unseen | unseen_of_machine(result)))


def run_reasons(result: Result) -> list[Reason]:
    """The reasons that make every cell of the run INVALID."""
    return [*plan_reasons(result["plan"]), *machine_reasons(result)]


def verdict_of(cell: Cell) -> Verdict:
    return cell["verdict"] or {"status": INVALID, "reasons": [], "unseen": []}


def verdict(reasons: Sequence[Reason], unseen: Sequence[str]) -> Verdict:
    return {"status": INVALID if reasons else VALID, "reasons": list(reasons), "unseen": list(unseen)}


def plan_reasons(plan: JsonObject) -> Iterator[Reason]:
    for field, least in MINIMUM.items():
        if plan[field] < least:
            yield {"rule": "short plan", "text": f"{field} is {plan[field]}, the protocol asks for at least {least}"}


def machine_reasons(result: Result) -> Iterator[Reason]:
    """Interruption, battery, governor, and throttling that began during the run."""
    before, after = result["before"], result["after"]
    if result["interrupted"]:
        yield {"rule": "interrupted", "text": "the run was interrupted before its last round"}
    states = [state for state in (before, after) if state is not None]
    if any(state["on_battery"] for state in states):
        yield {"rule": "battery", "text": "the machine ran on battery; plug it in"}
    governors = [state["governor"] for state in states if state["governor"]]
    if "powersave" in governors and result["machine"].get("frequency_driver") not in OWN_GOVERNOR:
        yield {"rule": "governor", "text": "the frequency governor is powersave; choose performance or schedutil"}
    if len(set(governors)) > 1:
        yield {"rule": "governor", "text": f"the frequency governor changed from {governors[0]} to {governors[-1]}"}
    if after is not None:
        seen = [part["during"]["throttled"] for cell in result["cells"] for part in cell["rounds"]]
        bits = new_throttling(before["throttled"], [*seen, after["throttled"]])
        if bits:
            yield {"rule": "throttling", "text": f"vcgencmd get_throttled reports {bits:#x} during the run"}


def unseen_of_machine(result: Result) -> set[str]:
    before = result["before"]
    found = {
        "throttling": before["throttled"] is not None or before["throttle_count"] is not None,
        "battery": before["on_battery"] is not None,
        "governor": before["governor"] is not None,
    }
    return {name for name, seen in found.items() if not seen}


def new_throttling(before: int | None, seen: Sequence[int | None]) -> int:
    """Throttling during the run: bits of `vcgencmd get_throttled` for now, and new bits for "since boot".

    >>> hex(new_throttling(0x50000, [0x50000, 0x70000]))
    '0x20000'
    """
    bits = 0
    for value in seen:
        bits |= value or 0
    return (bits & THROTTLED_NOW) | (bits & THROTTLED_SINCE & ~(before or 0))


def judge_cell(cell: Cell, plan: JsonObject) -> Verdict | None:
    """The verdict on one cell; None when no round was measured."""
    rounds = cell["rounds"]
    if not rounds:
        return None
    rules = (
        missing_rounds, too_few, spread, other_load, steal, frequency_change, throttling, software_device,
        gpu_throttling, gpu_clock,
    )  # fmt: skip
    reasons = [{"rule": name, "text": text} for rule in rules for name, text in rule(cell, plan)]
    unseen = [name for name, look in UNSEEN.items() if any(look(part) is None for part in rounds)]
    if cell["target"] == "gpu" and any(part["during"]["gpu"] is None for part in rounds):
        unseen.append("GPU clock")
    return verdict(reasons, unseen)  # type: ignore[arg-type]


def judge_rounds(during: Sequence[During], p50s: Sequence[float]) -> Verdict:
    """The verdict on rounds that are no cell: on the machine during them, and on how far their p50s in µs lie apart."""
    cell = cast(Cell, {"rounds": [{"during": part} for part in during]})
    rules = (other_load, steal, frequency_change, throttling)
    reasons: list[Reason] = [{"rule": name, "text": text} for rule in rules for name, text in rule(cell, {})]
    if len(p50s) < MINIMUM["rounds"]:
        reasons.append({"rule": "short plan", "text": f"{len(p50s)} rounds, at least {MINIMUM['rounds']} are needed"})
    limit = repeatability(p50s)
    if limit is not None and limit > REPEATABILITY:
        text = f"two such runs could lie {limit:.1%} apart, at most {REPEATABILITY:.0%} is allowed"
        reasons.append({"rule": "spread too wide", "text": text})
    unseen = [name for name, look in UNSEEN.items() if any(look(part) is None for part in cell["rounds"])]
    return verdict(reasons, unseen)


Found = Iterator[tuple[str, str]]


def missing_rounds(cell: Cell, plan: JsonObject) -> Found:
    if len(cell["rounds"]) < plan["rounds"]:
        yield "rounds missing", f"{len(cell['rounds'])} of {plan['rounds']} rounds were measured"


def too_few(cell: Cell, plan: JsonObject) -> Found:
    for name, field in (("engine", "seconds"), ("end_to_end", "end_to_end_seconds")):
        parts = [part[name] for part in cell["rounds"]]  # type: ignore[literal-required]
        count = sum(count_of(part["windows"]) for part in parts)
        elapsed = [part["elapsed_ns"] for part in parts if part["elapsed_ns"] is not None]
        seconds = sum(elapsed) / 1e9
        if count < plan["min_queries"]:
            yield "too few samples", f"{count:,} {name} samples, the plan asks for {plan['min_queries']:,}"
        if len(elapsed) == len(parts) and seconds < plan[field] * (1 - 1e-6):
            yield "too few samples", f"{seconds:.1f} s of {name} samples, the plan asks for {plan[field]:g} s"


def spread(cell: Cell, plan: JsonObject) -> Found:
    """Judge the plan's headline percentile. Needs three rounds; other rules reject runs with fewer.

    A plan that states a precision is held to that, by the interval of the estimate.
    """
    if plan.get("precision") is not None:
        yield from too_imprecise(cell, plan["precision"])
        return
    summary = cell["summary"]
    for name in ("engine", "end_to_end"):
        rounds = [] if summary is None else summary[name][f"round_{plan['headline']}"]
        limit = repeatability(rounds) if len(rounds) >= 3 else None
        if limit is not None and limit > REPEATABILITY:
            yield (
                "spread too wide",
                f"{name} {plan['headline']} of the rounds is {min(rounds):,.1f} to {max(rounds):,.1f} µs; two such "
                f"runs could lie {limit:.1%} apart, at most {REPEATABILITY:.0%} is allowed",
            )


def too_imprecise(cell: Cell, precision: float) -> Found:
    """The end-to-end p50 needs no more than REPEATABILITY, because rounds go on for the engine's p50 only."""
    for name, allowed in (("engine", precision), ("end_to_end", max(precision, REPEATABILITY))):
        found = None if cell["summary"] is None else cell["summary"]["estimates"][name]
        if found is not None and found["half_width"] > allowed:
            yield (
                "interval too wide",
                f"{name} p50 is known to ±{found['half_width']:.1%} after {found['rounds']} rounds, the plan asks for "
                f"±{allowed:.0%}",
            )


def judge_ratio(found: Estimate | None, allowed: float = RATIO_PRECISION) -> Verdict:
    """The verdict on a ratio of two cells of one run. It is apart from the cells' own verdicts: what falls on both
    cells of a round, such as another clock or a busy neighbour, cancels."""
    reasons: list[Reason] = []
    if found is None:
        reasons.append({"rule": "rounds missing", "text": f"fewer than {LEAST_ROUNDS} rounds have both cells"})
    elif found.half_width > allowed:
        text = f"the ratio is known to ±{found.half_width:.1%} after {found.rounds} rounds, ±{allowed:.0%} is allowed"
        reasons.append({"rule": "interval too wide", "text": text})
    return verdict(reasons, [])


def other_load(cell: Cell, plan: JsonObject) -> Found:
    cores = mean_cores(cell["rounds"], "other_cores")
    if cores is not None and cores > OTHER_CORES:
        yield "other load", f"other programs used {cores:.2f} cores meanwhile, at most {OTHER_CORES:g} is allowed"


def steal(cell: Cell, plan: JsonObject) -> Found:
    cores = mean_cores(cell["rounds"], "steal_cores")
    if cores is not None and cores > STEAL_CORES:
        yield "steal time", f"the hypervisor took {cores:.2f} cores meanwhile, at most {STEAL_CORES:g} is allowed"


def mean_cores(rounds: Sequence[Round], name: str) -> float | None:
    """Busy cores, the mean over all rounds weighted by their length; None when a round lacks the value or the rounds
    are too short."""
    values = [part["during"][name] for part in rounds]  # type: ignore[literal-required]
    seconds = [part["during"]["seconds"] for part in rounds]
    if any(value is None for value in values) or sum(seconds) < MIN_SECONDS:
        return None
    return sum(value * length for value, length in zip(values, seconds)) / sum(seconds)


def frequency_change(cell: Cell, plan: JsonObject) -> Found:
    seen = [sorted(part["during"]["frequency_mhz"] or []) for part in cell["rounds"]]
    medians = [values[len(values) // 2] for values in seen if values]
    if medians and max(medians) > 0 and 1 - min(medians) / max(medians) > FREQUENCY_CHANGE:
        yield (
            "frequency change",
            f"the CPU ran at {min(medians):,.0f} to {max(medians):,.0f} MHz in different rounds, at most "
            f"{FREQUENCY_CHANGE:.0%} of change is allowed",
        )


def throttling(cell: Cell, plan: JsonObject) -> Found:
    events = sum(part["during"]["throttle_count"] or 0 for part in cell["rounds"])
    if events > 0:
        yield "throttling", f"the CPU throttled for heat {events} times meanwhile"


def software_device(cell: Cell, plan: JsonObject) -> Found:
    if is_software(cell):
        yield "software device", f"{(cell['placement'] or {})['device']} is a software GPU; its latency is not a GPU's"


def gpu_readings(cell: Cell) -> list[GpuDuring]:
    return [part["during"]["gpu"] for part in cell["rounds"] if part["during"]["gpu"] is not None]


def gpu_throttling(cell: Cell, plan: JsonObject) -> Found:
    bits = 0
    for gpu in gpu_readings(cell):
        bits |= gpu["throttle_reasons"] or 0
    if bits & THROTTLED:
        yield "throttling", f"the GPU slowed down for heat or power meanwhile (NVML reasons {bits & THROTTLED:#x})"


def gpu_clock(cell: Cell, plan: JsonObject) -> Found:
    """Judge the highest clock of each round, because a GPU idles between rounds."""
    highest = [max(gpu["sm_mhz"]) for gpu in gpu_readings(cell) if gpu["sm_mhz"]]
    if highest and max(highest) > 0 and 1 - min(highest) / max(highest) > GPU_CLOCK_CHANGE:
        yield (
            "frequency change",
            f"the GPU ran at {min(highest):,.0f} to {max(highest):,.0f} MHz in different rounds, at most "
            f"{GPU_CLOCK_CHANGE:.0%} of change is allowed",
        )
