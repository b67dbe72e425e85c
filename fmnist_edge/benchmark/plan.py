"""Plans: how long and how often to measure. They are TOML files in `benchmarks/plans/`."""

from __future__ import annotations

import difflib
import math
import sys
from dataclasses import MISSING, dataclass, fields
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from fmnist_edge.aliases import JsonObject
from fmnist_edge.errors import FileError, InputError, UnavailableError, UnknownNameError

__all__ = ["Plan", "find", "names", "read"]

# Only for estimates: starting Python, importing NumPy and an engine, and loading a small model twice, on a laptop.
START_UP_S = 0.7
HEADLINES = ("p50", "p90")


@dataclass(frozen=True)
class Plan:
    """How every cell is measured. Each round is a fresh process: load, first inference, warm-up, then two series.

    Attributes:
        rounds: how often every cell is measured.
        seconds, end_to_end_seconds: length of the engine-only and of the end-to-end series, over all rounds.
        min_queries: calls in each of the two series, over all rounds. A series ends when both its seconds and its
            calls are reached.
        warm_up_runs, warm_up_seconds: the untimed warm-up of a round ends when both are reached.
        threads: engine threads; "all" means every core that this process may use.
        headline: the percentile by which cells are compared, "p50" or "p90".
        batches: images per call, for artifacts with a dynamic batch axis. Other artifacts keep their own batch size.
        cool_down_seconds: pause before each process.
        precision: the half-width of the 95 % interval of the headline that is wanted, as a share: 0.02 is ±2 %. More
            rounds follow until every cell has it, or has used its budget. None: no more than `rounds`.
        budget_seconds: the longest that a cell is measured, over all its rounds; needs `precision`.

    >>> plan = Plan("mine", 5, 10, 5, 1024, 10, 0.5, threads=(1, "all"))
    >>> plan.thread_counts(cores=4), plan.min_queries_per_round
    ((1, 4), 205)
    """

    name: str
    rounds: int
    seconds: float
    end_to_end_seconds: float
    min_queries: int
    warm_up_runs: int
    warm_up_seconds: float
    threads: tuple[int | str, ...] = (1, "all")
    headline: str = "p50"
    batches: tuple[int, ...] = (1,)
    cool_down_seconds: float = 0
    precision: float | None = None
    budget_seconds: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or "/" in self.name:
            raise InputError(
                f'plan: name is {self.name!r}; expected text without "/", as it becomes part of file names'
            )
        for field in ("rounds", "min_queries", "warm_up_runs"):
            if not is_count(getattr(self, field)):
                self.refuse(field, "a whole number of at least 1")
        for field in ("seconds", "end_to_end_seconds", "warm_up_seconds", "cool_down_seconds"):
            value = getattr(self, field)
            if not is_number(value) or not 0 <= value < math.inf:
                self.refuse(field, "seconds, 0 or more")
        if not is_list(self.threads) or any(item != "all" and not is_count(item) for item in self.threads):
            self.refuse("threads", "a list of whole numbers of at least 1, or 'all'")
        if not is_list(self.batches) or not all(map(is_count, self.batches)):
            self.refuse("batches", "a list of whole numbers of at least 1")
        self.check_precision()
        if self.headline not in HEADLINES:
            self.refuse("headline", " or ".join(map(repr, HEADLINES)))

    def check_precision(self) -> None:
        if self.precision is None and self.budget_seconds is None:
            return
        if not is_number(self.precision) or not 0 < (self.precision or 0) < 1:
            self.refuse("precision", "a share above 0 and below 1, such as 0.02 for 2 %")
        if not is_number(self.budget_seconds) or not 0 < (self.budget_seconds or 0) < math.inf:
            self.refuse("budget_seconds", "seconds above 0, beside precision")
        if self.headline != "p50":
            self.refuse("headline", "'p50', the only one that precision can be stated for")

    def refuse(self, field: str, expected: str) -> None:
        raise InputError(f"plan {self.name!r}: {field} is {getattr(self, field)!r}; expected {expected}")

    @property
    def min_queries_per_round(self) -> int:
        return -(-self.min_queries // self.rounds)

    def thread_counts(self, cores: int) -> tuple[int, ...]:
        """`threads` as numbers on a machine with `cores` usable cores, in ascending order and without duplicates."""
        return tuple(sorted({cores if item == "all" else int(item) for item in self.threads}))

    def estimate_s(self, cells: int) -> float:
        """Approximate seconds for `cells` cells. Slow cells take longer: `min_queries` then outlasts the seconds."""
        a_round = START_UP_S + self.warm_up_seconds + self.cool_down_seconds
        return cells * (self.rounds * a_round + self.seconds + self.end_to_end_seconds + START_UP_S)


def is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_list(value: object) -> bool:
    return isinstance(value, tuple) and bool(value)


def folders() -> tuple[Path, ...]:
    """The folders with plans: in the working folder, in the source tree, and where the wheel installs them."""
    source_tree = Path(__file__).resolve().parents[2] / "benchmarks/plans"
    return Path("benchmarks/plans"), source_tree, Path(sys.prefix) / "share/fmnist-edge/plans"


def names() -> list[str]:
    """Names of all plans that `find` knows, sorted."""
    return sorted({file.stem for folder in folders() for file in folder.glob("*.toml")})


def find(name: str) -> Plan:
    """Find a plan by its name or its `.toml` file. Raises UnknownNameError, FileError and InputError, in one line."""
    if name.endswith(".toml") or "/" in name:
        return read(Path(name))
    for folder in folders():
        if (folder / f"{name}.toml").is_file():
            return read(folder / f"{name}.toml")
    known = names()
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise UnknownNameError(f"unknown plan {name!r}; choose from: {', '.join(known)}, or name a .toml file.{hint}")


def read(path: Path) -> Plan:
    """Read a plan from a file; the plan gets the file's name. Raises FileError when it is no TOML, InputError when it
    is no plan."""
    toml = toml_reader()
    try:
        values = toml.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror})") from None
    except (toml.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: not TOML ({error})") from None
    return from_dict(values, path.stem, str(path))


def toml_reader() -> ModuleType:
    """Python's tomllib, since 3.11, or the package tomli. Raises UnavailableError when there is neither."""
    for name in ("tomllib", "tomli"):
        try:
            return import_module(name)
        except ModuleNotFoundError:
            continue
    raise UnavailableError("plans are TOML files, which this Python cannot read; run: pip install tomli")


def from_dict(values: JsonObject, name: str, where: str) -> Plan:
    """A Plan from its keys. Raises InputError on an unknown key, a missing key and a bad value."""
    known = {field.name: field for field in fields(Plan) if field.name != "name"}
    for key in values:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; expected {', '.join(known)}"
            raise InputError(f"{where}: unknown key {key!r}{hint}")
    for key, field in known.items():
        if key not in values and field.default is MISSING:
            raise InputError(f"{where}: {key!r} is missing; benchmarks/plans/quick.toml shows every key")
    plain: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    try:
        return Plan(name, **plain)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
