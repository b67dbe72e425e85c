"""The options of every command, and the help that teaches them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Optional

from fmnist_edge import __version__, options_bench, options_boards
from fmnist_edge.argument_types import batch_size, number, seeds, whole_number
from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.catalog.models import MODELS
from fmnist_edge.help_texts import (
    ARCHIVE,
    ENGINE_MATRIX,
    EXIT_CODES,
    FROM_MANIFEST,
    GOLDEN,
    LAYER_BY_LAYER,
    ON_A_DEVICE,
    PROTOCOL,
    RATIOS,
    REPORT,
    STATISTICS,
)
from fmnist_edge.runtime.engine_catalog import CPU, engines_on

__all__ = ["parser"]

Command = Callable[[argparse.Namespace], Optional[int]]


def parser(commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    """Every command with its options and an example; `commands` says what runs each."""
    top = argparse.ArgumentParser(
        prog="fmnist-edge", description="Export small Keras CNNs, prove parity, time them, run them.", epilog=EXIT_CODES
    )
    top.add_argument("--version", action="version", version=__version__)
    subparsers = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, summary: str, example: str, more: str = "") -> argparse.ArgumentParser:
        sub = subparsers.add_parser(
            name,
            help=summary,
            description=f"{summary}. {more}",
            epilog=f"example: fmnist-edge {example}  |  {EXIT_CODES}",
        )
        sub.set_defaults(command=commands[name])
        return sub

    def with_data(sub: argparse.ArgumentParser) -> argparse.ArgumentParser:
        sub.add_argument("--data", metavar="DIR", help="folder of the four Fashion-MNIST .gz files (found by default)")
        return sub

    sub = with_data(command("data", "say where Fashion-MNIST is, or how to get it", "data --download"))
    sub.add_argument("--download", action="store_true", help="fetch it from the official mirrors if it is nowhere")

    sub = command("models", "list the zoo with its cards' figures", "models")
    sub.add_argument("--trained", type=Path, default=Path("trained_model"), metavar="DIR", help="zoo models' folder")
    sub.add_argument("--pages", action="store_true", help="write each card's .md and .png anew from its .json")

    sub = with_data(command("train", "train a model of the zoo", "train compact_cnn --epochs 3"))
    sub.add_argument("model", help=f"one of: {', '.join(MODELS)}")
    sub.add_argument(
        "--recipe",
        default="best",
        help="best (ours, default), published (the authors' protocol) or a recipe .json file",
    )
    sub.add_argument("--epochs", type=whole_number, metavar="N", help="instead of the recipe's own number")
    sub.add_argument(
        "--seeds",
        type=seeds,
        default=(0,),
        metavar="N[,N...]",
        help="each decides weights, order and augmentation of a run; the best on validation is kept (default 0)",
    )
    sub.add_argument("--resume", action="store_true", help="go on after the last finished epoch of this very run")
    sub.add_argument(
        "--limit", type=whole_number, metavar="N", help="use N images of each split only, to try things out"
    )
    sub.add_argument("--out", type=Path, default=Path("trained_model"), metavar="DIR", help="(default trained_model)")
    sub.add_argument("--teachers", type=Path, metavar="DIR", help="folder of the recipe's teachers (default: --out)")

    sub = with_data(command("tune", "search a model's hyper-parameters", "tune tuned_cnn --trials 40"))
    sub.add_argument("model", help=f"one of: {', '.join(MODELS)}")
    sub.add_argument("--trials", type=whole_number, default=40, metavar="N", help="to run now (default 40)")
    sub.add_argument("--epochs", type=whole_number, default=6, metavar="N", help="budget of one trial (default 6)")
    sub.add_argument(
        "--storage",
        metavar="URL",
        help="where the study is kept and shared: sqlite:///FILE, postgresql://, mysql://, redis://, grpc://HOST:PORT, "
        "journal:FILE or FILE.log (default sqlite:///runs/tune/<model>.db)",
    )
    sub.add_argument("--study", metavar="NAME", help="a study that exists goes on (default the model's name)")
    sub.add_argument("--seed", type=int, default=0, help="decides the values tried, weights and order (default 0)")
    sub.add_argument("--limit", type=whole_number, metavar="N", help="use N images of each split, to try things out")
    sub.add_argument("--out", type=Path, default=Path("tuning"), metavar="DIR", help="(default tuning)")

    sub = with_data(command("export", "convert models, each file with its manifest", "export tiny_resnet"))
    sub.add_argument("models", nargs="+", metavar="MODEL", help="a zoo name, or a .keras, .h5 or SavedModel path")
    sub.add_argument("--format", default="all", choices=[*FORMATS, "all"], help="(default all: tflite and onnx)")
    sub.add_argument("--precision", action="append", metavar="P", help="repeatable; default every one of the format")
    sub.add_argument(
        "--keep-float",
        action="append",
        default=[],
        metavar="LAYER",
        help="repeatable: a Keras layer that computes in float in an int8 file; `explain` names the one to choose",
    )
    sub.add_argument("--batch", type=batch_size, default=1, metavar="1|N|dynamic", help="images per call (default 1)")
    sub.add_argument(
        "--out", type=Path, default=Path("exported"), metavar="DIR", help="DIR/<model>/<precision>.<format>"
    )
    sub.add_argument("--trained", type=Path, default=Path("trained_model"), metavar="DIR", help="zoo models' folder")
    sub.add_argument(
        "--calibration",
        metavar="FILE.npy|DIR",
        help="images that set the integer ranges: an array or a folder of PNGs and JPEGs; some hundred that look like "
        "what the device will see (default for Fashion-MNIST: 500 of the training split)",
    )
    sub.add_argument(
        "--tune-accuracy",
        type=number,
        metavar="PP",
        help="lose at most PP percentage points in calibrated precisions: try equalisation, bias correction, "
        "fine-tuning and layers in float until one does; judged by validation images, or every other calibration image "
        "of your own; exit code 1 if none does",
    )
    sub.add_argument(
        "--budget",
        type=number,
        default=10.0,
        metavar="MIN",
        help="with --tune-accuracy: start no further remedy for a file after MIN minutes (default 10)",
    )
    sub.add_argument("--labels", type=Path, metavar="FILE.txt", help="class names, one a line, in output order")
    sub.add_argument(
        "--polarity",
        choices=["light-on-dark", "dark-on-light", "either"],
        help="how the images look that it was trained on; devices warn of others (default for Fashion-MNIST: "
        "light-on-dark, else either)",
    )
    sub.add_argument(
        "--resize",
        default="bilinear",
        choices=["nearest", "box", "bilinear", "bicubic", "lanczos"],
        help="how devices make image files as large as the model's input (default bilinear)",
    )
    sub.add_argument(
        "--scale", type=float, default=1 / 255, help="input = (pixel * scale - mean) / std (default 1/255)"
    )
    sub.add_argument("--mean", type=float, default=0.0, help="see --scale (default 0)")
    sub.add_argument("--std", type=float, default=1.0, help="see --scale (default 1)")

    sub = with_data(command("reproduce", "export again, and compare", "reproduce int8.tflite.json", FROM_MANIFEST))
    sub.add_argument("manifests", nargs="+", type=Path, metavar="MANIFEST", help="the .json beside an exported file")
    sub.add_argument("--model", metavar="MODEL", help="the Keras file it was made from (default for the zoo: its own)")
    sub.add_argument("--trained", type=Path, default=Path("trained_model"), metavar="DIR", help="zoo models' folder")
    sub.add_argument("--calibration", metavar="FILE.npy|DIR", help="the images that `export` was given, if any")
    sub.add_argument("--report", type=Path, default=Path("reports/reproduce.json"), metavar="FILE", help="JSON report")

    sub = with_data(command("check", "prove artifacts equal their Keras model", "check exported", STATISTICS))
    sub.add_argument("artifacts", nargs="*", default=["exported"], help="files or folders (default exported)")
    sub.add_argument("--trained", type=Path, default=Path("trained_model"), metavar="DIR", help="zoo models' folder")
    sub.add_argument("--reference", metavar="MODEL", help="Keras model of artifacts that are not of the zoo")
    sub.add_argument("--images", metavar="FILE.npy", help="check on these instead of the 10,000 test images")
    sub.add_argument("--labels", metavar="FILE.npy", help="their class indices; accuracy gates need them")
    sub.add_argument("--limit", type=whole_number, metavar="N", help="the first N images only; the report says so")
    sub.add_argument("--report", type=Path, default=Path("reports/parity.json"), metavar="FILE", help="JSON report")
    sub.add_argument(
        "--record", action="store_true", help="write each verdict into the artifact's manifest, where `doctor` reads it"
    )

    sub = with_data(command("matrix", "compare engines' answers on artifacts", "matrix exported", ENGINE_MATRIX))
    sub.add_argument("artifacts", nargs="*", default=["exported"], help="files or folders (default exported)")
    sub.add_argument(
        "--engine",
        action="append",
        choices=engines_on(CPU),
        help="repeatable (default every one that fits but litert-reference)",
    )
    sub.add_argument("--images", metavar="FILE.npy", help="compare on these instead of the 10,000 test images")
    sub.add_argument("--limit", type=whole_number, metavar="N", help="the first N images only; the table says so")
    sub.add_argument(
        "--micro-limit",
        type=whole_number,
        default=1000,
        metavar="N",
        help="images for tflite-micro and litert-reference, at 10 to 20 ms each; the table says so (default 1000)",
    )
    sub.add_argument(
        "--tflite-runtime",
        metavar="PYTHON",
        help="a Python that has tflite-runtime, which needs numpy<2 and so an environment of its own; `make compat` "
        "makes one (default $FMNIST_EDGE_TFLITE_RUNTIME)",
    )
    sub.add_argument("--report", type=Path, default=Path("reports/matrix.json"), metavar="FILE", help="JSON report")

    example = "explain exported/tiny_resnet/int8.tflite"
    sub = with_data(command("explain", "find the layer that an export loses most in", example, LAYER_BY_LAYER))
    sub.add_argument("artifact", metavar="ARTIFACT", help=".tflite or .onnx file with its manifest beside it")
    sub.add_argument("--trained", type=Path, default=Path("trained_model"), metavar="DIR", help="zoo models' folder")
    sub.add_argument("--reference", metavar="MODEL", help="Keras model of an artifact that is not of the zoo")
    sub.add_argument("--images", type=whole_number, default=64, metavar="N", help="how many to compare on (default 64)")
    sub.add_argument(
        "--calibration",
        metavar="FILE.npy|DIR",
        help="images as given to `export`; the first N are used (default for Fashion-MNIST: of the training split)",
    )
    sub.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="JSON report, the plot beside it as .png (default reports/explain-<model>-<precision>.<format>.json)",
    )

    sub = with_data(
        command(
            "bench", "time artifacts, here or on a device", "bench exported/tiny_resnet", f"{PROTOCOL} {ON_A_DEVICE}"
        )
    )
    options_bench.add_bench(sub)
    sub = with_data(
        command("bundle", "pack what a device measures by", "bundle exported --plan quick --out pi.tar.gz", ARCHIVE)
    )
    options_bench.add_bundle(sub)
    sub = command("compare", "compare two results of bench", "compare before.json.gz after.json.gz", RATIOS)
    options_bench.add_compare(sub)

    options_boards.add(command, with_data)

    sub = command("report", "show results of bench as tables and a page", "report --readme README.md", REPORT)
    sub.add_argument(
        "results", nargs="*", type=Path, metavar="RESULTS", help="files or folders (default benchmarks/results)"
    )
    sub.add_argument(
        "--html", type=Path, default=Path("reports/report.html"), metavar="FILE", help="(default %(default)s)"
    )
    sub.add_argument(
        "--markdown", type=Path, default=Path("reports/report.md"), metavar="FILE", help="(default %(default)s)"
    )
    sub.add_argument(
        "--report", type=Path, default=Path("reports/report.json"), metavar="FILE", help="JSON (default %(default)s)"
    )
    sub.add_argument(
        "--emulated", type=Path, default=Path("benchmarks/emulated"), metavar="DIR", help="results of emulate"
    )
    sub.add_argument("--readme", type=Path, metavar="FILE", help="write this file's blocks anew too")
    sub.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit code 1 when a block of --readme is not what the results give",
    )

    sub = command("doctor", "replay artifacts' golden vectors on this device", "doctor exported/tiny_resnet", GOLDEN)
    sub.add_argument("artifacts", nargs="*", default=["exported"], help="files or folders (default exported)")
    sub.add_argument("--engine", choices=engines_on(CPU), help="(default: by the file's suffix)")
    sub.add_argument("--threads", type=whole_number, metavar="N", help="engine threads")
    sub.add_argument("--report", type=Path, default=Path("reports/doctor.json"), metavar="FILE", help="JSON report")

    sub = command("classify", "classify image files", "classify exported/tiny_resnet/int8.tflite a.png")
    sub.add_argument("model", help="an exported file with its manifest beside it, or a zoo name")
    sub.add_argument("images", nargs="+", metavar="IMAGE", help="PNG or JPEG")
    sub.add_argument("--engine", choices=engines_on(CPU), help="(default: by the file's suffix)")
    sub.add_argument("--threads", type=whole_number, metavar="N", help="engine threads")
    sub.add_argument(
        "--invert",
        default="never",
        choices=["never", "auto", "always"],
        help="Fashion-MNIST is light on dark and photos seldom are: warn of such images (never, the default), turn "
        "them (auto), or turn every image (always)",
    )
    sub.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return top
