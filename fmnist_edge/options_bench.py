"""The options of `bench` and of what goes with it: `bundle` and `compare`."""

from __future__ import annotations

import argparse
from pathlib import Path

from fmnist_edge.argument_types import percentage, whole_number
from fmnist_edge.runtime.engine_catalog import CPU, ENGINES, engines_on

__all__ = ["add_bench", "add_bundle", "add_compare"]


def add_bench(sub: argparse.ArgumentParser) -> None:
    add_job(sub)
    sub.add_argument(
        "--engine",
        action="append",
        choices=[*ENGINES, "all"],
        help="repeatable (default: litert, litert-builtin, onnxruntime; and here peers that are installed, and Keras)",
    )
    sub.add_argument(
        "--target",
        choices=["cpu", "gpu"],
        help="what of the machine computes (default cpu); gpu: ONNX Runtime CUDA and WebGPU, LiteRT GPU and ncnn "
        "Vulkan, by the plan gpu, in batches of 1, 8, 32 and 128",
    )
    sub.add_argument("--tflite-runtime", metavar="PYTHON", help="as in `matrix`: times tflite-runtime too")
    sub.add_argument("--out", type=Path, default=Path("benchmarks/results"), metavar="DIR", help="results folder")
    sub.add_argument(
        "--resume", type=Path, metavar="FILE", help="go on with an interrupted run: the .partial.jsonl it left"
    )
    sub.add_argument(
        "--check-overhead",
        action="store_true",
        help="instead: what our loop adds to an engine's own time, by a bare loop; exit code 1 above 2 µs and 2 %%",
    )
    sub.add_argument(
        "--check-cost",
        action="store_true",
        help="instead: what the runtime costs an app beyond NumPy and the bare engine (import, modules, a call, "
        "memory, size of the package), into reports/cost.json; exit code 1 above a limit",
    )
    sub.add_argument(
        "--on",
        metavar="[USER@]HOST",
        help="measure on that device by ssh; a name of ~/.ssh/config or ssh://user@host:port",
    )
    sub.add_argument("--ssh-config", type=Path, metavar="FILE", help="as ssh -F, with --on")


def add_bundle(sub: argparse.ArgumentParser) -> None:
    add_job(sub)
    sub.add_argument(
        "--engine",
        action="append",
        choices=engines_on(CPU),
        help="repeatable (default: of litert, litert-builtin and onnxruntime those that run any of the artifacts)",
    )
    sub.add_argument(
        "--out",
        type=Path,
        default=Path("build/bundle.tar.gz"),
        metavar="FILE.tar.gz",
        help="(default build/bundle.tar.gz)",
    )


def add_job(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("artifacts", nargs="*", help="files or folders (default exported)")
    sub.add_argument(
        "--plan",
        metavar="NAME|FILE.toml",
        help="how long to measure: demo (8 s a cell), quick (21 s, default), standard (2 min), mlperf-style (11 min), "
        "of benchmarks/plans/, or a file of one's own",
    )
    sub.add_argument(
        "--threads", type=whole_number, action="append", metavar="N", help="repeatable (default: the plan)"
    )
    sub.add_argument(
        "--batch", type=whole_number, action="append", metavar="N", help="repeatable; images a call (default: the plan)"
    )
    sub.add_argument(
        "--parity",
        type=Path,
        metavar="FILE",
        help="report of `check`: accuracies to write beside the latencies (default reports/parity.json if it is there)",
    )


def add_compare(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("a", type=Path, metavar="A", help="results file to compare with")
    sub.add_argument("b", type=Path, metavar="B", help="results file that is judged")
    sub.add_argument("--force", action="store_true", help="compare results of unlike machines all the same")
    sub.add_argument(
        "--fail-if-slower",
        type=percentage,
        metavar="P%",
        help="exit code 1 when a cell's p50 rose by more than P %%, beyond doubt that it rose, or failed in B",
    )
    sub.add_argument(
        "--report", type=Path, default=Path("reports/compare.json"), metavar="FILE", help="JSON beside the table"
    )
