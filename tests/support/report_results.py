"""Results files for the tests of `report`: two devices, stock exports, twins, and what a hostile file may say."""

from __future__ import annotations

import json

from fmnist_edge.benchmark import results
from fmnist_edge.report import page, runs
from support.bench_results import cell, result, round_of, steady

HOSTILE = (
    "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    "&`|{{7*7}}${datum.id}\n\x1b[31m"
)
CALIBRATION = {"method": "m", "blas": "b", "threads": {"1": {"macs_per_s": 1e10, "bytes_per_s": 1e9}}, "reason": None}


def accuracy(share):
    return {"accuracy": share, "reference_accuracy": 0.95, "images": 10_000, "source": "test images", "passed": True}


def entry(model="tiny_resnet", precision="float32", us=100, share=0.95, **changes):
    """A cell of a model in a precision, on LiteRT unless `changes` say otherwise."""
    known = {} if share is None else {"accuracy": accuracy(share)}
    return cell(**{
        "artifact": f"{model}/{precision}.tflite", "model": model, "format": "tflite", "precision": precision,
        "engine": "litert", "rounds": steady(us),
        "complexity": {"macs": 10**6, "parameters": 9, "weight_bytes": 4000, "activation_bytes": 1000},
        **known, **changes,
    })  # fmt: skip


def family():
    """An original with its stock export and its twin, in two precisions; the figures are easy to divide."""
    return [
        entry(us=200, share=0.9509, size_bytes=4_900_000),
        entry(precision="int8", us=100, share=0.9498, size_bytes=1_300_000),
        entry(precision="stock_int8", us=300, share=0.9420, size_bytes=1_250_000),
        entry(precision="stock_float32", us=250, share=0.9509, size_bytes=4_900_000),
        entry("tiny_resnet_edge", us=150, share=0.9485, size_bytes=4_950_000),
        entry("tiny_resnet_edge", "int8", us=50, share=0.9490, size_bytes=1_350_000),
    ]


def bare_cell():
    """A cell of which nothing is known that need not be."""
    return cell(
        artifact="mine.onnx", sha256=None, size_bytes=None, model=None, precision=None, engine_version=None,
        memory=None, rounds=[round_of(number, [[9_000 + step for step in range(40)]]) for number in range(5)],
    )  # fmt: skip


def saved(folder, **made):
    """name -> the path of a saved result."""
    return {name: results.save(item, folder / f"{name}.json.gz") for name, item in made.items()}


def read(folder, *made):
    """The runs of these results, or of a family on one device."""
    for number, item in enumerate(made or [result(*family(), calibration=CALIBRATION)]):
        (folder / f"{number}.json.gz").write_text(json.dumps(item))  # gzipped or not, and with lone surrogates
    return runs.read([folder])


def markup_of(text):
    """A page without the scripts that belong on it. Any other script stays."""
    for script in page.scripts():
        assert text.count(f"<script>{script}</script>") == 1
        text = text.replace(f"<script>{script}</script>", "")
    return text
