"""`fmnist-edge train`: train a model of the zoo and write its card."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from fmnist_edge.catalog.models import MODELS

__all__ = ["run"]


def run(options: argparse.Namespace) -> None:
    spec = MODELS[options.model]
    from fmnist_edge.training import card as report
    from fmnist_edge.training.recipes import recipe_for
    from fmnist_edge.training.train import train

    recipe = recipe_for(spec, options.recipe)
    if options.epochs:
        recipe = replace(recipe, epochs=options.epochs)
    card = train(
        spec,
        recipe,
        out=options.out,
        scratch=Path("runs") / spec.name,
        seeds=options.seeds,
        resume=options.resume,
        teachers=options.teachers,
        data_folder=options.data,
        limit=options.limit,
    )
    report.write_page(card, options.out)
    print(report.figures(card))
    print(f"wrote {options.out / spec.name}.keras, .json (the card), .md and .png")
