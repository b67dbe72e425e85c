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

from fmnist_edge import __version__
from fmnist_edge.console import hide_native_chatter, progress_bar, table, track
from fmnist_edge.errors import FmnistEdgeError, UnavailableError, one_line
from fmnist_edge.registry import ENGINES, EXPORTERS, MODELS, resolve

__all__ = ["main", "program"]

BENCH_IMAGES = 64  # real ones, cycled
INTERNAL_ERROR = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED = 130
EXIT_CODES = (
    "exit codes: 0 done; 1 a gate failed; 2 bad input or file; 3 something to install or fetch first; "
    "70 our bug; 130 interrupted"
)


def program() -> int:
    """The installed command: `main`, without the engines' own logging unless FMNIST_EDGE_VERBOSE is set."""
    if not os.environ.get("FMNIST_EDGE_VERBOSE"):
        hide_native_chatter()
    return main()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Prints errors of our own tree as one line on stderr."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    options = parser().parse_args(arguments)
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


def parser() -> argparse.ArgumentParser:
    """Every command, its options and an example each."""
    top = argparse.ArgumentParser(
        prog="fmnist-edge", description="Export small Keras CNNs, prove parity, time them, run them.", epilog=EXIT_CODES
    )
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, function: Any, summary: str, example: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name, help=summary, description=f"{summary}.", epilog=f"example: fmnist-edge {example}  |  {EXIT_CODES}"
        )
        sub.set_defaults(command=function)
        return sub

    def with_data(sub: argparse.ArgumentParser) -> argparse.ArgumentParser:
        sub.add_argument("--data", metavar="DIR", help="folder of the four Fashion-MNIST .gz files (found by default)")
        return sub

    sub = with_data(command("data", run_data, "say where Fashion-MNIST is, or how to get it", "data --download"))
    sub.add_argument("--download", action="store_true", help="fetch it from the official mirrors if it is nowhere")

    sub = with_data(command("train", run_train, "train a model of the zoo", "train compact_cnn --epochs 3"))
    sub.add_argument("model", help=f"one of: {', '.join(MODELS)}")
    sub.add_argument("--recipe", default="best", help="best (ours, default) or published (the authors' protocol)")
    sub.add_argument("--epochs", type=whole_number, metavar="N", help="instead of the recipe's own number")
    sub.add_argument("--seed", type=int, default=0, help="decides weights, order and augmentation (default 0)")
    sub.add_argument("--resume", action="store_true", help="go on after the last finished epoch of this very run")
    sub.add_argument(
        "--limit", type=whole_number, metavar="N", help="use N images of each split only, to try things out"
    )
    sub.add_argument("--out", type=Path, default=Path("trained_model"), metavar="DIR", help="(default trained_model)")

    sub = with_data(command("export", run_export, "convert models, each file with its manifest", "export tiny_resnet"))
    sub.add_argument("models", nargs="+", metavar="MODEL", help="a zoo name, or a .keras, .h5 or SavedModel path")
    sub.add_argument("--format", default="all", choices=[*EXPORTERS, "all"], help="(default all)")
    sub.add_argument("--precision", action="append", metavar="P", help="repeatable; default every one of the format")
    sub.add_argument("--batch", type=batch_size, default=1, metavar="1|N|dynamic", help="images per call (default 1)")
    sub.add_argument(
        "--out", type=Path, default=Path("exported"), metavar="DIR", help="DIR/<model>/<precision>.<format>"
    )
    sub.add_argument("--trained", type=Path, default=Path("trained_model"), metavar="DIR", help="zoo models' folder")
    sub.add_argument("--calibration", metavar="FILE.npy", help="images for int8 (default: 500 of the training split)")
    sub.add_argument("--labels", type=Path, metavar="FILE.txt", help="class names, one a line, in output order")
    sub.add_argument(
        "--scale", type=float, default=1 / 255, help="input = (pixel * scale - mean) / std (default 1/255)"
    )
    sub.add_argument("--mean", type=float, default=0.0, help="see --scale (default 0)")
    sub.add_argument("--std", type=float, default=1.0, help="see --scale (default 1)")

    sub = with_data(command("check", run_check, "prove artifacts equal their Keras model", "check exported"))
    sub.add_argument("artifacts", nargs="*", default=["exported"], help="files or folders (default exported)")
    sub.add_argument("--trained", type=Path, default=Path("trained_model"), metavar="DIR", help="zoo models' folder")
    sub.add_argument("--reference", metavar="MODEL", help="Keras model of artifacts that are not of the zoo")
    sub.add_argument("--images", metavar="FILE.npy", help="check on these instead of the 10,000 test images")
    sub.add_argument("--labels", metavar="FILE.npy", help="their class indices; accuracy gates need them")
    sub.add_argument("--limit", type=whole_number, metavar="N", help="the first N images only; the report says so")
    sub.add_argument("--report", type=Path, default=Path("reports/parity.json"), metavar="FILE", help="JSON report")

    sub = with_data(command("bench", run_bench, "time artifacts on this machine", "bench exported/tiny_resnet"))
    sub.add_argument("artifacts", nargs="*", default=["exported"], help="files or folders (default exported)")
    sub.add_argument(
        "--threads", type=whole_number, action="append", metavar="N", help="repeatable (default 1 and all)"
    )
    sub.add_argument("--out", type=Path, default=Path("benchmarks/results"), metavar="DIR", help="results folder")

    sub = command("classify", run_classify, "classify image files", "classify exported/tiny_resnet/int8.tflite a.png")
    sub.add_argument("model", help="a .tflite or .onnx file with its manifest beside it")
    sub.add_argument("images", nargs="+", metavar="IMAGE", help="PNG or JPEG")
    sub.add_argument("--engine", choices=list(ENGINES), help="(default: by the file's suffix)")
    sub.add_argument("--threads", type=whole_number, metavar="N", help="engine threads")
    sub.add_argument("--invert", action="store_true", help="for dark-on-light photos; Fashion-MNIST is light on dark")
    sub.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return top


def whole_number(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return value


def batch_size(text: str) -> int | None:
    return None if text == "dynamic" else whole_number(text)


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


def run_check(options: argparse.Namespace) -> int:
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
    return int(any(not row.report.passed for row in checked))


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
    cells = suite.cells_for(artifacts, plan.thread_counts(environment.usable_cores()))
    images = data.load("test", options.data).images[:BENCH_IMAGES]
    print(f"{len(cells)} cells, plan {plan.name}: about {plan.seconds(len(cells)):.0f} s", file=sys.stderr)
    with progress_bar("measuring") as progress:
        result = suite.run(cells, images, plan, progress)
    print(table(results.HEADER, results.rows(result)))
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
    with Classifier.load(options.model, threads=options.threads, engine=options.engine) as classifier:
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
