"""What firmwares with the C form take on each Cortex-M: `python -m fmnist_edge.parity.c_form.firmware_sizes FOLDER...`

Prints the table of docs/microcontrollers.md for exported folders of C. Needs gcc-arm-none-eabi.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fmnist_edge.console import table
from fmnist_edge.parity.c_form.run import sizes
from fmnist_edge.parity.c_form.targets import TARGETS, Target
from fmnist_edge.runtime.engines.c import name_of
from fmnist_edge.runtime.folder import read_folder, unpack

__all__ = ["main", "targets"]


def targets() -> dict[str, Target]:
    """The cores of the table. No board with a Cortex-M0+ is emulated, so its firmware is linked and not run."""
    found = {name.removeprefix("cortex-").upper(): target for name, target in TARGETS.items() if target.is_firmware}
    smallest = found.pop("M3")
    options = tuple(option.replace("cortex-m3", "cortex-m0plus") for option in smallest.options)
    return {"M0+": replace(smallest, options=options), **found}


def main(folders: Sequence[str]) -> None:
    """Print flash by core, and RAM, in bytes. Raises what `sizes` raises."""
    cores = targets()
    rows = []
    for folder in folders:
        files = unpack(read_folder(folder))
        found = [sizes(target, files, name_of(folder, files)) for target in cores.values()]
        rows.append([Path(folder).parent.name, *(f"{size.flash:,}" for size in found), f"{found[-1].ram:,}"])
    print(table(["model", *(f"{core}: flash" for core in cores), "RAM"], rows))


if __name__ == "__main__":
    main(sys.argv[1:])
