"""Fit every board's constant to the single-thread latencies that ncnn published for its benchmark networks.

`python -m fmnist_edge.boards.estimate.calibration FIGURES.json NETWORKS USERLAND` emulates the networks and writes
boards.json. NETWORKS: a folder of .param files. USERLAND: see emulation.userland; profiles in it are not counted again.
FIGURES.json: "source", and "boards": name -> "name", "core", "ghz", "published_ms" by network.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from fmnist_edge.aliases import JsonObject
from fmnist_edge.boards.emulation import profile, userland
from fmnist_edge.boards.emulation.cycles import cycles_of, version
from fmnist_edge.boards.emulation.ncnn_guest import Network
from fmnist_edge.boards.estimate.fitting import constant, leave_one_out, mean_error
from fmnist_edge.catalog.boards import CORES, DATA, Core
from fmnist_edge.files import write_json

__all__ = ["fit_board", "weights"]

GUEST = "fmnist_edge.boards.emulation.ncnn_guest:count"
# The weight counts in the lines of convolutions and matrix products.
WEIGHTS = re.compile(r"^(?:Convolution\w*\s.*?\s6|InnerProduct\s.*?\s2)=(\d+)", re.MULTILINE)
INT8 = "_int8"


def weights(network: str) -> int:
    """Number of weights of a network, from the text of its .param file.

    >>> weights("Convolution c 1 1 a b 0=8 1=3 6=216\\nInnerProduct f 1 1 b c 0=10 1=1 2=80")
    296
    """
    return sum(map(int, WEIGHTS.findall(network)))


def weight_bytes(path: Path, core: Core) -> int:
    """Bytes of weights as ncnn stores them: int8 in integer networks; else float16 if the core has it, or float32."""
    width = 1 if path.stem.endswith(INT8) else 2 if "asimdhp" in core.features else 4
    return weights(path.read_text(encoding="ascii")) * width


def simulate_network(path: Path, core: Core, folder: Path) -> JsonObject:
    """Instructions, cycles and bytes of weights of a network on a core."""
    saved = folder / "profiles" / core.name / f"ncnn-{path.stem}.json.gz"
    known = profile.load(saved)
    if known is None:
        print(f"counting {path.stem} on {core.name}", file=sys.stderr)
        python = userland.interpreter(folder, core)
        sections, _ = profile.collect(Network(str(path.resolve())), python, profile.plugin(folder), GUEST)
        profile.save(sections[-1], 1, saved)
        known = sections[-1], 1
    blocks, calls = known
    return {
        "instructions": profile.instructions(blocks) // calls,
        "cycles": round(cycles_of(blocks, core.scheduling)["cycles"] / calls),
        "weight_bytes": weight_bytes(path, core),
    }


def fit_board(figures: JsonObject, counts: Mapping[str, JsonObject]) -> JsonObject:
    """A board's entry in boards.json; `counts`: the result of `simulate_network` for each network on the board's core.

    "networks" has each network with its leave-one-out error. "floats" has a constant fitted on the float networks
    alone, and its errors on the integer networks.
    """
    published = figures["published_ms"]
    times = {name: counts[name]["cycles"] / (figures["ghz"] * 1e6) for name in published}
    pairs = [(times[name], published[name]) for name in published]
    errors = leave_one_out(pairs)
    float_constant = constant([(times[name], published[name]) for name in published if not name.endswith(INT8)])
    unseen = {name: float_constant * times[name] / published[name] - 1 for name in published if name.endswith(INT8)}
    return {
        "title": figures["name"],
        "core": figures["core"],
        "ghz": figures["ghz"],
        "constant": constant(pairs),
        "error": mean_error(errors),
        "bytes_per_cycle": max(counts[name]["weight_bytes"] / counts[name]["cycles"] for name in published),
        "networks": {
            name: {**counts[name], "published_ms": published[name], "error": round(error, 4)}
            for name, error in zip(published, errors, strict=True)
        },
        "floats": {"constant": float_constant, "errors": {name: round(error, 4) for name, error in unseen.items()}},
    }


def main(figures_file: str, networks: str, userland_folder: str) -> None:
    figures, folder = json.loads(Path(figures_file).read_text()), Path(userland_folder)
    userland.make(folder, print)
    found = {}
    for name, board in figures["boards"].items():
        core = CORES[board["core"]]
        counts = {net: simulate_network(Path(networks) / f"{net}.param", core, folder) for net in board["published_ms"]}
        found[name] = fit_board(board, counts)
        print(f"{board['name']}: constant {found[name]['constant']:.3f}, mean error {found[name]['error']:.1%}")
    lines = userland.WHEELS.read_text().splitlines()
    engine = next(line.split()[0] for line in lines if line.startswith("ncnn=="))
    made = {"schema": 1, "source": figures["source"], "engine": engine, "simulator": f"llvm-mca {version()}"}
    write_json(DATA, {**made, "boards": found})


if __name__ == "__main__":
    main(*sys.argv[1:])
