"""`check --on`: the artifacts' scores from another machine, or from an emulated core."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.console import progress_bar, table
from fmnist_edge.errors import UnknownNameError

if TYPE_CHECKING:
    import numpy as np

    from fmnist_edge.artifact import Artifact
    from fmnist_edge.catalog.boards import Core
    from fmnist_edge.parity.check import CheckedArtifact
    from fmnist_edge.parity.elsewhere import Elsewhere

__all__ = ["add_on", "elsewhere_failures", "elsewhere_for", "elsewhere_table"]

EMULATED = "emulated:"
USERLAND = Path("build/emulation")
HEADER = ["artifact", "on", "machine", "engine", "images", "same class as here %", "max Δ", "images that differ"]
SHOWN = 5


def add_on(parser: argparse.ArgumentParser) -> None:
    where = parser.add_argument_group("Where")
    where.add_argument(
        "--on",
        metavar="HOST",
        help="Run the artifacts on this device by ssh, as in `bench --on`, or on an emulated core: emulated:a53, "
        "emulated:a72 or emulated:a76. The accuracies are then the device's, and each answer is compared with this "
        "machine's.",
    )
    where.add_argument("--ssh-config", metavar="FILE", help="Config file for ssh.")
    where.add_argument(
        "--userland", type=Path, default=USERLAND, metavar="DIR", help="Folder of the emulated cores, see `emulate`."
    )


def elsewhere_for(options: argparse.Namespace, artifacts: Sequence[Artifact], images: np.ndarray) -> Elsewhere | None:
    """The scores from where --on says; None without it. Raises what `bench --on` or `emulate` raises."""
    from fmnist_edge.parity.elsewhere import Elsewhere

    if options.on is None:
        return None
    if options.on.startswith(EMULATED):
        from fmnist_edge.boards.emulation.scores import emulated_scores

        core = core_of(options.on)
        with progress_bar(core.name) as progress:
            return Elsewhere(options.on, emulated_scores(artifacts, images, core, options.userland, progress))
    from fmnist_edge.benchmark.remote.score_job import measure
    from fmnist_edge.benchmark.remote.ssh import SshTarget

    target = SshTarget(options.on, ("-F", options.ssh_config) if options.ssh_config else ())
    with progress_bar(target.host) as progress:
        return Elsewhere(options.on, measure(target, [item.path for item in artifacts], images, progress))


def core_of(on: str) -> Core:
    """ "emulated:a72" or "emulated:cortex-a72" -> the core. Raises UnknownNameError."""
    from fmnist_edge.catalog.boards import CORES

    name = on.removeprefix(EMULATED)
    name = name if name in CORES else f"cortex-{name}"
    if name not in CORES:
        choices = ", ".join(f"{EMULATED}{item.removeprefix('cortex-')}" for item in CORES)
        raise UnknownNameError(f"--on {on}: no such emulated core; choose from: {choices}")
    return CORES[name]


def elsewhere_table(checked: Sequence[CheckedArtifact]) -> str:
    """A table of what differs there, between empty lines; empty without --on."""
    found = [(row, row.elsewhere) for row in checked if row.elsewhere is not None]
    if not found:
        return ""
    rows = [
        [
            f"{row.artifact.model}/{row.artifact.path.name}",
            there.where,
            there.machine,
            there.engine,
            f"{there.images:,}",
            f"{there.agreement * 100:.2f}",
            f"{there.max_abs_delta:.1e}",
            ", ".join(map(str, there.differing[:SHOWN])) + ", …" * (len(there.differing) > SHOWN) or "none",
        ]
        for row, there in found
    ]
    return f"\nThe figures above are of {found[0][1].where}. Against this machine:\n\n{table(HEADER, rows)}\n"


def elsewhere_failures(checked: Sequence[CheckedArtifact]) -> dict[str, str]:
    """Path of the file -> one line, for each file that answers otherwise there."""
    return {
        str(row.artifact.path): f"FAILED {row.artifact.path}: {row.elsewhere.failure}"
        for row in checked
        if row.elsewhere is not None and row.elsewhere.failure
    }
