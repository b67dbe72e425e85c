"""Plot the result of `explain`."""

from __future__ import annotations

import math
from pathlib import Path

from fmnist_edge.aliases import JsonObject
from fmnist_edge.files import write_via

__all__ = ["draw_layers"]


def draw_layers(report: JsonObject, path: Path) -> None:
    """Write two panels as a PNG: each layer's SQNR in dB, and its share of the noise at the output, in graph order.

    Args:
        report: the JSON that `explain` writes. A layer without SQNR, such as an exact one, leaves a gap.
    """
    from matplotlib.figure import Figure

    layers = [report["layers"][name] for name in report["order"]]
    places = range(len(layers))
    figure = Figure(figsize=(max(6.0, 0.28 * len(layers) + 2), 6.5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    for label, rows, style in (
        ("as it is in the file", layers, "o-"),
        ("the layer's own error alone", [layer["own"] for layer in layers], "s:"),
    ):
        values = [math.nan if row["sqnr_db"] is None else row["sqnr_db"] for row in rows]
        upper.plot(places, values, style, markersize=4, label=label)
    upper.set(ylabel="SQNR in dB, higher is better")
    upper.legend()
    remaining = [100 * (layer["noise_share"] - max(layer["saved_share"], 0)) for layer in layers]
    saved = [100 * max(layer["saved_share"], 0) for layer in layers]
    lower.bar(places, remaining, color="tab:gray", label="stays when the layer is kept in float")
    lower.bar(places, saved, bottom=remaining, color="tab:red", label="goes when the layer is kept in float")
    lower.set(ylabel="% of the noise at the output")
    lower.set_xticks(places, [" + ".join(layer["layers"]) for layer in layers], rotation=90, fontsize=7)
    lower.legend()
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    figure.suptitle(
        f"{report['model']} {report['format']} {report['precision']}, {report['images']} calibration images"
    )
    write_via(path, lambda temporary: figure.savefig(temporary, dpi=110))
