"""A plot of what `explain` found."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from fmnist_edge.files import write_via

__all__ = ["draw_layers"]


def draw_layers(report: dict[str, Any], path: Path) -> None:
    """Two panels as a PNG, layers in the order of the graph: SQNR in dB, and the noise that each causes at the output.

    Args:
        report: what `explain` writes as JSON. A value that is no number of dB, for an exact layer, leaves a gap.
    """
    from matplotlib.figure import Figure

    layers = [report["layers"][name] for name in report["order"]]
    places = range(len(layers))
    figure = Figure(figsize=(max(6.0, 0.28 * len(layers) + 2), 6.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for label, rows, style in (
        ("as it is in the file", layers, "o-"),
        ("the layer's own error alone", [layer["own"] for layer in layers], "s:"),
    ):
        values = [math.nan if row["sqnr_db"] is None else row["sqnr_db"] for row in rows]
        above.plot(places, values, style, markersize=4, label=label)
    above.set(ylabel="SQNR in dB, higher is better")
    above.legend()
    remaining = [100 * (layer["noise_share"] - max(layer["saved_share"], 0)) for layer in layers]
    saved = [100 * max(layer["saved_share"], 0) for layer in layers]
    below.bar(places, remaining, color="tab:gray", label="stays when the layer is kept in float")
    below.bar(places, saved, bottom=remaining, color="tab:red", label="goes when the layer is kept in float")
    below.set(ylabel="% of the noise at the output")
    below.set_xticks(places, [" + ".join(layer["layers"]) for layer in layers], rotation=90, fontsize=7)
    below.legend()
    for axes in (above, below):
        axes.grid(alpha=0.3)
    figure.suptitle(
        f"{report['model']} {report['format']} {report['precision']}, {report['images']} calibration images"
    )
    write_via(path, lambda temporary: figure.savefig(temporary, dpi=110))
