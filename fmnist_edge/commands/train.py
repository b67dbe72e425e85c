"""`fmnist-edge train`: train a model of the zoo and write its card."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from fmnist_edge.catalog.models import MODELS
from fmnist_edge.commands import arguments
from fmnist_edge.commands.command import Group, Help

__all__ = ["HELP", "add_arguments", "run"]

HELP = Help(
    group=Group.ZOO,
    order=3,
    summary="train a model of the zoo",
    description="""
        Trains a model by a recipe, and writes the model, its card (figures as JSON and as a page) and a plot of the
        training. With several seeds it trains once per seed, and keeps the model that is best on the validation split.
        The test split is only used for the card.
        """,
    examples=(
        ("A first try", "train compact_cnn --epochs 3 --limit 5000 --out build/try"),
        ("Three seeds of our recipe", "train tiny_resnet --seeds 0,1,2"),
        ("Go on after an interruption", "train tiny_resnet --seeds 0,1,2 --resume"),
    ),
    extra="train",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("What to train")
    arguments.model(what)
    arguments.data(what)
    arguments.limit(what, "Use only N images of each split, to try things out.")
    how = parser.add_argument_group("How")
    how.add_argument(
        "--recipe",
        default="best",
        metavar="NAME|FILE.json",
        help="A recipe: best is ours, published is the authors' protocol; or a recipe file.",
    )
    how.add_argument(
        "--epochs", type=arguments.whole_number, metavar="N", help="Number of epochs. Default: what the recipe says."
    )
    how.add_argument(
        "--seeds",
        type=arguments.seeds,
        default=(0,),
        metavar="N[,N...]",
        help="Each seed decides a run's first weights, order and augmentation.",
    )
    how.add_argument(
        "--teachers", type=Path, metavar="DIR", help="Folder of the recipe's teachers. Default: the folder of --out."
    )
    how.add_argument("--resume", action="store_true", help="Go on after the last finished epoch of this very run.")
    arguments.out(
        parser.add_argument_group("Output"), "trained_model", "The files are DIR/MODEL.keras, .json, .md and .png."
    )


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
