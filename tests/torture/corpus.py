"""Every hostile file, by number: the same seed and number give the same bytes."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from torture import (
    bytes_attacks,
    graph_attacks,
    hdf5_attacks,
    keras_attacks,
    onnx_attacks,
    savedmodel_attacks,
    tflite_attacks,
)
from torture.bases import NAME, PRECISIONS

__all__ = ["FOLDERS", "FORMS", "Case", "cases"]

Attack = Callable[[bytes, np.random.Generator], bytes]
SPECIFIC: dict[str, dict[str, Attack]] = {
    "tflite": tflite_attacks.ATTACKS,
    "onnx": onnx_attacks.ATTACKS,
    "keras": keras_attacks.ATTACKS,
    "h5": hdf5_attacks.ATTACKS | graph_attacks.ATTACKS,
    "saved_model": savedmodel_attacks.ATTACKS,
}
FORMS = tuple(SPECIFIC)
FOLDERS = ("saved_model",)  # forms of several files: attacks get them zipped, commands get them unpacked
# Attacks that start from another sound file than others of their form.
BASES = {
    keras_attacks.HUGE: "pooled.keras",
    **dict.fromkeys(graph_attacks.ATTACKS, "graph.h5"),
    graph_attacks.NODES: "nodes.h5",
    **dict.fromkeys(savedmodel_attacks.ATTACKS, "graph.saved_model"),
}


@dataclass(frozen=True)
class Case:
    """One hostile file: what it pretends to be, how it was made, and its bytes."""

    format: str
    attack: str
    number: int
    base: Path
    content: bytes

    @property
    def name(self) -> str:
        return f"{self.attack.replace(' ', '-')}-{self.number}.{self.format}"


def cases(
    bases: Path,
    each: int,
    seed: int = 0,
    forms: Sequence[str] = FORMS,
    part: tuple[int, int] = (0, 1),
    but: Collection[tuple[str, str, int]] = (),
) -> Iterator[Case]:
    """`each` files of every attack on the formats named, in an order that mixes them, without those in `but`.

    With `part`, every so many-th. Attacks that know their format come twice as often as those that know none.
    """
    chosen = [
        (form, name, attack, number)
        for number in range(each)
        for form in forms
        for name, attack in {**SPECIFIC[form], **general(form, number)}.items()
    ]
    for form, name, attack, number in chosen[part[0] :: part[1]]:
        if (form, name, number) not in but:
            yield case(bases, form, name, attack, number, seed)


def general(form: str, number: int) -> dict[str, Attack]:
    """Attacks that know no format, on every other number. Of a folder they take one file ("members")."""
    return bytes_attacks.ATTACKS if number % 2 == 0 and form not in FOLDERS else {}


def case(bases: Path, form: str, name: str, attack: Attack, number: int, seed: int) -> Case:
    rng = np.random.default_rng([seed, number, zlib.crc32(f"{form} {name}".encode())])
    if name in BASES:
        base = bases / BASES[name]
    elif form in ("keras", "h5"):
        base = bases / f"{NAME}.{form}"
    else:
        base = bases / NAME / f"{PRECISIONS[number % len(PRECISIONS)]}.{form}"
    return Case(form, name, number, base, attack(base.read_bytes(), rng))
