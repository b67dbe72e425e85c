"""`fmnist-edge data`: say where Fashion-MNIST is, or fetch it."""

from __future__ import annotations

import argparse
import sys

__all__ = ["run"]


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.data import fashion_mnist

    if options.download and fashion_mnist.find(options.data) is None:
        fashion_mnist.download(lambda line: print(line, file=sys.stderr))
    for split in ("train", "test"):
        count, folder = len(fashion_mnist.load(split, options.data)), fashion_mnist.find(options.data)
        print(f"{split}: {count:,} images, verified, in {folder}")
