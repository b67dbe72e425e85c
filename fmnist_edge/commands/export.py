"""`fmnist-edge export`: convert models, each file with its manifest."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.commands import arguments
from fmnist_edge.commands.command import Group, Help
from fmnist_edge.commands.export_input import add_data, add_input
from fmnist_edge.console import progress_bar
from fmnist_edge.errors import GateError

if TYPE_CHECKING:
    from fmnist_edge.conversion.job import Outcome

__all__ = ["HELP", "add_arguments", "run"]

HELP = Help(
    group=Group.EXPORT,
    order=1,
    summary="convert models to TFLite, ONNX and other formats",
    description="""
        Converts Keras models to the formats and precisions that devices want. Each file gets a manifest beside it, a
        .json file with the file's SHA-256, its input and output, and how it was made; the other commands read it.

        A model is one of the zoo, or a .keras, .h5 or SavedModel of your own. Nothing from the model file is
        executed. A model that is not for Fashion-MNIST needs --calibration for integer precisions.

        A finished .tflite file, from wherever it is, can become C or a web page if it is int8 (its ends may be float32
        or uint8): with --format c or web. Its contract is the one in the manifest beside it, or inside it; what the
        options say wins. Without either, labels are numbered and pixels are divided by 255, unless the options say
        otherwise. --calibration, or --data for Fashion-MNIST, gives images for the golden vectors alone.

        How devices must feed the model is read from its first layers: one that begins with Rescaling(1/255), or with a
        Normalization of pixels, takes pixels as they are; others get pixels / 255. --preprocess, or --scale, --mean and
        --std, say otherwise: what a model of keras.applications needs has a name, such as imagenet. What is doubtful
        about that or about the calibration images is a warning, and is in the manifest.

        What the model answers with is read from its head: a softmax or logits over several classes is a classification,
        one sigmoid is binary, several are multilabel; other shapes, and several inputs or outputs, are tensors, which
        have names and no labels. --task says it where the head does not.

        The table shows each file's size, its ops, how many of them compute in float, the oldest runtime that runs it,
        and the start of its SHA-256.
        Two precisions whose files are the same, as int8 and int8_only of most models, are one file: its manifest says
        which other name it has.
        What a format or a precision cannot express is refused with the reason, and the rest is written. The exit code
        is 2 if a precision was refused that --precision names, if nothing was written, or for a warning with --strict.
        """,
    examples=(
        ("float32 and int8, in TFLite and in ONNX", "export tiny_resnet"),
        ("All precisions of TFLite", "export tiny_resnet --format tflite --precision all"),
        ("One precision of a model of your own",
         "export my.keras --format tflite --precision int8 --calibration images.npy --labels labels.txt"),
        ("A ResNet of keras.applications that was trained on cropped photos",
         "export my.keras --preprocess caffe --fit crop --calibration photos"),
        ("C of a finished .tflite file",
         "export model.tflite --format c --labels labels.txt --preprocess tf --calibration images.npy"),
        ("A camera's pixels as input, for an old runtime",
         "export tiny_resnet --format tflite --precision int8 --io uint8 --oldest tflite-runtime-2.7"),
        ("Lose at most 0.2 percentage points of accuracy",
         "export tiny_resnet --format tflite --precision int8 --tune-accuracy 0.2"),
    ),
    gate="with --tune-accuracy: no remedy kept the loss within PP",
    extra="export",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_what(parser.add_argument_group("What to export"))
    add_how(parser.add_argument_group("Integer precisions"))
    add_target(parser.add_argument_group("What the target takes"))
    add_contract(parser.add_argument_group("What devices must know"))
    add_data(parser.add_argument_group("What other commands must know"))
    output = parser.add_argument_group("Output")
    arguments.out(
        output,
        arguments.EXPORTED,
        "The files are DIR/<model>/<precision>.<format>, with a manifest beside each. A file of the same name is "
        "replaced; the manifest says which options it has.",
    )
    output.add_argument(
        "--name",
        metavar="NAME",
        help="Of the model in a .tflite file, and of its folder in DIR. Default: the one in the manifest beside the "
        "file, else the file's.",
    )
    output.add_argument(
        "--strict",
        action="store_true",
        help="Write nothing of a model with a warning about its contract or its calibration images.",
    )
    output.add_argument("--json", action="store_true", help="Print JSON instead of tables.")


def add_what(what: arguments.Arguments) -> None:
    what.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="A model of the zoo, the path of a .keras, .h5 or SavedModel, or a project file (.toml) that names one; "
        "with --format c or web also the path of a .tflite file.",
    )
    arguments.trained(what)
    what.add_argument(
        "--format",
        default="all",
        choices=[*FORMATS, "all"],
        metavar="FORMAT",
        help="Format of the files; all is tflite and onnx.",
    )
    what.add_argument(
        "--precision",
        action="append",
        metavar="NAME",
        help="A precision, such as float32 or int8; all is every precision of the format. Default: float32 and int8 of "
        "TFLite and ONNX, every precision of another format.",
    )
    what.add_argument("--batch", type=arguments.batch_size, default=1, metavar="1|N|dynamic", help="Images per call.")


def add_how(how: arguments.Arguments) -> None:
    arguments.data(how)
    arguments.calibration(
        how,
        "Images that set the integer ranges: a folder of PNGs and JPEGs, flat or with a folder per class; a .npy file; "
        "a .npz file (its array with the shape of images; of several, the one called images or x); an IDX file. Take "
        "some hundred that look like what the device will see. Class folders also name the classes, in Keras's order, "
        "unless --labels does. Default for the zoo: 500 training images.",
        "--train",
    )
    arguments.skip_bad(how)
    how.add_argument(
        "--keep-float",
        action="append",
        default=[],
        metavar="LAYER",
        help="A Keras layer that computes in float in an integer file. `explain` names the one to choose.",
    )
    how.add_argument(
        "--tune-accuracy",
        type=arguments.number,
        metavar="PP",
        help="Lose at most PP percentage points of accuracy in precisions that are calibrated. Tries equalisation, "
        "bias correction, layers in float and fine-tuning, one after another, until one is enough. The judge is the "
        "validation split, or every other one of your own calibration images, by their classes where they are known.",
    )
    how.add_argument(
        "--budget",
        type=arguments.number,
        metavar="MIN",
        help="With --tune-accuracy: minutes for the remedies of a file. What there was no time for is listed. "
        "Default: 10.",
    )


def add_target(target: arguments.Arguments) -> None:
    target.add_argument(
        "--io",
        choices=["int8", "uint8", "float32"],
        metavar="TYPE",
        help="Type of input and output of integer files: uint8 for cameras and LiteRT.js, which have pixels; float32 "
        "to take the place of a float file without a change of the app; int8 for NPUs and microcontrollers. Default: "
        "int8 in TFLite, int16 for int16x8, float32 in ONNX. Float files keep float32.",
    )
    target.add_argument(
        "--per-tensor",
        action="store_true",
        help="One scale per weight tensor, for NPUs that have no scale per channel. It costs accuracy: run `check`.",
    )
    target.add_argument(
        "--opset",
        type=int,
        metavar="N",
        help="Version of the ops in ONNX files, 13 to 18, for a converter or NPU that takes no newer one. Default: 17.",
    )
    target.add_argument(
        "--oldest",
        action="append",
        default=[],
        metavar="RUNTIME",
        help="A runtime that must run the files, such as tflite-runtime-2.14 or onnxruntime-1.12: export avoids newer "
        "ops where it can, and refuses the file where it cannot. Files of other formats are not concerned. Can be "
        "given once per format.",
    )


def add_contract(contract: arguments.Arguments) -> None:
    contract.add_argument(
        "--labels",
        type=Path,
        metavar="FILE.txt",
        help="Names of the classes, one per line, in the order of the output. For a binary model two, the positive one "
        "last.",
    )
    arguments.task(contract)
    contract.add_argument(
        "--polarity",
        choices=["light-on-dark", "dark-on-light", "either"],
        metavar="POLARITY",
        help="How the images look that the model was trained on; devices warn about others. Default: light-on-dark for "
        "Fashion-MNIST, else either.",
    )
    add_input(contract)


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.conversion.summary import as_json, listed, recovered, refusal, remedies, show_findings
    from fmnist_edge.jobs import export as exporting

    outcomes: list[Outcome] = []
    found: list[tuple[exporting.Request, list[Outcome]]] = []
    for request in exporting.requests(exporting.ExportOptions.of(vars(options)), options.models):
        with progress_bar(f"exporting {request.model}") as progress:
            done = exporting.run(request, progress)
        found.append((request, done))
        for outcome in done:
            if outcome.tuning is not None and not options.json:
                print(remedies(outcome.path, outcome.tuning))
        show_findings(request.model, done, say_decision=not options.json)
        outcomes += done
    refused = [outcome for outcome in outcomes if outcome.error is not None]
    if options.json:
        print(as_json(outcomes))
    elif len(refused) < len(outcomes):
        print(listed(outcomes))
    for request, done in found:
        facts = request.keep_facts(done)
        if facts is not None and not options.json:
            print(f"\nwhat other commands must know of model and data: {facts}")
    named = [outcome for outcome in refused if outcome.whole_model or outcome.path.stem in (options.precision or ())]
    if named or len(refused) == len(outcomes):
        raise refusal(named or refused)
    short = [outcome for outcome in outcomes if outcome.artifact and not recovered(outcome.artifact)]
    if short:
        paths = ", ".join(str(outcome.path) for outcome in short)
        untried = [remedy for outcome in short if outcome.tuning for remedy in outcome.tuning.untried]
        left = f"; there was no time for {' and for '.join(dict.fromkeys(untried))}: raise --budget" if untried else ""
        raise GateError(
            f"no remedy kept the loss within {options.tune_accuracy} pp; wrote the best file found: {paths}{left}"
        )
