"""`fmnist-edge data`: say where Fashion-MNIST is, or fetch it."""

from __future__ import annotations

import argparse
import sys

__all__ = ["run"]


def run(options: argparse.Namespace) -> None:
    from fmnist_edge import data

    if options.download and data.find(options.data) is None:
        data.download(lambda line: print(line, file=sys.stderr))
    for split in ("train", "test"):
        print(f"{split}: {len(data.load(split, options.data)):,} images, verified, in {data.find(options.data)}")
