"""`fmnist-edge tune`: search a model's hyper-parameters."""

from __future__ import annotations

import argparse

from fmnist_edge.catalog.models import MODELS
from fmnist_edge.commands import arguments
from fmnist_edge.commands.command import Group, Help
from fmnist_edge.console import progress_bar

__all__ = ["HELP", "add_arguments", "run"]

HELP = Help(
    group=Group.ZOO,
    order=4,
    summary="search a model's hyper-parameters",
    description="""
        Runs an Optuna study: each trial trains the model for a few epochs with other hyper-parameters, and is judged
        on the validation split. Writes a report of the study, and the best trial as a recipe for `train`.

        A study that exists goes on. Several processes or machines that use the same --storage share one study.
        """,
    examples=(
        ("40 trials", "tune tuned_cnn --trials 40"),
        ("One of several workers", "tune tuned_cnn --storage postgresql://host/studies"),
    ),
    extra="tune",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("What to search")
    arguments.model(what)
    arguments.data(what)
    arguments.limit(what, "Use only N images of each split, to try things out.")
    how = parser.add_argument_group("How")
    how.add_argument("--trials", type=arguments.whole_number, default=40, metavar="N", help="Trials to run now.")
    how.add_argument("--epochs", type=arguments.whole_number, default=6, metavar="N", help="Epochs of one trial.")
    how.add_argument(
        "--seed", type=int, default=0, metavar="N", help="Decides the values tried, the first weights and the order."
    )
    study = parser.add_argument_group("Study and output")
    study.add_argument(
        "--storage",
        metavar="URL",
        help="Where the study is kept: sqlite:///FILE, postgresql://, mysql://, redis://, grpc://HOST:PORT, "
        "journal:FILE or FILE.log. Default: sqlite:///runs/tune/MODEL.db.",
    )
    study.add_argument("--study", metavar="NAME", help="Name of the study. Default: the name of the model.")
    arguments.out(study, "tuning", "Folder of the report and the recipe.")


def run(options: argparse.Namespace) -> None:
    spec = MODELS[options.model]
    from fmnist_edge.files import check_writable, write_atomic, write_json
    from fmnist_edge.models.recipe import Recipe
    from fmnist_edge.training.recipes import write_recipe
    from fmnist_edge.tuning.page import page
    from fmnist_edge.tuning.tune import tune

    check_writable(options.out)
    with progress_bar(f"tuning {spec.name}") as progress:
        summary = tune(
            spec,
            trials=options.trials,
            epochs=options.epochs,
            storage=options.storage or f"sqlite:///runs/tune/{spec.name}.db",
            study_name=options.study,
            seed=options.seed,
            limit=options.limit,
            data_folder=options.data,
            progress=progress,
        )
    text = page(summary)
    write_json(options.out / f"{spec.name}.json", summary)
    write_atomic(options.out / f"{spec.name}.md", text)
    written = f"{options.out / spec.name}.json, .md"
    if summary["recipe"]:
        recipe = options.out / f"{spec.name}-recipe.json"
        write_recipe(Recipe(**summary["recipe"]), recipe)
        written += f" and -recipe.json; next: fmnist-edge train {spec.name} --recipe {recipe}"
    print(text)
    if summary["continued_after"]:
        print(f"this study already had {summary['continued_after']} trials")
    print(f"wrote {written}")
