"""Budgets: their limits as people write them, `budget.toml`, and whether a measurement keeps them."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmnist_edge.benchmark.cells import manifest_of
from fmnist_edge.benchmark.estimates import estimate, p50s_of
from fmnist_edge.benchmark.plan import toml_reader
from fmnist_edge.benchmark.results import Cell, Result, is_software
from fmnist_edge.errors import FileError, InputError
from fmnist_edge.runtime.budget import Budget

__all__ = [
    "KEYS", "P50", "Finding", "accuracy_reason", "accuracy_share", "budgets_of", "drop_share", "finding_of", "judge",
    "latency_finding", "latency_ms", "p50_of", "plain", "read", "size_bytes", "size_reason",
]  # fmt: skip

QUANTITY = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*(.*)")
TIME = {"us": 0.001, "µs": 0.001, "μs": 0.001, "ms": 1.0, "s": 1000.0}  # the second µ is the Greek letter
SIZE = {"B": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": 1024**2}


def latency_ms(text: str) -> float:
    """ "2ms", "500us", "0.1s" -> milliseconds. This and the next raise InputError, which says what was expected.

    >>> latency_ms("500us"), latency_ms("2 ms")
    (0.5, 2.0)
    """
    return float(f"{quantity(text, TIME, 'a time above 0 with its unit, like 2ms or 500us'):.12g}")


def size_bytes(text: str) -> int:
    """A size with its unit -> bytes, rounded up.

    >>> size_bytes("500kB"), size_bytes("1.2MB")
    (500000, 1200000)
    """
    found = quantity(text, SIZE, "a size above 0 with its unit, like 500kB or 1.2MB")
    return math.ceil(round(found, 6))


def accuracy_share(text: str) -> float:
    """A percentage, with or without its sign -> a share. A value of at most 1 is refused: it would be a share.

    >>> accuracy_share("94.5"), accuracy_share("94.5%")
    (0.945, 0.945)
    """
    expected = "a percentage above 1 and at most 100, like 94.5"
    found = quantity(text, {"": 1.0, "%": 1.0}, expected)
    if not 1 < found <= 100:
        raise InputError(f"{text!r}: expected {expected}")
    return float(f"{found / 100:.12g}")


def drop_share(text: str) -> float:
    """Percentage points -> a share; 0 is allowed.

    >>> drop_share("0.2pp"), drop_share("0pp")
    (0.002, 0.0)
    """
    expected = "percentage points from 0 to 100, like 0.2pp"
    found = quantity(text, {"pp": 1.0}, expected, least=0)
    if found > 100:
        raise InputError(f"{text!r}: expected {expected}")
    return float(f"{found / 100:.12g}")


def quantity(text: str, units: Mapping[str, float], expected: str, *, least: float = 5e-324) -> float:
    match = QUANTITY.fullmatch(text.strip())
    value = float(match[1]) * units[match[2]] if match and match[2] in units else math.nan
    if not least <= value < math.inf:
        raise InputError(f"{text[:40]!r}: expected {expected}")
    return value


# Key in budget.toml, which is also the option's name -> the limit's name, and how its text is read.
KEYS: dict[str, tuple[str, Callable[[str], float]]] = {
    "max-latency": ("max_latency_ms", latency_ms),
    "max-size": ("max_size_bytes", size_bytes),
    "min-accuracy": ("min_accuracy", accuracy_share),
    "max-drop": ("max_drop", drop_share),
}


def read(path: Path) -> Budget:
    """The budget in a TOML file. Raises FileError when it is no TOML, InputError for keys or values that are wrong."""
    toml = toml_reader()
    try:
        found = toml.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror})") from None
    except (toml.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: not TOML ({error})") from None
    limits: dict[str, Any] = {}
    for key, value in found.items():
        if key not in KEYS:
            close = difflib.get_close_matches(key, KEYS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"expected {', '.join(KEYS)}"
            raise InputError(f"{path}: unknown key {key!r}; {hint}")
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise InputError(f"{path}: {key} is {value!r}; expected a text, as after --{key}")
        name, parse = KEYS[key]
        try:
            limits[name] = parse(str(value))
        except InputError as error:
            raise InputError(f"{path}: {key}: {error}") from None
    if not limits:
        raise InputError(f"{path}: no limit in it; expected one or more of {', '.join(KEYS)}")
    return Budget(**limits)


def size_reason(budget: Budget, size_bytes: int | None) -> str | None:
    """Why a file of this size is over the budget, in a few words; None if it is within."""
    if budget.max_size_bytes is None or size_bytes is None or size_bytes <= budget.max_size_bytes:
        return None
    return f"{kilobytes(size_bytes)} is more than {kilobytes(budget.max_size_bytes)}"


def accuracy_reason(budget: Budget, accuracy: float | None, reference: float | None) -> str | None:
    """Why this accuracy is over the budget; None if it is within, or unknown.

    `reference`: the Keras model's accuracy.
    """
    if budget.min_accuracy is not None and accuracy is not None and below(accuracy, budget.min_accuracy):
        return f"{plain(accuracy * 100, 4)} % accuracy is less than {plain(budget.min_accuracy * 100, 4)} %"
    if budget.max_drop is None or accuracy is None or reference is None:
        return None
    if below(accuracy, reference - budget.max_drop):
        return f"loses {plain((reference - accuracy) * 100, 4)} pp, more than {plain(budget.max_drop * 100, 4)} pp"
    return None


def latency_finding(budget: Budget, p50_us: float, lower_us: float | None, upper_us: float | None) -> str:
    """ "within", "over", or "unsure" where the p50's interval contains the limit or there is no interval."""
    limit = None if budget.max_latency_ms is None else budget.max_latency_ms * 1000
    if limit is None:
        return "within"
    if lower_us is None or upper_us is None:
        return "over" if p50_us > limit else "unsure"
    return "within" if upper_us <= limit else "over" if lower_us > limit else "unsure"


def below(value: float, limit: float) -> bool:
    """Whether a share is below another, apart from the error of adding binary fractions."""
    return value < limit - 1e-9


def kilobytes(count: int) -> str:
    """
    >>> kilobytes(118_432), kilobytes(500_000)
    ('118.432 kB', '500 kB')
    """
    return f"{plain(count / 1000, 3)} kB"


def plain(value: float, digits: int) -> str:
    """A number with at most that many decimals.

    >>> plain(94.5, 4), plain(1.23456, 4), plain(1500, 3)
    ('94.5', '1.2346', '1,500')
    """
    return f"{value:,.{digits}f}".rstrip("0").rstrip(".")


@dataclass(frozen=True)
class P50:
    """The p50 of a cell in µs, with its 95 % interval; lower and upper are None below five rounds."""

    value: float
    lower: float | None
    upper: float | None
    rounds: int

    @property
    def text(self) -> str:
        """
        >>> P50(107.26, 105.5, 1109.0, 5).text
        '107.3 [105.5, 1,109.0]'
        """
        if self.lower is None or self.upper is None:
            return f"{self.value:,.1f}"
        return f"{self.value:,.1f} [{self.lower:,.1f}, {self.upper:,.1f}]"


def p50_of(cell: Cell) -> P50 | None:
    """The estimated p50 of the engine alone; None for a cell that was not measured, or only on a software GPU."""
    if cell["summary"] is None or is_software(cell):
        return None
    found = estimate(p50s_of(cell))
    if found is None:
        return P50(cell["summary"]["engine"]["p50"], None, None, len(cell["rounds"]))
    return P50(found.value, found.lower, found.upper, found.rounds)


def budgets_of(artifacts: Sequence[Path]) -> dict[str, Budget]:
    """SHA-256 -> the budget in the manifest, for the artifacts that have one."""
    manifests = [manifest for path in artifacts if (manifest := manifest_of(path))]
    return {manifest.sha256: manifest.budget for manifest in manifests if manifest.budget}


@dataclass(frozen=True)
class Finding:
    """Whether a file keeps its budget: "within", "over" or "unsure", and a line that says why."""

    status: str
    text: str

    @property
    def is_over(self) -> bool:
        return self.status == "over"


Timed = tuple[P50, str, int]  # p50, engine, threads


def finding_of(
    budget: Budget,
    size: int | None,
    accuracies: tuple[float | None, float | None],
    timed: Timed | None,
    untimed: str = "it was not timed",
) -> Finding:
    """Hold a file to its budget.

    Args:
        size: in bytes.
        accuracies: the file's and its Keras model's, as shares; None where unknown.
        timed: its latency here; where it is None, `untimed` says why.
    """
    over = [size_reason(budget, size), accuracy_reason(budget, *accuracies)]
    unknown: list[str | None] = [f"this version does not know {name}; update fmnist-edge" for name in budget.unknown]
    if (budget.min_accuracy is not None and accuracies[0] is None) or (
        budget.max_drop is not None and None in accuracies
    ):
        unknown.append("its accuracy is not known here, see `fmnist-edge check --record`")
    kept: list[str | None] = []
    if budget.max_latency_ms is not None:
        status, text = "unsure", untimed
        if timed is not None:
            p50, engine, threads = timed
            status = latency_finding(budget, p50.value, p50.lower, p50.upper)
            text = f"p50 {p50.text} µs in {engine}, {threads} thread{'s' * (threads > 1)}"
        text += f"; at most {plain(budget.max_latency_ms * 1000, 3)} µs are allowed"
        {"over": over, "unsure": unknown, "within": kept}[status].append(text)
    reasons = [reason for reason in over if reason]
    status = "over" if reasons else "unsure" if unknown else "within"
    lines = [line for line in (*reasons, *unknown, *kept) if line]
    return Finding(status, f"{WORDS[status]}{': ' * bool(lines)}{'; '.join(lines)}")


WORDS = {"within": "kept", "over": "NOT kept", "unsure": "not decided"}


def judge(result: Result, budgets: Mapping[str, Budget]) -> list[tuple[str, Finding]]:
    """(artifact, finding) for each file of a run that has a budget, by SHA-256. Its fastest cell counts."""
    found = []
    for sha256, budget in budgets.items():
        cells = [cell for cell in result["cells"] if cell["sha256"] == sha256]
        if cells:
            found.append((cells[0]["artifact"], judge_cells(cells, budget)))
    return found


def judge_cells(cells: Sequence[Cell], budget: Budget) -> Finding:
    known = cells[0]["accuracy"] or {}
    timed = [(p50, cell["engine"], cell["threads"]) for cell in cells if (p50 := p50_of(cell))]
    return finding_of(
        budget,
        cells[0]["size_bytes"],
        (known.get("accuracy"), known.get("reference_accuracy")),
        min(timed, key=lambda item: item[0].value, default=None),
        f"it was not timed ({cells[0]['reason'] or 'no round was finished'})",
    )
