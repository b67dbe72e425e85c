"""`fmnist-edge matrix`: every artifact in every engine that can run its format."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from fmnist_edge.aliases import JsonObject
from fmnist_edge.commands import arguments
from fmnist_edge.commands.command import Group, Help
from fmnist_edge.console import progress_bar, table, warn
from fmnist_edge.errors import GateError, UnavailableError
from fmnist_edge.jobs.project import IMAGES, by_project
from fmnist_edge.runtime.engine_catalog import CPU, ENGINES, engines_on

__all__ = ["HELP", "add_arguments", "run"]

SLOW = [name for name in engines_on(CPU) if ENGINES[name].slow]
NOT_COMPARED = ", ".join(name for name in engines_on(CPU) if not ENGINES[name].compared)
AN_ENGINE = f"An engine to compare. Default: every one that runs the format, except {NOT_COMPARED}."

HELP = Help(
    group=Group.PROVE,
    order=2,
    summary="compare the answers of all engines",
    description="""
        Runs each artifact in each engine that can run its format, every cell in a process of its own, and compares
        the answers with those of the format's default engine (litert, onnxruntime).

        The top class must be the same on 99.9 % of the images, and on 99.99 % for float precisions. When an engine
        refuses a file, the table says why. An engine that crashes or hangs fails, and so does a missed gate.

        With --emulated, folders of C also run on emulated Arm cores (Cortex-A and Cortex-M, in QEMU) and as WebAssembly
        (in Node), and their .tflite file in Python.
        """,
    examples=(
        ("What is in exported/, in every engine", "matrix exported"),
        ("Two engines, on the first 1,000 images",
         "matrix exported/tiny_resnet --engine litert --engine numpy --limit 1000"),
        ("A folder of C on every machine that can be emulated", "matrix exported/compact_cnn/int8_only.c --emulated"),
    ),
    gate="a cell missed its gate, crashed or hung",
    extra="bench",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("What to compare")
    arguments.artifacts(what)
    arguments.engines(what, engines_on(CPU), AN_ENGINE)
    arguments.tflite_runtime(
        what,
        "A Python that has tflite-runtime, which needs numpy<2 and therefore an environment of its own; `make compat` "
        "makes one.",
    )
    on = parser.add_argument_group("On which images")
    arguments.data(on)
    arguments.images(on)
    arguments.limit(on, "Use only the first N images; the table says so.")
    on.add_argument(
        "--micro-limit",
        type=arguments.whole_number,
        default=1000,
        metavar="N",
        help=f"Images for {' and '.join(SLOW)}, which take 10 to 20 ms for each; the table says so.",
    )
    on.add_argument(
        "--emulated",
        type=arguments.whole_number,
        nargs="?",
        const=100,
        default=0,
        metavar="N",
        help="Also run folders of C on emulated cores and as WebAssembly, on N images (100 if you do not say); the "
        "table says so.",
    )
    arguments.report(parser.add_argument_group("Output"), "reports/matrix.json")


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.artifact import collect
    from fmnist_edge.commands.reports import Report
    from fmnist_edge.parity.evaluation import evaluation_for
    from fmnist_edge.parity.matrix import suite

    artifacts = collect(options.artifacts)
    groups = by_project(options, artifacts, IMAGES)
    report = Report.of(options)
    choice = suite.Choice(
        engines=tuple(options.engine) if options.engine else None,
        micro_images=options.micro_limit,
        tflite_runtime=arguments.tflite_runtime_python(options),
        emulated_images=options.emulated,
    )
    suite.check_choice(artifacts, choice)
    results = []
    for given, group in groups:
        evaluation = evaluation_for(
            given.images, None, None, options.data, group[0].contract, skip_bad=options.skip_bad, of=str(group[0].path)
        )
        warn(evaluation.notes)
        with progress_bar("matrix") as progress:
            result = suite.run(group, evaluation.images[: options.limit], choice, progress)
        results.append(result | {"images_of": len(evaluation.images), "source": evaluation.source})
    whole = as_one(results)
    report.write(whole)  # first: it took minutes
    with report.beside():
        for index, result in enumerate(results):
            print("\n" * (index > 0), end="")
            show(result)
        report.say_written(before="\n")
    judge(suite.failures(whole), whole)


def as_one(results: Sequence[JsonObject]) -> JsonObject:
    """The report of several runs, each on images of its own: the numbers of images are sums, rows have a source."""
    if len(results) == 1:
        return results[0]
    return {
        **results[0],
        "images": sum(result["images"] for result in results),
        "images_of": sum(result["images_of"] for result in results),
        "source": "; ".join(dict.fromkeys(result["source"] for result in results)),
        "engines": {name: version for result in results for name, version in result["engines"].items()},
        "rows": [{**row, "source": result["source"]} for result in results for row in result["rows"]],
    }


def show(result: JsonObject) -> None:
    from fmnist_edge.parity.matrix import tables

    first = "" if result["images"] == result["images_of"] else f"the first {result['images']:,} of "
    print(f"Engine matrix on {first}{result['images_of']:,} images of {result['source']}:\n")
    code = tables.Codes()
    for header, rows in tables.grids(result, code):
        print(f"{table(header, rows)}\n")
    print(tables.LEGEND.format(**{name: gate * 100 for name, gate in result["gates"].items()}))
    for line in code.lines():
        print(line)
    print(f"engines: {tables.versions(result) or 'none'}")
    arenas = tables.arena_rows(result)
    if arenas:
        print(f"\nTensor arena of TensorFlow Lite Micro, with 64-bit pointers:\n\n{table(tables.ARENA_HEADER, arenas)}")


def judge(failures: list[str], result: JsonObject) -> None:
    """Raises GateError when a cell failed, UnavailableError when no cell could run."""
    for line in failures:
        print(f"FAILED {line}", file=sys.stderr)
    cells = [entry for row in result["rows"] for entry in row["cells"]]
    if failures:
        raise GateError(f"{len(failures)} of {len(cells)} cells failed")
    if not any(entry["status"] == "ran" for entry in cells):
        raise UnavailableError("no engine could run anything; the table says what to install")
