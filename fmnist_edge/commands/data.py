"""`fmnist-edge data`: say where Fashion-MNIST is, or fetch it."""

from __future__ import annotations

import argparse
import sys

from fmnist_edge.commands import arguments
from fmnist_edge.commands.command import Group, Help

__all__ = ["HELP", "add_arguments", "run"]

HELP = Help(
    group=Group.ZOO,
    order=1,
    summary="find Fashion-MNIST, or download it",
    description="""
        Looks for the four Fashion-MNIST files, verifies their content against the published SHA-256, and prints where
        they are. It looks where all commands look: in the folder of --data or $FMNIST_DATA_DIR if one is given, else in
        the folder of Debian's package dataset-fashion-mnist, then in the cache, ~/.cache/fmnist-edge.
        """,
    examples=(
        ("Say where it is", "data"),
        ("Download it where it is missing", "data --download"),
    ),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    where = parser.add_argument_group("Where to look")
    arguments.data(where)
    where.add_argument(
        "--download", action="store_true", help="Fetch the files from the official mirrors when they are nowhere."
    )


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.data import fashion_mnist

    if options.download and fashion_mnist.find(options.data) is None:
        fashion_mnist.download(lambda line: print(line, file=sys.stderr))
    for split in ("train", "test"):
        count, folder = len(fashion_mnist.load(split, options.data)), fashion_mnist.find(options.data)
        print(f"{split}: {count:,} images, verified, in {folder}")
