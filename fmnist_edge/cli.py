"""The command line: parse -> call -> print -> exit code. No logic of its own."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fmnist_edge.console import hide_native_chatter, progress_bar, table, track
from fmnist_edge.errors import FmnistEdgeError, GateError, UnavailableError, one_line
from fmnist_edge.options import parser
from fmnist_edge.registry import MODELS, resolve

__all__ = ["main", "program"]

BENCH_IMAGES = 64  # real ones, cycled
INTERNAL_ERROR = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED = 130


def program() -> int:
    """The installed command: `main`, without the engines' own logging unless FMNIST_EDGE_VERBOSE is set."""
    if not os.environ.get("FMNIST_EDGE_VERBOSE"):
        hide_native_chatter()
    return main()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Prints errors of our own tree as one line on stderr."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    options = parser(COMMANDS).parse_args(arguments)
    try:
        return options.command(options) or 0
    except FmnistEdgeError as error:
        print(f"fmnist-edge: error: {one_line(error, 600)}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("fmnist-edge: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        message = f"this command needs {name!r}, which is not installed; run: pip install 'fmnist-edge[all]'"
        print(f"fmnist-edge: error: {message}", file=sys.stderr)
        return UnavailableError.exit_code
    except Exception as error:
        if os.environ.get("FMNIST_EDGE_VERBOSE"):
            raise
        kind = type(error).__name__
        print(
            f"fmnist-edge: internal error: {kind}: {one_line(error)} (FMNIST_EDGE_VERBOSE=1 shows where)",
            file=sys.stderr,
        )
        return INTERNAL_ERROR


def run_data(options: argparse.Namespace) -> None:
    from fmnist_edge import data

    if options.download and data.find(options.data) is None:
        data.download(lambda line: print(line, file=sys.stderr))
    for split in ("train", "test"):
        print(f"{split}: {len(data.load(split, options.data)):,} images, verified, in {data.find(options.data)}")


def run_train(options: argparse.Namespace) -> None:
    spec = resolve("model", MODELS, options.model)
    from fmnist_edge.training.fit import train
    from fmnist_edge.training.recipes import recipe_for

    recipe = recipe_for(spec.name, options.recipe)
    if options.epochs:
        recipe = replace(recipe, epochs=options.epochs)
    card = train(
        spec,
        recipe,
        out=options.out,
        scratch=Path("runs") / spec.name,
        seed=options.seed,
        resume=options.resume,
        data_folder=options.data,
        limit=options.limit,
    )
    rows = [
        ["validation", f"{card['validation']['images']:,}", f"{card['validation']['accuracy']:.2%}"],
        ["test", f"{card['test']['images']:,}", f"{card['test']['accuracy']:.2%}"],
    ]
    print(table(["split", "images", "accuracy"], rows))
    print(f"wrote {options.out / spec.name}.keras, .json and .png; published: {spec.published_accuracy:.2%}")


def run_export(options: argparse.Namespace) -> None:
    from fmnist_edge import checkpoints, inputs
    from fmnist_edge.export.pipeline import export
    from fmnist_edge.export.precisions import select
    from fmnist_edge.runtime.preprocess import Preprocessing

    precisions = select(options.format, options.precision)
    preprocessing = Preprocessing(options.scale, options.mean, options.std)
    rows = []
    for name in options.models:
        checkpoint = checkpoints.load(name, folder=options.trained)
        contract = inputs.contract_for(checkpoint, preprocessing, options.labels)
        calibration = None
        if any(precision.calibrated for precision in precisions):
            calibration = inputs.calibration_for(contract, options.calibration, options.data)
        for precision in track(precisions, f"exporting {checkpoint.name}"):
            folder = options.out / checkpoint.name
            artifact = export(checkpoint, precision, contract, folder, batch=options.batch, calibration=calibration)
            islands = artifact.manifest["float_ops"]
            rows.append(
                [
                    str(artifact.path),
                    f"{artifact.size_bytes / 1000:,.0f}",
                    f"{sum(artifact.manifest['op_census'].values())}",
                    "all" if islands == "all" else str(len(islands)),
                    artifact.manifest["sha256"][:12],
                ]
            )
    print(table(["artifact", "kB", "ops", "float ops", "sha256"], rows))


def run_check(options: argparse.Namespace) -> None:
    from fmnist_edge import inputs
    from fmnist_edge.artifacts import collect
    from fmnist_edge.check import check
    from fmnist_edge.files import write_json

    evaluation = inputs.evaluation_for(options.images, options.labels, options.limit, options.data)
    checked = list(
        check(collect(options.artifacts), evaluation, trained=options.trained, reference=options.reference, track=track)
    )
    print(f"Parity on {len(evaluation.images):,} images of {evaluation.source}:\n")
    print(table(PARITY_HEADER, [parity_row(row) for row in checked]))
    write_json(
        options.report,
        {
            "schema": 1,
            "images": len(evaluation.images),
            "source": evaluation.source,
            "rows": [r.as_dict() for r in checked],
        },
    )
    print(f"\nwrote {options.report}")
    for row in checked:
        for failure in row.report.failures:
            worst = ", ".join(map(str, row.report.worst_images))
            print(f"FAILED {row.artifact.path}: {failure} (worst images: {worst})", file=sys.stderr)
    failed = sum(not row.report.passed for row in checked)
    if failed:
        raise GateError(f"{failed} of {len(checked)} artifacts failed their gate")


PARITY_HEADER = [
    "model",
    "artifact",
    "kB",
    "Keras %",
    "accuracy %",
    "published %",
    "agreement %",
    "max Δ",
    "mean Δ",
    "gate",
]


def parity_row(row: Any) -> list[str]:
    report = row.report
    return [
        row.artifact.model,
        row.artifact.path.name,
        f"{row.artifact.size_bytes / 1000:,.0f}",
        *(percent(value) for value in (report.reference_accuracy, report.accuracy, report.published_accuracy)),
        percent(report.agreement),
        f"{report.max_abs_delta:.1e}",
        f"{report.mean_abs_delta:.1e}",
        "pass" if report.passed else "FAIL",
    ]


def percent(value: float | None) -> str:
    return "–" if value is None else f"{value * 100:.2f}"


def run_bench(options: argparse.Namespace) -> int:
    from fmnist_edge import data
    from fmnist_edge.artifacts import collect
    from fmnist_edge.bench import environment, results, suite
    from fmnist_edge.bench.plan import QUICK

    artifacts = [artifact.path for artifact in collect(options.artifacts)]
    plan = replace(QUICK, threads=tuple(options.threads)) if options.threads else QUICK
    cells = suite.cells_for(artifacts, plan.thread_counts(environment.usable_cores()), options.engine)
    images = data.load("test", options.data).images[:BENCH_IMAGES]
    print(f"{len(cells)} cells, plan {plan.name}: about {plan.seconds(len(cells)):.0f} s", file=sys.stderr)
    with progress_bar("measuring") as progress:
        result = suite.run(cells, images, plan, progress)
    rows = results.rows(result)
    shown = len(results.HEADER) if any(row[-1] for row in rows) else -1  # no column of empty reasons
    print(table(results.HEADER[:shown], [row[:shown] for row in rows]))
    print(f"\nwrote {results.save(result, results.path_for(result, options.out))}")
    if result["interrupted"]:
        print("fmnist-edge: interrupted; what was measured is kept", file=sys.stderr)
        return INTERRUPTED
    statuses = {cell["status"] for cell in result["cells"]}
    if "failed" in statuses:
        return 1
    return 0 if "measured" in statuses else UnavailableError.exit_code


def run_classify(options: argparse.Namespace) -> None:
    from fmnist_edge.runtime import Classifier
    from fmnist_edge.runtime.images import read_image

    answers = []
    shipped = Path("exported") / options.model / "int8.tflite"
    with Classifier.load(
        shipped if options.model in MODELS else options.model, threads=options.threads, engine=options.engine
    ) as classifier:
        for path in options.images:
            image = read_image(path, classifier.contract.input_shape)
            answers += [(path, answer) for answer in classifier.classify(255 - image if options.invert else image)]
        labels = classifier.contract.labels
    if options.json:
        print(json.dumps([answer_entry(path, prediction, labels) for path, prediction in answers], indent=2))
        return
    rows = [
        [path, prediction.label, f"{prediction.confidence:.1%}", ", ".join(labels[i] for i in prediction.top_k(3)[1:])]
        for path, prediction in answers
    ]
    print(table(["image", "label", "confidence", "next"], rows))


def answer_entry(path: str, prediction: Any, labels: Sequence[str]) -> dict[str, Any]:
    return {
        "image": path,
        "label": prediction.label,
        "index": prediction.index,
        "confidence": prediction.confidence,
        "probabilities": dict(zip(labels, map(float, prediction.probabilities), strict=True)),
    }


COMMANDS = {
    "data": run_data,
    "train": run_train,
    "export": run_export,
    "check": run_check,
    "bench": run_bench,
    "classify": run_classify,
}
