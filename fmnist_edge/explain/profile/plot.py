"""Plot the result of `profile`."""

from __future__ import annotations

from pathlib import Path

from fmnist_edge.aliases import JsonObject
from fmnist_edge.files import write_via

__all__ = ["draw_profile"]


def draw_profile(report: JsonObject, path: Path) -> None:
    """Write two panels as a PNG: each layer's share of the time, and of the noise at the output, in graph order.

    Args:
        report: the JSON that `profile` writes. Without any noise share, there is only the first panel.
    """
    from matplotlib.figure import Figure

    layers = report["layers"]
    total = sum(row["us"] or 0.0 for row in layers) or 1.0
    noise = [row["noise_share"] for row in layers]
    panels = [("% of the time", [100 * (row["us"] or 0.0) / total for row in layers], "tab:blue")]
    if any(share is not None for share in noise):
        panels.append(("% of the noise at the output", [100 * (share or 0) for share in noise], "tab:red"))
    figure = Figure(figsize=(4.5 * len(panels) + 2, max(3.0, 0.24 * len(layers) + 1.2)), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    places = range(len(layers))
    for axis, (label, values, colour) in zip(axes, panels, strict=True):
        bars = axis.barh(places, values, color=colour, alpha=0.5)
        worst = values.index(max(values))
        bars[worst].set_alpha(1.0)
        axis.set(xlabel=label)
        axis.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(places, [row["layer"] for row in layers], fontsize=7)
    axes[0].invert_yaxis()
    figure.suptitle(
        f"{report['model']} {report['precision']} in {report['engine']}, by {report['method']}: "
        f"{report['verdict']['status']}",
        fontsize=9,
    )
    write_via(path, lambda temporary: figure.savefig(temporary, dpi=110))
