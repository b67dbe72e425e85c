"""Write a trained model's card as a page: Markdown, and a PNG of the learning curve."""

from __future__ import annotations

import json
from pathlib import Path

from fmnist_edge.aliases import JsonObject
from fmnist_edge.console import table
from fmnist_edge.data.fashion_mnist import LABELS
from fmnist_edge.errors import FileError, InputError
from fmnist_edge.files import write_atomic, write_via

__all__ = ["draw_curve", "overview", "page", "read_card", "write_page"]


def read_card(path: Path) -> JsonObject:
    """Read a card. Raises FileError when the file cannot be read, InputError when it is no card of schema 2."""
    try:
        card = json.loads(path.read_text())
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{path}: is not JSON") from error
    if not isinstance(card, dict) or card.get("schema") != 2:
        found = card.get("schema") if isinstance(card, dict) else type(card).__name__
        raise InputError(f"{path}: is not a model card: schema is {found!r}, expected 2")
    return card


def write_page(card: JsonObject, folder: Path) -> None:
    """Write `<model>.md` and `<model>.png` to `folder`."""
    draw_curve(card, folder / f"{card['model']}.png")
    write_atomic(folder / f"{card['model']}.md", page(card))


def page(card: JsonObject) -> str:
    """The card as Markdown. Accuracies are percentages; `–` stands for a missing figure."""
    model, machine, versions = card["model"], card["machine"], card["versions"]
    limited = f" Cut to {card['limit']:,} images of each split, to try things out." if card["limit"] else ""
    lines = [
        f"# {model}",
        "",
        f"{card['parameters']:,} parameters, fitted to {card['fitted_images']:,} images with recipe "
        f"`{card['recipe']['name']}`, seed {card['seed']}.{limited}",
        "",
        figures(card),
        "",
        "ECE: expected calibration error of the top class, 15 equal-width bins (Guo et al. 2017).",
        "",
        *seeds_section(card),
        f"![loss and accuracy by epoch]({model}.png)",
        "",
        "## By class, test images",
        "",
        "Rows: what the image shows; columns: what the model answers.",
        "",
        confusion(card["test"]),
        "",
        "## How it was made",
        "",
        f"- wall time: {card['wall_time_s'] / 60:.1f} min for {len(card['curve'])} epochs "
        f"({card['images_per_second']:,.0f} images/s, validation included)",
        f"- machine: {machine['cpu']}, {machine['cores']} cores; {card['backend']} on {', '.join(machine['devices'])}",
        f"- versions: {', '.join(f'{name} {version}' for name, version in versions.items())}",
        *[f"- teacher: {name}, SHA-256 `{digest}`" for name, digest in card["teachers"].items()],
        f"- SHA-256 of `{model}.keras`: `{card['sha256']}`",
        f"- SHA-256 of the weights alone: `{card['weights_sha256']}`",
        "",
        "```json",
        json.dumps(card["recipe"], indent=2),
        "```",
        "",
        f"Written by `fmnist-edge train` from `{model}.json`, which has the figures of every epoch.",
    ]
    return "\n".join(lines) + "\n"


def figures(card: JsonObject) -> str:
    rows = [
        [split, f"{score['images']:,}", percent(score["accuracy"]), f"{score['loss']:.4f}", f"{score['ece']:.4f}"]
        for split in ("validation", "test")
        if (score := card[split]) is not None
    ]
    if card["published_accuracy"] is not None:
        rows.append(["published (test)", "10,000", percent(card["published_accuracy"]), "–", "–"])
    return table(["split", "images", "accuracy %", "loss", "ECE"], rows)


def seeds_section(card: JsonObject) -> list[str]:
    """Figures of every seed, and their spread; empty for a single seed."""
    if len(card["seeds"]) < 2:
        return []
    rows = [
        [
            str(run["seed"]),
            percent(run["validation_accuracy"]),
            percent(run["test_accuracy"]),
            f"{run['wall_time_s'] / 60:.1f}",
        ]
        for run in card["seeds"]
    ]
    mean, deviation = card["spread"]["mean"], card["spread"]["stdev"]
    return [
        f"Test accuracy over {len(rows)} seeds: {percent(mean)} ± {percent(deviation)} % (sample standard deviation). "
        "The seed with the best validation accuracy is the one released.",
        "",
        table(["seed", "validation %", "test %", "minutes"], rows),
        "",
    ]


def confusion(score: JsonObject) -> str:
    rows = [
        [label, *map(str, counts), percent(share)]
        for label, counts, share in zip(LABELS, score["confusion"], score["class_accuracy"], strict=True)
    ]
    return table(["", *LABELS, "accuracy %"], rows)


def percent(fraction: float | None) -> str:
    return "–" if fraction is None else f"{100 * fraction:.2f}"


def draw_curve(card: JsonObject, path: Path) -> None:
    """Write a PNG: loss and accuracy of every epoch, on training and validation images."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    fitted = "augmented training images" + (", teachers' part included" if card["teachers"] else "")
    panels = figure.subplots(1, 2)
    # A logarithmic scale, because teachers make the training loss tens of times higher than the validation loss.
    for axes, metric, scale in zip(panels, ("loss", "accuracy"), ("log", "linear"), strict=True):
        for key, label in ((metric, fitted), (f"val_{metric}", "validation images")):
            records = [record for record in card["curve"] if key in record]
            if records:
                axes.plot([r["epoch"] + 1 for r in records], [r[key] for r in records], label=label)
        axes.set(xlabel="epoch", ylabel=metric, yscale=scale)
        axes.grid(alpha=0.3)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(f"{card['model']}, recipe {card['recipe']['name']}: test accuracy {card['test']['accuracy']:.2%}")
    write_via(path, lambda temporary: figure.savefig(temporary, dpi=110))


def overview(cards: list[JsonObject]) -> str:
    """One table with a row per card."""
    rows = []
    for card in cards:
        spread = card["spread"]
        seeds = (
            "–"
            if spread["stdev"] is None
            else f"{percent(spread['mean'])} ± {percent(spread['stdev'])} ({spread['seeds']})"
        )
        rows.append(
            [
                card["model"],
                f"{card['parameters']:,}",
                percent(card["published_accuracy"]),
                percent(card["test"]["accuracy"]),
                seeds,
                percent(card["validation"] and card["validation"]["accuracy"]),
                f"{card['test']['ece']:.3f}",
                f"{card['fitted_images']:,}",
                str(len(card["curve"])),
                f"{card['wall_time_s'] / 60:.0f}",
            ]
        )
    header = [
        "model",
        "parameters",
        "published %",
        "test %",
        "mean ± sd (seeds)",
        "validation %",
        "ECE",
        "fitted images",
        "epochs",
        "minutes",
    ]
    return table(header, rows)
