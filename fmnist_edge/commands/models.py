"""`fmnist-edge models`: the zoo with its cards' figures."""

from __future__ import annotations

import argparse

from fmnist_edge.catalog.models import MODELS
from fmnist_edge.console import track

__all__ = ["run"]


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
        print(f"not trained yet, no card in {options.trained}: {', '.join(missing)}")
