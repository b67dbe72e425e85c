"""`bench --on`: measure on a device, or on several at once, and show what they found."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.console import progress_bar, table
from fmnist_edge.errors import InputError

if TYPE_CHECKING:
    from fmnist_edge.benchmark.job import Job
    from fmnist_edge.benchmark.remote.fleet import Outcome
    from fmnist_edge.benchmark.remote.ssh import SshTarget
    from fmnist_edge.benchmark.results import Result

__all__ = ["measure_on", "show_result", "targets_of"]

RUNS_GO_ON = "fmnist-edge: the run on the device goes on; the same command picks it up"


def targets_of(hosts: Sequence[str], ssh_config: Path | None) -> dict[str, SshTarget]:
    """Host -> target. Raises InputError for a host that cannot be one, or is named twice."""
    from fmnist_edge.benchmark.remote.ssh import SshTarget

    twice = [host for number, host in enumerate(hosts) if host in hosts[:number]]
    if twice:
        raise InputError(f"--on {twice[0]}: named twice; a device measures one thing at a time")
    more = ("-F", str(ssh_config)) if ssh_config else ()
    return {host: SshTarget(host, more) for host in hosts}


def measure_on(targets: Mapping[str, SshTarget], job: Job, out: Path) -> int:
    """Measure on all targets and print the results; returns the exit code.

    Raises the error of a target that is alone, and KeyboardInterrupt.
    """
    try:
        if len(targets) > 1:
            return show_all(outcomes(targets, job, out), job)
        for host, target in targets.items():
            with progress_bar(host) as progress:
                path = target.measure(job, out, progress)
    except KeyboardInterrupt:
        print(RUNS_GO_ON, file=sys.stderr)
        raise
    code = show(path, job)
    print(f"\nwrote {path}")
    return code


def outcomes(targets: Mapping[str, SshTarget], job: Job, out: Path) -> list[Outcome]:
    """Measure on all at once, with a progress bar for each host and a line when it has ended."""
    from fmnist_edge.benchmark.remote.fleet import measure_on_all
    from fmnist_edge.errors import one_line

    def ended(outcome: Outcome) -> None:
        text = "done" if outcome.error is None else f"failed: {one_line(outcome.error)}"
        print(f"fmnist-edge: {outcome.host}: {text.replace(f'{outcome.host}: ', '', 1)}", file=sys.stderr)

    with ExitStack() as stack:
        bars = {host: stack.enter_context(progress_bar(host)) for host in targets}
        return measure_on_all(targets, job, out, bars.__getitem__, ended)


def show(path: Path, job: Job) -> int:
    """Print a results file; returns its exit code."""
    from fmnist_edge.benchmark import outcome, results

    result = results.load(path)
    broken = show_result(result, job.artifacts)
    return outcome.exit_code(result) or int(broken)


def show_all(found: Sequence[Outcome], job: Job) -> int:
    """Print each host's result, a table of all p50s, and the files that were written.

    Returns the exit code: that of the first host that failed, or else the first that is not 0.
    """
    from fmnist_edge.benchmark import results

    codes, loaded = [], {}
    for item in found:
        if item.path is not None:
            print(f"On {item.host}:\n")
            codes.append(show(item.path, job))
            loaded[item.host] = results.load(item.path)
            print()
    if len(loaded) > 1:
        print(f"p50 µs of the engine alone on each device:\n\n{fleet_table(loaded)}\n")
    for item in found:
        print(f"{item.host}: {f'wrote {item.path}' if item.path is not None else 'no result'}")
    for host, other in same_files(found):
        print(f"fmnist-edge: note: {host} and {other} sent the same run; are they one device?", file=sys.stderr)
    failed = [item.error.exit_code for item in found if item.error is not None]
    if failed:
        print(f"fmnist-edge: error: {len(failed)} of {len(found)} devices gave no result", file=sys.stderr)
    return next((code for code in [*failed, *codes] if code), 0)


def same_files(found: Sequence[Outcome]) -> list[tuple[str, str]]:
    """Pairs of hosts whose results are the same file."""
    seen: dict[Path, str] = {}
    return [
        (seen[item.path], item.host)
        for item in found
        if item.path is not None and seen.setdefault(item.path, item.host) != item.host
    ]


def fleet_table(loaded: Mapping[str, Result]) -> str:
    """A row per cell, a column per host: p50 with its interval; a star marks what is INVALID."""
    from fmnist_edge.benchmark.budgets import p50_of
    from fmnist_edge.benchmark.tables import NONE

    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for host, result in loaded.items():
        for cell in result["cells"]:
            threads = f"{cell['threads']}" + f", batch {cell['batch']}" * (cell["batch"] > 1)
            p50, verdict = p50_of(cell), cell["verdict"]
            valid = verdict is not None and verdict["status"] == "VALID"
            text = NONE if p50 is None else p50.text + " *" * (not valid)
            rows.setdefault((cell["artifact"], cell["engine"], threads), {})[host] = text
    lines = [[*key, *(found.get(host, NONE) for host in loaded)] for key, found in rows.items()]
    note = "\n\n* INVALID; the reasons are above" * any(text.endswith("*") for row in lines for text in row)
    return table(["artifact", "engine", "threads", *loaded], lines, right=["threads", *loaded]) + note


def show_result(result: Result, artifacts: Sequence[Path]) -> bool:
    """Print the table and what belongs under it; returns whether a file does not keep its budget."""
    from fmnist_edge.benchmark import outcome

    print("\n".join([outcome.text(result), *outcome.cpu_notes(result, artifacts)]))
    return show_budgets(result, artifacts)


def show_budgets(result: Result, artifacts: Sequence[Path]) -> bool:
    """Print for each file with a budget in its manifest whether it is kept; returns whether one is not."""
    from fmnist_edge.benchmark.budgets import budgets_of, judge

    found = judge(result, budgets_of(artifacts))
    for artifact, finding in found:
        print(f"budget of {artifact}: {finding.text}")
        if finding.is_over:
            print(f"FAILED {artifact}: its budget is {finding.text}", file=sys.stderr)
    return any(finding.is_over for _, finding in found)
