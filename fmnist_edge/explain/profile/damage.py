"""What a report of `explain` says about the layers of a file: which are one, and what each costs in accuracy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fmnist_edge.artifact import Artifact
from fmnist_edge.errors import FileError, InputError

__all__ = ["Damage", "damage_of"]


@dataclass(frozen=True)
class Damage:
    """The layers of a file.

    Attributes:
        groups: layer -> the name of the layers that the file has as one, such as "conv + relu".
        noise: such a name -> its share of the noise at the output, 0..1.
    """

    groups: Mapping[str, str] = field(default_factory=dict)
    noise: Mapping[str, float] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """Which layer costs most accuracy, in a sentence."""
        if not self.noise:
            return "For the damage beside it, run `fmnist-edge explain` on this file first."
        worst = max(self.noise, key=lambda name: self.noise[name])
        if not self.noise[worst]:
            return "No layer adds noise."
        return f"Most noise: {worst} ({100 * self.noise[worst]:.0f} %)."


def damage_of(artifact: Artifact, path: Path | None) -> Damage:
    """Read a report of `explain`; empty for None. Raises FileError when it is no such report, InputError when it is
    about another file."""
    if path is None:
        return Damage()
    try:
        report = json.loads(path.read_bytes())
        sha256, order = report["sha256"], report["order"]
        entries = [(list(map(str, report["layers"][name]["layers"])), report["layers"][name]) for name in order]
        shares = [(layers, float(entry["noise_share"])) for layers, entry in entries if layers]
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}); `fmnist-edge explain` writes one") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise FileError(f"{path}: not a report of `fmnist-edge explain`; run it again") from None
    if sha256 != artifact.manifest.sha256:
        raise InputError(f"{path}: about another file than {artifact.path}; run `fmnist-edge explain` on this one")
    groups = {layer: " + ".join(layers) for layers, _ in shares for layer in layers}
    return Damage(groups, {" + ".join(layers): share for layers, share in shares})
