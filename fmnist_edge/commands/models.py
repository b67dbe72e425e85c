"""`fmnist-edge models`: the zoo with its cards' figures."""

from __future__ import annotations

import argparse

from fmnist_edge.catalog.models import MODELS
from fmnist_edge.commands import arguments
from fmnist_edge.commands.command import Group, Help
from fmnist_edge.console import track

__all__ = ["HELP", "add_arguments", "run"]

HELP = Help(
    group=Group.ZOO,
    order=2,
    summary="list the models of the zoo with their figures",
    description="""
        Prints a table of the zoo's trained models: parameters, accuracy, calibration error, and how they compare with
        the published figures. It reads the cards, the .json files that `train` writes.

        --pages draws plots, which needs matplotlib: pip install 'fmnist-edge[train]'.
        """,
    examples=(
        ("The table", "models"),
        ("Write the cards' pages again", "models --pages"),
    ),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.trained(parser.add_argument_group("What to list"))
    parser.add_argument_group("Output").add_argument(
        "--pages", action="store_true", help="Write each card's .md and .png again from its .json."
    )


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.training import card as report

    paths = [options.trained / f"{name}.json" for name in MODELS]
    cards = [report.read_card(path) for path in paths if path.exists()]
    if options.pages:
        for card in track(cards, "writing pages"):
            report.write_page(card, options.trained)
    if cards:
        print(report.overview(cards))
    missing = [path.stem for path in paths if not path.exists()]
    if missing:
        print(f"no card in {options.trained}, so not trained yet: {', '.join(missing)}")
