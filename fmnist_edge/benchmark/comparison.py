"""Compare two results: how much slower or faster is B than A, with a confidence interval.

The p50 is the calm p50, see `estimates`; the p90 is of all samples. The interval has two parts. The bootstrap over
rounds, for the p90 also over seconds, covers what varies within a run. What varies between
runs of the same thing, such as memory layout, neighbours on the host, or a warmer room, comes from repeated runs, or
else from the repeatability that the two runs state for themselves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.benchmark.estimates import calm_p50, ratio_of_runs, rounds_of
from fmnist_edge.benchmark.repeats import LEAST_REPEATS, Key, between_runs, key_of, repeats_of
from fmnist_edge.benchmark.results import Cell, Result, Round, is_software
from fmnist_edge.benchmark.series import decode
from fmnist_edge.benchmark.validity import run_reasons

__all__ = ["Comparison", "Ratio", "compare", "differences", "machine_differences"]

# Machines that differ in one of these are not compared. Differences in NOTED_FIELDS only get a note: kernels, versions
# or containers may be what the user wants to compare.
MACHINE_FIELDS = (
    "device",
    "architecture",
    "cpu",
    "cpu_flags",
    "logical_cores",
    "affinity_cores",
    "cpu_quota_cores",
    "hypervisor",
    "gpus",
)
NOTED_FIELDS = ("governor", "kernel", "os", "libc", "python", "container", "gpu_driver")
REPLICATES = 2000
BLOCKS = 12  # per round, at most; more take longer and hardly change the intervals
CONFIDENCE = 0.95
PERCENTILES = (("p50", 50), ("p90", 90))
SERIES = ("engine", "end_to_end")
NOT_JUDGED = "not judged"
NO_SUCH = "{} has no such cell"
GONE = NO_SUCH.format("B")


@dataclass(frozen=True)
class Ratio:
    """B's calm p50 or p90 divided by A's, with its 95 % interval. A ratio above 1 means that B is slower.

    Attributes:
        lower, upper: the interval, with what varies within runs and between runs.
        within: the bootstrap interval of what varies within runs.
        between: the largest difference to expect between two runs of the same thing, as a share, at 95 %.
    """

    a_us: float
    b_us: float
    ratio: float
    lower: float
    upper: float
    within: tuple[float, float]
    between: float

    @property
    def finding(self) -> str:
        """ "slower" or "faster" when the whole interval is on one side of 1, otherwise "same"."""
        return "slower" if self.lower > 1 else "faster" if self.upper < 1 else "same"


@dataclass(frozen=True)
class Comparison:
    """One cell of either result, identified by artifact, target, engine, threads and batch.

    Attributes:
        same_file: whether both measured the same bytes.
        repeats: number of runs from which the spread between runs is known; 0 where the two runs state it.
        doubt: why the cell is not judged, because it is INVALID in one of the results; otherwise None.
        ratios: "engine" and "end_to_end" -> "p50" and "p90"; empty when the cell cannot be compared.
        problem: why the cell cannot be compared; otherwise None.
    """

    artifact: str
    target: str
    engine: str
    threads: int
    batch: int
    same_file: bool
    engine_versions: tuple[str | None, str | None]
    ratios: dict[str, dict[str, Ratio]]
    problem: str | None
    repeats: int = 0
    doubt: str | None = None

    def finding(self, name: str = "engine", percentile: str = "p50") -> str:
        """ "slower", "faster", "same" or "not judged"."""
        return NOT_JUDGED if self.doubt else self.ratios[name][percentile].finding

    @property
    def is_missing(self) -> bool:
        """Whether A measured the cell and B does not have it."""
        return self.problem == GONE

    def as_dict(self) -> JsonObject:
        ratios = {
            name: {key: {**asdict(ratio), "finding": self.finding(name, key)} for key, ratio in item.items()}
            for name, item in self.ratios.items()
        }
        return {**asdict(self), "ratios": ratios}

    def is_slower(self, by: float) -> bool:
        """Whether B is slower than A.

        True when the cell was measured in A and failed in B. Also true when the engine-only p50 rose by more than `by`
        (0.1 is 10 %) and the whole interval is above 1.
        """
        if not self.ratios:
            return self.problem is not None and self.problem.startswith("B:")
        return self.ratios["engine"]["p50"].ratio > 1 + by and self.finding() == "slower"


def machine_differences(a: JsonObject, b: JsonObject) -> list[str]:
    """One line per reason why latencies of the two machines cannot be compared."""
    return [line for key in MACHINE_FIELDS if (line := difference(key, a.get(key), b.get(key)))]


def differences(a: Result, b: Result) -> tuple[list[str], list[str]]:
    """(reasons not to compare, differences worth knowing), one line each."""
    wrong = machine_differences(a["machine"], b["machine"])
    noted = [line for key in NOTED_FIELDS if (line := difference(key, a["machine"].get(key), b["machine"].get(key)))]
    noted += [line for key in ("plan", "images") if (line := difference(key, label(a, key), label(b, key)))]
    for name, result in (("A", a), ("B", b)):
        verdict = result["verdict"]
        if verdict is None or verdict["status"] != "VALID":
            reasons = "; ".join(reason["text"] for reason in (verdict or {"reasons": []})["reasons"])
            noted.append(f"{name} is INVALID: {reasons or 'it was never finished'}")
    return wrong, noted


def label(result: Result, key: str) -> object:
    return result["plan"]["name"] if key == "plan" else result["images"].get("sha256", "")[:12]


def difference(key: str, a: object, b: object) -> str | None:
    if a == b:
        return None
    if isinstance(a, list) and isinstance(b, list):
        only_a, only_b = sorted(set(a) - set(b)), sorted(set(b) - set(a))
        return f"{key}: A alone has {' '.join(only_a) or 'nothing'}, B alone {' '.join(only_b) or 'nothing'}"
    return f"{key}: A {a!r}, B {b!r}"


def compare(
    a: Result, b: Result, seed: int = 0, *, repeats: Sequence[Result] = (), accept_invalid: bool = False
) -> list[Comparison]:
    """Every cell that either result has, in A's order, then B's. The same seed gives the same intervals.

    Args:
        repeats: runs of the same artifacts on the same machine as A, A among them or not. From three on, a cell's
            spread between runs comes from those that measured the same file on the same engine.
        accept_invalid: judge cells that are INVALID, too.
    """
    rng = np.random.default_rng(seed)
    cells_a, cells_b = ({key_of(cell): cell for cell in result["cells"]} for result in (a, b))
    others = [result for result in repeats if result["created"] != a["created"]]
    found = []
    for key in dict.fromkeys([*cells_a, *cells_b]):
        item = comparison(key, cells_a.get(key), cells_b.get(key), rng, repeats_of(cells_a.get(key), others))
        found.append(item if accept_invalid or not item.ratios else doubted(item, (a, cells_a[key]), (b, cells_b[key])))
    return found


def doubted(item: Comparison, *sides: tuple[Result, Cell]) -> Comparison:
    """The comparison with its doubt, if the cell is INVALID on one of the sides."""
    for name, (result, cell) in zip("AB", sides):
        reasons = [*run_reasons(result), *(cell["verdict"] or {"reasons": []})["reasons"]]
        if reasons or cell["verdict"] is None:
            rule = reasons[0]["rule"] if reasons else "never finished"
            return replace(item, doubt=f"INVALID in {name}: {rule}")
    return item


def comparison(
    key: Key, a: Cell | None, b: Cell | None, rng: np.random.Generator, repeats: Sequence[Cell] = ()
) -> Comparison:
    problem = next((text for text in (comparison_problem("A", a), comparison_problem("B", b)) if text), None)
    ratios = {}
    if a is not None and b is not None and problem is None:
        ratios = {name: ratios_of(a["rounds"], b["rounds"], name, rng, repeats) for name in SERIES}
    return Comparison(
        *key,
        same_file=a is not None and b is not None and a["sha256"] is not None and a["sha256"] == b["sha256"],
        engine_versions=(a and a["engine_version"], b and b["engine_version"]),
        ratios=ratios,
        problem=problem,
        repeats=len(repeats) if len(repeats) >= LEAST_REPEATS else 0,
    )


def comparison_problem(name: str, cell: Cell | None) -> str | None:
    """Why this side cannot be compared; None when it can."""
    if cell is None:
        return NO_SUCH.format(name)
    if is_software(cell):
        return f"{name}: measured on a software GPU, whose latency is not a GPU's"
    return None if cell["rounds"] else f"{name}: {cell['status']}, {cell['reason'] or 'no reason given'}"


def ratios_of(
    a: Sequence[Round], b: Sequence[Round], name: str, rng: np.random.Generator, repeats: Sequence[Cell] = ()
) -> dict[str, Ratio]:
    between = {key: 0.0 if a is b else between_runs(a, b, name, percent, repeats) for key, percent in PERCENTILES}
    calm_a, calm_b = rounds_of(a, name), rounds_of(b, name)
    calm = ratio_of_runs(calm_b, calm_a)
    p50 = widened(calm_p50(calm_a), calm_p50(calm_b), (calm.lower, calm.upper), between["p50"])
    (a_us, drawn_a), (b_us, drawn_b) = (bootstrap_p90(rounds, name, rng) for rounds in (a, b))
    tail = (1 - CONFIDENCE) / 2
    lower, upper = np.quantile(drawn_b / drawn_a, [tail, 1 - tail])
    p90 = widened(a_us, b_us, (float(lower), float(upper)), between["p90"])
    return {"p50": p50, "p90": p90}


def widened(a_us: float, b_us: float, within: tuple[float, float], between: float) -> Ratio:
    """A Ratio whose interval adds both parts as independent errors, in logarithms."""
    ratio, spread = b_us / a_us, math.log1p(between)
    down, up = (math.hypot(math.log(max(ratio / end, end / ratio)), spread) for end in within)
    return Ratio(a_us, b_us, ratio, ratio * math.exp(-down), ratio * math.exp(up), within, between)


def bootstrap_p90(rounds: Sequence[Round], name: str, rng: np.random.Generator) -> tuple[float, np.ndarray]:
    """The p90 of all samples and of REPLICATES resamples, (REPLICATES,), in µs.

    The bootstrap draws rounds with replacement, and then blocks of seconds within each round. Samples that follow one
    another are alike, and so are samples of one process. Drawing single samples would give intervals that are far too
    narrow. (Davison and Hinkley 1997, "Bootstrap Methods and their Application", 3.8 for two levels, 8.2.3 for blocks.)
    """
    blocks, round_of = [], []
    for number, part in enumerate(rounds):
        windows = part[name]["windows"]  # type: ignore[literal-required]
        for piece in np.array_split(np.arange(len(windows)), min(BLOCKS, len(windows))):
            blocks.append([decode(windows[index]) for index in piece])
            round_of.append(number)
    values = np.unique(np.concatenate([values for block in blocks for values, _ in block]))
    counts = np.zeros((len(blocks), len(values)))
    for row, block in enumerate(blocks):
        for found, times in block:
            counts[row, np.searchsorted(values, found)] += times
    weights = resampled(np.asarray(round_of), rng)
    point = p90_of(values, np.cumsum(counts.sum(axis=0))[None])[0]
    pieces = [p90_of(values, np.cumsum(piece @ counts, axis=1)) for piece in np.array_split(weights, REPLICATES // 50)]
    return float(point) / 1000, np.concatenate(pieces) / 1000


def resampled(round_of: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(REPLICATES, blocks): how often each block is drawn."""
    sizes = np.bincount(round_of)
    times = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=REPLICATES)
    # A round that is drawn k times contributes k times its number of blocks, each drawn again.
    drawn = [rng.multinomial(times[:, number] * size, np.full(size, 1 / size)) for number, size in enumerate(sizes)]
    return np.concatenate(drawn, axis=1).astype(float)


def p90_of(values: np.ndarray, reached: np.ndarray) -> np.ndarray:
    """(rows,): the nearest-rank p90 from cumulative counts (rows, values)."""
    targets = np.ceil(0.9 * reached[:, -1] - 1e-9)
    return values[[np.searchsorted(row, target) for row, target in zip(reached, targets)]]
