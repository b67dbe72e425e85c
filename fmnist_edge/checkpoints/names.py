"""Layer names of any kind as labels that TensorFlow, ONNX and file formats can carry."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["Labels", "safe"]

UNSAFE = re.compile(r"[^A-Za-z0-9_.\-]+")
LONGEST = 80


def safe(name: str, spare: str = "layer") -> str:
    """`name` with only letters, digits, `_`, `.` and `-`, at most 80 of them; `spare` when nothing is left.

    >>> safe("conv2_block1/Größe:0"), safe("a+b", "add"), safe("")
    ('conv2_block1_Grosse_0', 'a_b', 'layer')
    """
    if UNSAFE.search(name) is None and name[:1].isalnum() and len(name) <= LONGEST:
        return name
    plain = unicodedata.normalize("NFKD", name.replace("ß", "ss"))
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    plain = UNSAFE.sub("_", plain)[:LONGEST]
    if not any(letter.isalnum() for letter in plain):
        return spare
    return plain if plain[0].isalnum() else f"layer{plain}"


class Labels:
    """Gives every layer a label that is safe and its own; remembers the names they come from.

    >>> labels = Labels()
    >>> labels.of(("a/b",)), labels.of(("a_b",)), labels.of(("base", "a_b"))
    ('a_b', 'a_b.2', 'base.a_b')
    >>> labels.originals
    {'a_b': 'a/b', 'a_b.2': 'a_b', 'base.a_b': 'base/a_b'}
    """

    def __init__(self) -> None:
        self.taken: set[str] = set()
        self.originals: dict[str, str] = {}

    def of(self, path: tuple[str, ...], spare: str = "layer") -> str:
        """A new label for the layer at `path`: its name, after those of the models around it."""
        wanted = safe(path[-1], spare)
        if wanted in self.taken and len(path) > 1:
            wanted = ".".join(safe(part) for part in path)[-2 * LONGEST :]
            told = "/".join(path)
        else:
            told = path[-1]
        label, count = wanted, 1
        while label in self.taken:
            count += 1
            label = f"{wanted}.{count}"
        self.taken.add(label)
        if label != told:
            self.originals[label] = told
        return label
