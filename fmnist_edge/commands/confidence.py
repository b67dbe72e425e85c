"""`fmnist-edge confidence`: fit a temperature and thresholds for exported files, into their manifests."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.commands import arguments
from fmnist_edge.commands.command import Group, Help
from fmnist_edge.console import table, track, warn
from fmnist_edge.errors import InputError
from fmnist_edge.lookup import load
from fmnist_edge.runtime.tasks import CLASSIFICATION

if TYPE_CHECKING:
    from fmnist_edge.artifact import Artifact
    from fmnist_edge.data.fashion_mnist import Split
    from fmnist_edge.runtime.confidence import Confidence
    from fmnist_edge.runtime.contract import Contract

__all__ = ["HELP", "add_arguments", "run"]

HELP = Help(
    group=Group.EXPORT,
    order=4,
    summary="fit a file's confidence, and when its answer is unknown",
    description="""
        Runs exported files on labelled images, and fits for each file, as it ships:

        - a temperature, so that of the answers with a confidence of 80 % about 80 % are right;
        - thresholds of confidence, energy and contrast, below which an answer is unknown, so that 95 % of such images
        are answered.

        It writes them into the manifest. The runtime then applies the temperature, and answers unknown where it is
        asked to. `check` says what both are worth on other images. The images must not be those that the model was
        trained on. The default is the validation split, 5,000 images.
        """,
    examples=(
        ("What is in exported/", "confidence exported"),
        ("Images of your own; the runtime abstains without being asked",
         "confidence exported/my --images validation/ --abstain"),
    ),
    extra="export",
)  # fmt: skip

HEADER = ["artifact", "temperature", "ECE before", "ECE", "threshold", "contrast", "coverage %"]
COVERAGE = 0.95


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("What to fit")
    arguments.artifacts(what)
    on = parser.add_argument_group("On which images")
    arguments.data(on)
    arguments.images(on, "Default for the zoo: the validation split.")
    arguments.labels(on, "Classes of your own images, where PATH does not give them.")
    how = parser.add_argument_group("How")
    how.add_argument(
        "--coverage",
        type=arguments.percentage,
        default=COVERAGE,
        metavar="SHARE",
        help="Share of the images that is answered, above 50 %%.",
    )
    how.add_argument("--abstain", action="store_true", help="Let the runtime answer unknown without being asked to.")


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.artifact import collect_usable

    if not 0.5 < options.coverage < 1:
        raise InputError(f"--coverage is {options.coverage:.0%}; expected a share between 50% and 100%")
    artifacts, left_out = collect_usable(options.artifacts)
    warn(left_out)
    for artifact in artifacts:
        if artifact.contract.task != CLASSIFICATION:
            raise InputError(
                f"{artifact.path}: its task is {artifact.contract.task}; a confidence is fitted to the softmax of a "
                "classification; name the files of one"
            )
    images, source = fitting_images(options, artifacts[0].contract)
    rows = []
    for artifact in artifacts:
        seen = options.images is None and trained_on_validation(artifact.model)
        confidence, before, after, answered = fitted(artifact, images, source, options, seen=seen)
        into_folder = FORMATS[artifact.format].confidence
        if into_folder is None:
            artifact.record("confidence", confidence.as_dict())
        else:
            load(into_folder)(artifact, confidence)
        rows.append(
            [
                "/".join(artifact.path.parts[-2:]),
                f"{confidence.temperature:.3f}",
                f"{before:.4f}",
                f"{after:.4f}",
                f"{confidence.threshold:.3f}",
                f"{confidence.contrast:.1f}",
                f"{answered * 100:.1f}",
            ]
        )
        if seen:
            print(
                f"fmnist-edge: {artifact.model} was trained on these images too, so its confidence stays too high; "
                "fit it on others with --images and --labels",
                file=sys.stderr,
            )
    print(f"Fitted on {len(images.images):,} images of {source}:\n\n{table(HEADER, rows)}\n")
    print("wrote them into the manifests; `fmnist-edge check` says what they are worth on other images")


def fitted(
    artifact: Artifact, images: Split, source: str, options: argparse.Namespace, *, seen: bool
) -> tuple[Confidence, float, float, float]:
    """The confidence; the calibration error on these images before and after; the share that is answered."""
    from fmnist_edge.parity.check import scores_of
    from fmnist_edge.parity.reliability import fit, reliability
    from fmnist_edge.runtime import Classifier

    output = artifact.contract.output
    with Classifier.load(artifact.path, try_first=True) as classifier:
        scores = scores_of(classifier, images.images, track, f"{artifact.model} {artifact.path.name}")
    found = fit(
        scores,
        images.labels,
        images.images,
        output=output,
        coverage=options.coverage,
        abstain=options.abstain,
        source=source,
        seen=seen,
    )
    worth = reliability(found, scores, images.labels, images.images, output, {})
    return found, worth.ece_before, worth.ece, worth.coverage.share


def fitting_images(options: argparse.Namespace, contract: Contract) -> tuple[Split, str]:
    """The images with their labels, and a name for them."""
    from fmnist_edge.data import fashion_mnist
    from fmnist_edge.parity.evaluation import evaluation_for

    if (
        options.images is None
        and options.labels is None
        and fashion_mnist.matches(contract.input_shape, contract.labels)
    ):
        return fashion_mnist.train_and_validation(60_000, 5_000, options.data)[1], "the validation split"
    found = evaluation_for(options.images, options.labels, None, options.data, contract, skip_bad=options.skip_bad)
    warn(found.notes)
    if found.labels is None:
        raise InputError("--images needs --labels: a confidence is fitted on right and wrong answers")
    return fashion_mnist.Split(found.images, found.labels), found.source


def trained_on_validation(model: str) -> bool:
    """Whether the zoo's recipe of `model` trains on the validation split too."""
    from fmnist_edge.catalog.models import MODELS
    from fmnist_edge.training.recipes import recipe_for

    return model in MODELS and recipe_for(MODELS[model], "best").fit_validation
