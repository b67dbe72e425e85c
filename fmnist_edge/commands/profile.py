"""`fmnist-edge profile`: the ops and layers on which an exported file spends its time."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.commands import arguments
from fmnist_edge.commands.command import Group, Help
from fmnist_edge.console import progress_bar, table
from fmnist_edge.runtime.engine_catalog import CPU, engines_on

if TYPE_CHECKING:
    from fmnist_edge.aliases import JsonObject
    from fmnist_edge.artifact import Artifact
    from fmnist_edge.commands.reports import Report
    from fmnist_edge.explain.profile.damage import Damage
    from fmnist_edge.explain.profile.profile import Profile

__all__ = ["HELP", "add_arguments", "run"]

LAYERS = ["layer", "µs", "% of time", "% of noise"]
OPS = ["op", "type", "layer", "µs [lowest, highest round]", "% of time"]
NONE = "–"

HELP = Help(
    group=Group.MEASURE,
    order=9,
    summary="show the layers and ops on which a file spends its time",
    description="""
        Times the ops of a file in five fresh processes, and adds them up by Keras layer. Beside the time stands the
        layer's damage: its share of the noise at the output, from a report of `explain` on the same file. The plot
        shows both.

        ONNX Runtime has a profiler. Its clock counts whole µs, and it slows each op down a little, so the ops can add
        up to more than the whole file takes without it.

        LiteRT's Python API has none. So the file is cut after each op, and an op's time is the difference between two
        cuts. This is an estimate, and in noise it can be below 0: a cut can prevent a kernel from being fused with the
        next one. The first op also has what a call costs in itself. The kernels are those of the engine: XNNPACK's for
        litert, the built-in ones for litert-builtin.

        The verdict is INVALID when other programs used the CPU, the host stole time, the frequency changed, or the
        rounds differed too much. The JSON keeps every sample.
        """,
    examples=(
        ("Where the time goes, beside the damage",
         "profile exported/tiny_resnet/int8.tflite"),
        ("In ONNX Runtime, as the graph is in the file",
         "profile exported/tiny_resnet/float32.onnx --engine onnxruntime-disabled"),
    ),
    extra="train",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("What to profile")
    what.add_argument("artifact", metavar="ARTIFACT", help="A .tflite or .onnx file with its manifest beside it.")
    arguments.trained(what)
    arguments.reference(what)
    what.add_argument(
        "--explanation",
        type=Path,
        metavar="FILE",
        help="Report of `explain` on the same file. Default: reports/explain-<model>-<file>.json, where it is.",
    )
    how = parser.add_argument_group("How")
    arguments.engine(how, engines_on(CPU))
    how.add_argument("--threads", type=arguments.whole_number, default=1, metavar="N", help="Threads of the engine.")
    parser.add_argument_group("Output").add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="JSON report to write, with the plot beside it as .png. - prints it, without a plot. Default: "
        "reports/profile-<model>-<file>.json.",
    )


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.artifact import Artifact
    from fmnist_edge.commands.reports import Report
    from fmnist_edge.errors import InputError
    from fmnist_edge.explain.explanation import check_loads
    from fmnist_edge.explain.profile.damage import damage_of
    from fmnist_edge.explain.profile.profile import profile

    artifact = Artifact.open(options.artifact)
    name = f"{artifact.model}-{artifact.path.name}.json"
    path = options.report or Path("reports") / f"profile-{name}"
    if path.suffix == ".png":
        raise InputError(f"--report {path}: the plot is written there; name a .json file")
    check_loads(artifact)
    default = Path("reports") / f"explain-{name}"
    damage = damage_of(artifact, options.explanation or (default if default.exists() else None))
    report = Report.at(path, optional=options.report is None)
    owners = owners_of(artifact, options)
    with progress_bar(f"profiling {artifact.model} {artifact.path.name}") as progress:
        found = profile(artifact, owners, engine=options.engine, threads=options.threads, progress=progress)
    written = found.as_dict(damage.groups, damage.noise)
    report.write(written)
    with report.beside():
        show(found, damage)
        draw(report, written)


def owners_of(artifact: Artifact, options: argparse.Namespace) -> Callable[[str], tuple[str, ...]]:
    """The Keras layers of an op, by its name. Where the Keras model is not at hand, a note, and none."""
    from fmnist_edge import checkpoints
    from fmnist_edge.errors import FmnistEdgeError, one_line
    from fmnist_edge.explain.profile.owners import owners_in

    try:
        checkpoint = checkpoints.load(options.reference or artifact.model, folder=options.trained)
        return owners_in(artifact, checkpoint)
    except FmnistEdgeError as error:
        if options.reference is not None:
            raise
        print(f"fmnist-edge: note: ops are not grouped by layer: {one_line(error)}", file=sys.stderr)
        return lambda name: ()


def show(found: Profile, damage: Damage) -> None:
    layers = found.by_layer(damage.groups)
    total = sum(layers.values())
    costliest = sorted(layers, key=lambda name: -layers[name])
    threads = f"{found.threads} thread{'s' * (found.threads > 1)}"
    print(f"{found.artifact.path} in {found.engine} ({found.version}), {threads}, by {found.method}:\n")
    print(table(LAYERS, [layer_row(name, layers[name], total, damage) for name in costliest]))
    ops = sorted(found.ops, key=lambda op: -op.us)[:15]
    print(f"\nThe {len(ops)} costliest of {len(found.ops)} ops:\n")
    shares = [f"{100 * op.us / total:.1f}" for op in ops]
    rounds = [f"{op.us:,.1f} [{min(op.rounds_us):,.1f}, {max(op.rounds_us):,.1f}]" for op in ops]
    layer = [found.layer_of(op, damage.groups) for op in ops]
    rows = [[short(op.name), op.kind, *rest] for op, *rest in zip(ops, layer, rounds, shares)]
    print(table(OPS, rows))
    print(f"\nThe whole file takes {found.total_us:,.1f} µs a call; its ops add up to {total:,.1f} µs.")
    if found.is_estimate:
        print("The times of ops are estimates: differences between cuts of the graph.")
    else:
        print("The profiler counts whole µs and slows each op down: trust the order of ops more than their times.")
    print(f"Most time: {costliest[0]} ({100 * layers[costliest[0]] / total:.0f} %). {damage.line}")
    verdict = found.verdict
    print("\n".join([verdict["status"], *(f"  {reason['rule']}: {reason['text']}" for reason in verdict["reasons"])]))


def short(name: str) -> str:
    """The end of an op's name: TFLite's lists all TensorFlow ops that were fused, with their scopes."""
    return "/".join(name.split(";")[0].split("/")[-2:])


def layer_row(name: str, us: float, total: float, damage: Damage) -> list[str]:
    noise = damage.noise.get(name)
    return [name, f"{us:,.1f}", f"{100 * us / total:.1f}", NONE if noise is None else f"{100 * noise:.1f}"]


def draw(report: Report, written: JsonObject) -> None:
    """Draw the plot beside the report, if that is a file."""
    from fmnist_edge.commands.reports import STDOUT
    from fmnist_edge.explain.profile.plot import draw_profile

    if report.path is not None and report.path != STDOUT:
        plot = report.path.with_suffix(".png")
        draw_profile(written, plot)
        report.say_written(f" and {plot.name}", before="\n")
