"""The program that an emulated core runs to count one of ncnn's benchmark networks.

It does the same as `benchncnn`: empty weights, a constant image, one thread, and defaults for all other options.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fmnist_edge.aliases import JsonObject
from fmnist_edge.boards.emulation.guest import run_marked
from fmnist_edge.errors import ArtifactError

__all__ = ["Network"]

SHAPE = re.compile(r"^Input\s.*\s0=(\d+) 1=(\d+) 2=(\d+)", re.MULTILINE)
VALUE = 0.01  # of every pixel, as in benchncnn


@dataclass(frozen=True)
class Network:
    """What to count.

    Attributes:
        artifact: a network's .param file.
        engine: for messages.
        calls, sections: as in guest.Task.
    """

    artifact: str
    engine: str = "ncnn"
    calls: int = 1
    sections: int = 1


def count(request: JsonObject, progress: object) -> dict[str, str]:
    """Run in the child process; `request`: the fields of a Network."""
    import ncnn

    network = Network(**request)

    width, height, channels = map(int, search(SHAPE, Path(network.artifact).read_text(encoding="ascii"), network))
    net = ncnn.Net()
    net.opt.num_threads = 1
    if net.load_param(network.artifact) or net.load_model(ncnn.DataReaderFromEmpty()):
        raise ArtifactError(f"{network.artifact}: ncnn {ncnn.__version__} refuses the network")
    image = ncnn.Mat(width, height, channels)
    image.fill(VALUE)
    source, answer = net.input_names()[0], net.output_names()[-1]

    def call() -> None:
        extractor = net.create_extractor()
        extractor.input(source, image)
        failed, _ = extractor.extract(answer)
        if failed:
            raise ArtifactError(f"{network.artifact}: ncnn {ncnn.__version__} cannot run the network")

    run_marked(call, network.calls, network.sections, warm_up=0)
    return {"engine_version": f"ncnn {ncnn.__version__}"}


def search(pattern: re.Pattern[str], text: str, network: Network) -> tuple[str, ...]:
    match = pattern.search(text)
    if match is None:
        raise ArtifactError(f"{network.artifact}: no Input layer with width, height and channels; name a .param file")
    return match.groups()
