"""What an artifact needs of a board, and whether the board has it. Pure: no file is read here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from fmnist_edge.catalog.board_memory import BoardMemory

__all__ = ["Fit", "Needs", "Origin", "Part", "Reserve", "compare"]

TIGHT = 0.9  # a share of the memory, above which a fit is called tight


class Origin(Enum):
    """Where a figure comes from. Only an estimate is marked with "≈"."""

    FILE = "file size"
    LINKED = "linked"
    MEASURED = "measured"
    PLANNED = "planned"  # known exactly from the export
    ESTIMATED = "estimate"


@dataclass(frozen=True)
class Part:
    """Bytes for one purpose.

    Attributes:
        contiguous: whether they must lie in one region.
        note: how the figure was found.
    """

    what: str
    size: int
    origin: Origin
    note: str = ""
    contiguous: bool = False


@dataclass(frozen=True)
class Needs:
    """What an artifact needs in one runtime.

    Attributes:
        runtime: what runs the artifact on the board, e.g. "TensorFlow Lite Micro".
        flash, ram: the parts of each; `flash` is empty where the storage is a card or a disk.
        missing: why the runtime cannot run the artifact at all; empty where it can.
    """

    runtime: str
    flash: tuple[Part, ...] = ()
    ram: tuple[Part, ...] = ()
    missing: str = ""

    @property
    def flash_bytes(self) -> int:
        return sum(part.size for part in self.flash)

    @property
    def ram_bytes(self) -> int:
        return sum(part.size for part in self.ram)


@dataclass(frozen=True)
class Reserve:
    """Bytes that the rest of the firmware, or the system, needs."""

    flash: int = 0
    ram: int = 0


@dataclass(frozen=True)
class Fit:
    """The comparison of one artifact with one board.

    Attributes:
        reasons: why it does not fit, one sentence each; empty where it fits.
        flash_share, ram_share: needed bytes by the board's, reserve included; None where there is nothing to compare.
    """

    board: BoardMemory
    needs: Needs
    reasons: tuple[str, ...]
    flash_share: float | None
    ram_share: float | None

    @property
    def fits(self) -> bool:
        return not self.reasons

    @property
    def tight(self) -> bool:
        """Whether it fits, and more than 90 % of a memory is taken."""
        return self.fits and any((share or 0) > TIGHT for share in (self.flash_share, self.ram_share))


def compare(needs: Needs, board: BoardMemory, reserve: Reserve = Reserve()) -> Fit:
    """Compare what an artifact needs with what a board has.

    >>> board = BoardMemory("b", "B", "microcontroller", "M4", 1000, 1000, 600, "made up")
    >>> arena = Part("arena", 700, Origin.MEASURED, contiguous=True)
    >>> compare(Needs("C", (), (arena,)), board).reasons
    ('arena: needs 700 bytes in one region, the largest has 600',)
    """
    if needs.missing:
        return Fit(board, needs, (needs.missing,), None, None)
    reasons = []
    flash, ram = needs.flash_bytes + reserve.flash, needs.ram_bytes + reserve.ram
    if board.flash is not None and flash > board.flash:
        reasons.append(f"flash: needs {amount(flash, needs.flash)} bytes, has {board.flash:,}")
    if ram > board.ram:
        reasons.append(f"RAM: needs {amount(ram, needs.ram)} bytes, has {board.ram:,}")
    reasons += [
        f"{part.what}: needs {part.size:,} bytes in one region, the largest has {board.block:,}"
        for part in needs.ram
        if part.contiguous and part.size > board.block
    ]
    flash_share = None if board.flash is None else flash / board.flash
    return Fit(board, needs, tuple(reasons), flash_share, ram / board.ram)


def amount(size: int, parts: tuple[Part, ...]) -> str:
    """A sum of parts. It is approximate when one of the parts is."""
    return f"≈ {size:,}" if any(part.origin is Origin.ESTIMATED for part in parts) else f"{size:,}"
