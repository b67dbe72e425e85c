"""`fmnist-edge tune`: search a model's hyper-parameters."""

from __future__ import annotations

import argparse

from fmnist_edge.catalog.models import MODELS
from fmnist_edge.console import progress_bar

__all__ = ["run"]


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
        print(f"went on with a study of {summary['continued_after']} trials")
    print(f"wrote {written}")
