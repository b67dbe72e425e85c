"""The results file of a benchmark run: `<device>/<UTC time>-<plan>.json.gz`, gzipped JSON; its schema, save and load.

The file holds every raw sample (see `series`). "summary" and "verdict" are derived from the samples and from the state
of the machine, by `summary.summarize` and `validity.judge`. Times are whole nanoseconds where a name ends in `_ns`, and
microseconds in a summary. An unknown value is null, never a guess. No host, user or path is recorded.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from pathlib import Path
from typing import Any, TypedDict, cast, get_type_hints

from fmnist_edge.aliases import JsonObject
from fmnist_edge.benchmark.gpus import Gpu, GpuDuring
from fmnist_edge.benchmark.upgrades import upgrade
from fmnist_edge.errors import FileError
from fmnist_edge.files import write_atomic

__all__ = [
    "SCHEMA", "Cell", "Complexity", "During", "Memory", "Reason", "Result", "Round", "Series", "State", "Verdict",
    "is_software", "load", "path_for", "save",
]  # fmt: skip

# 1: plan, environment (machine, before, after) and cells with raw nanoseconds per round. No longer read. The only file
#    of schema 1 was converted to 2, with null for the fields that 1 lacks.
# 2: machine, calibration, state before, during and after, verdict; samples as windows; target, memory pass, accuracy
#    and complexity per cell; gzipped. Still read, with null for the fields that it lacks.
# 3: adds GPUs: gpus before, after and during, placement and parity per cell, device series per round. Still read, with
#    null for the fields that it lacks.
# 4: adds what disturbed each window (noise), windows of a quarter of a second instead of a second, and the plan's
#    precision and budget_seconds; side and pair of a run of two sets of artifacts. Still read.
# 5: adds browsers: the cell's browser, the round's time to the first answer, and the calls in a sample of a series.
SCHEMA = 5
READABLE = (2, 3, 4, SCHEMA)

LIST_OF_NUMBERS = re.compile(r"\[\n\s+-?\d[\d.e+-]*(?:,\n\s+-?\d[\d.e+-]*)*\n\s*\]")


class State(TypedDict):
    """The machine at one moment.

    frequency_mhz: per core. temperature_c: of the hottest zone. throttled: `vcgencmd get_throttled` on a Raspberry Pi.
    throttle_count: x86's throttle events since boot, over all cores. on_battery: null when the system lists no power
    supply. gpus: NVIDIA's GPUs, as their driver reports them.
    """

    time: str
    load_average: list[float] | None
    frequency_mhz: list[float] | None
    temperature_c: float | None
    throttled: int | None
    throttle_count: int | None
    governor: str | None
    on_battery: bool | None
    memory_available_bytes: int | None
    gpus: list[Gpu] | None


class During(TypedDict):
    """The machine while one child process ran, from its start to its end.

    other_cores: CPU time used by others than the child and this program, as a number of busy cores. steal_cores: time
    that the hypervisor gave to others, also as busy cores. frequency_mhz: of the fastest core, one value per second.
    temperature_c: of the hottest zone, one value per second. throttled: all bits of `vcgencmd get_throttled` that were
    seen. throttle_count: x86 throttle events in this time. gpu: for cells on a GPU, where NVIDIA's driver reports it.
    """

    seconds: float
    own_cpu_seconds: float | None
    other_cores: float | None
    steal_cores: float | None
    frequency_mhz: list[float] | None
    temperature_c: list[float] | None
    throttled: int | None
    throttle_count: int | None
    gpu: GpuDuring | None


class Series(TypedDict):
    """Samples of calls made one after another.

    windows: [[first ns, steps...], [counts...]] for each quarter of a second, in time order; see `series`. noise: for
    each window [wall time in ns, involuntary context switches of the child, ns that the hypervisor took from all cores
    or null]; null where it was not recorded. calls_per_sample: above 1 where a call is too short for the clock; a
    sample is then the mean of so many calls. The other fields are wall time, and the child's own CPU time and context
    switches, from the first call to the last.
    """

    windows: list[list[list[int]]]
    noise: list[list[int | None]] | None
    calls_per_sample: int
    elapsed_ns: int | None
    cpu_ns: int | None
    voluntary_switches: int | None
    involuntary_switches: int | None


class Round(TypedDict):
    """One cell measured in one fresh process.

    cold_load_ns includes importing the engine; load_ns is a second load. first_ns: the first inference. engine: from
    tensor to tensor, both in the program's memory, also on a GPU. end_to_end: from uint8 image to label. device: by
    the GPU's own clock, without copies; null on CPUs and where the engine does not report it. first_answer_ns: in a
    browser, from the start of an empty worker to its first answer; null elsewhere.
    """

    round: int
    cold_load_ns: int
    load_ns: int
    first_ns: int
    first_answer_ns: int | None
    warm_up: dict[str, float]
    engine: Series
    end_to_end: Series
    device: Series | None
    during: During


class Memory(TypedDict):
    """Largest resident size before the engine was imported, and after a few inferences.

    It is measured in a separate pass, in which nothing is timed.
    """

    baseline_rss_bytes: int
    peak_rss_bytes: int


class Complexity(TypedDict):
    """What the artifact's graph needs for one image.

    macs: multiply-accumulates of convolutions and matrix products. parameters: constants that ops compute with.
    weight_bytes: bytes of those constants. activation_bytes: bytes that ops read and write between them.
    """

    macs: int
    parameters: int
    weight_bytes: int
    activation_bytes: int


class Reason(TypedDict):
    """Why something is INVALID: the rule's name, and one line with the value found and the value allowed."""

    rule: str
    text: str


class Verdict(TypedDict):
    """status: VALID or INVALID. unseen: facts that this machine does not report, so that no rule could judge them."""

    status: str
    reasons: list[Reason]
    unseen: list[str]


class Cell(TypedDict):
    """One artifact on one engine with one number of threads and one batch size.

    artifact: last folder and file name, after "A:" or "B:" in a run of two sets of artifacts; side, pair: see
    `cells.Cell`. target: "cpu", "gpu" or "browser". status: "ok", "partial" (rounds are missing, or some
    ops ran on the CPU), "unavailable" (the engine is not installed, or there is no GPU) or "failed"; all but "ok" have
    a reason. images: "given", "golden" (the artifact's own), or "noise" if it has none. accuracy: {"accuracy",
    "reference_accuracy", "images", "source", "passed"} from a parity report on a file with the same SHA-256, or null.
    placement: for a cell on a GPU, `runtime.placement.Placement`. parity: what `backend.compare_with_cpu` returned,
    before anything was timed. browser: {"name", "version", "clock_ns" (the clock's smallest step), "isolated" (whether
    the page had the finer clock), "bytes_loaded" (until the first answer)} of a cell in a browser, or null.
    """

    artifact: str
    side: str | None
    pair: str | None
    sha256: str | None
    size_bytes: int | None
    model: str | None
    format: str
    precision: str | None
    target: str
    engine: str
    engine_version: str | None
    threads: int
    batch: int
    status: str
    reason: str | None
    images: str | None
    accuracy: JsonObject | None
    complexity: Complexity | None
    memory: Memory | None
    placement: JsonObject | None
    parity: JsonObject | None
    browser: JsonObject | None
    rounds: list[Round]
    summary: JsonObject | None
    verdict: Verdict | None


class Result(TypedDict):
    """A whole run.

    machine: `environment.describe()`. calibration: this machine's measured peak, see `calibration`; null when it was
    skipped. before, after: the machine's state. idle_cores: CPU time that others used in the second before the first
    cell, as busy cores. sessions: start time of this run and of each `--resume`.
    """

    schema: int
    created: str
    finished: str | None
    interrupted: bool
    sessions: list[str]
    plan: JsonObject
    seed: int
    images: JsonObject
    machine: JsonObject
    calibration: JsonObject | None
    before: State
    idle_cores: float | None
    after: State | None
    verdict: Verdict | None
    cells: list[Cell]


def path_for(result: Result, folder: str | Path) -> Path:
    """`folder`/<device>/<UTC time>-<plan>.json.gz"""
    stamp = re.sub(r"\D", "", result["created"][:19])
    return Path(folder) / result["machine"]["device"] / f"{stamp}-{result['plan']['name']}.json.gz"


def save(result: Result, path: str | Path) -> Path:
    """Write `result`; the same result gives the same bytes. Raises FileError when `path` cannot be written."""
    text = json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False)
    # JSON strings hold no raw line break, so only lists match.
    compact = LIST_OF_NUMBERS.sub(lambda match: "".join(match[0].split()), text)
    return write_atomic(path, gzip.compress(f"{compact}\n".encode(), mtime=0))


def load(path: str | Path) -> Result:
    """Read a file that `save` wrote. Raises FileError when it is missing, damaged or of another schema."""
    try:
        content = Path(path).read_bytes()
        result = json.loads(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
    except FileNotFoundError:
        raise FileError(f"{path}: no such file; `fmnist-edge bench` writes results") from None
    except (ValueError, RecursionError, EOFError, zlib.error, gzip.BadGzipFile):
        raise FileError(f"{path}: not a results file, or a damaged one; run `fmnist-edge bench` again") from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror})") from None
    found = result.get("schema") if isinstance(result, dict) else None
    if type(found) is not int or found not in READABLE:
        raise FileError(
            f"{path}: result schema is {found!r}, this version reads 2 to {SCHEMA}; run the benchmark again"
        )
    upgrade(result)
    check_fields(result, path)
    return cast(Result, result)


def is_software(cell: Cell) -> bool:
    """Whether the cell ran on a GPU emulated by the CPU. Such a cell shows correct answers, but no GPU's latency."""
    return cell["placement"] is not None and bool(cell["placement"].get("software"))


def check_fields(result: JsonObject, path: str | Path) -> None:
    """Raises FileError unless every field described above is present."""
    check(result, Result, f"{path}: ")
    for number, cell in enumerate(result["cells"]):
        where = f"{path}: cells[{number}]"
        check(cell, Cell, f"{where}.")
        for index, part in enumerate(cell["rounds"]):
            check(part, Round, f"{where}.rounds[{index}].")
            for name in ("engine", "end_to_end", *(["device"] if part["device"] is not None else [])):
                check(part[name], Series, f"{where}.rounds[{index}].{name}.")
            check(part["during"], During, f"{where}.rounds[{index}].during.")


def check(value: Any, kind: type, where: str) -> None:
    fields = get_type_hints(kind)
    missing = sorted(set(fields) - set(value)) if isinstance(value, dict) else sorted(fields)
    if missing:
        raise FileError(f"{where}{missing[0]} is missing; the file is damaged, run `fmnist-edge bench` again")
    for name, hint in fields.items():
        if getattr(hint, "__origin__", None) is list and not isinstance(value[name], list):
            kind_found = type(value[name]).__name__
            raise FileError(f"{where}{name} is a {kind_found}, expected a list; the file is damaged")
