"""`fmnist-edge choose`: the files that keep a budget of latency, size and accuracy, best first."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmnist_edge.commands import arguments
from fmnist_edge.commands.command import Group, Help
from fmnist_edge.commands.job import shown
from fmnist_edge.console import table
from fmnist_edge.errors import GateError, InputError
from fmnist_edge.jobs.bench import own_images as bench_images
from fmnist_edge.jobs.project import CHECK, by_project
from fmnist_edge.runtime.engine_catalog import CPU, engines_on, shipped

if TYPE_CHECKING:
    from fmnist_edge.artifact import Artifact
    from fmnist_edge.benchmark.remote.target import Target
    from fmnist_edge.report.choice.gather import Choice
    from fmnist_edge.report.choice.ranking import Candidate
    from fmnist_edge.runtime.budget import Budget

__all__ = ["HELP", "add_arguments", "run"]

RESULTS = Path("benchmarks/results")
PARITY = (Path("reports/parity.json"), Path("reports/parity-choose.json"))  # the second one is this command's own
MACHINE = ("device", "cpu", "cpu_flags", "packages")
HEADER = ["file", "engine", "p50 µs [95 %]", "valid", "kB", "accuracy %", "Δ Keras pp"]
NONE = "–"

HELP = Help(
    group=Group.MEASURE,
    order=8,
    summary="choose the file to ship, by latency, size and accuracy",
    description="""
        Prints the files that keep all limits, best first, and why each other file falls. The limits are options, or
        the keys of a TOML file: max-latency = "2ms", max-size = "500kB", min-accuracy = 94.5, max-drop = "0.2pp".

        The order is by latency. Files whose intervals overlap that of the fastest among them come by size. The latency
        is the p50 of the engine alone, on the file's fastest engine, at batch 1 where the file allows it. It keeps its
        limit when its whole 95 % interval does. An INVALID latency counts, and the table says so.

        What reports of `check` and `bench` already say of these very files is used. The rest is measured: accuracies
        by `check`, on this machine, and latencies by `bench`. Latencies are of this machine, or of the one that --on
        names. A file that is too large, or not accurate enough, is not timed.

        The best file can differ on a CPU without int8 dot products (VNNI on x86, dotprod on Arm). The command says
        whether this CPU has them.

        With --budget, the limits are also written into the manifest of each file that keeps them. `doctor` and `bench`
        then exit with 1 on a device where the file does not keep them.
        """,
    examples=(
        ("At most 2 ms and 500 kB, and at least 94.5 % accuracy",
         "choose exported --max-latency 2ms --max-size 500kB --min-accuracy 94.5"),
        ("On a Raspberry Pi, losing at most 0.2 percentage points",
         "choose exported/tiny_resnet --on pi@raspberrypi --max-latency 5ms --max-drop 0.2pp"),
        ("Hold every device to the limits of a file", "choose exported --budget budget.toml"),
    ),
    gate="no file keeps the limits",
    extra="bench",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.artifacts(parser.add_argument_group("What to choose from"))
    limits = parser.add_argument_group("Limits, at least one")
    limits.add_argument(
        "--max-latency", type=reader_of("latency_ms"), metavar="TIME", help="Highest p50, like 2ms or 500us."
    )
    limits.add_argument(
        "--max-size", type=reader_of("size_bytes"), metavar="SIZE", help="Largest file, like 500kB or 1.2MB."
    )
    limits.add_argument(
        "--min-accuracy", type=reader_of("accuracy_share"), metavar="P", help="Lowest accuracy in %%, like 94.5."
    )
    limits.add_argument(
        "--max-drop",
        type=reader_of("drop_share"),
        metavar="PP",
        help="How much lower than the Keras model's the accuracy may be, like 0.2pp.",
    )
    limits.add_argument(
        "--budget", type=Path, metavar="FILE.toml", help="Limits from a file, which are written into the manifests too."
    )
    latency = parser.add_argument_group("Latency")
    latency.add_argument("--on", metavar="[USER@]HOST", help="Measure on this device by ssh, as `bench --on` does.")
    latency.add_argument("--ssh-config", type=Path, metavar="FILE", help="An ssh config file, as with ssh -F.")
    latency.add_argument(
        "--results",
        type=Path,
        action="append",
        metavar="RESULTS",
        help="Measure no latency; take those in these results files, or folders of them, of one machine. Default: "
        f"those of this machine in {RESULTS} are used where they are of the installed engines, and the rest is "
        "measured.",
    )
    latency.add_argument("--fresh", action="store_true", help="Measure all latencies, also those that are known.")
    latency.add_argument(
        "--plan", default="demo", metavar="NAME|FILE.toml", help="Plan by which to measure, as in `bench`."
    )
    latency.add_argument(
        "--threads", type=arguments.whole_number, default=1, metavar="N", help="Threads of the engine."
    )
    arguments.engines(latency, engines_on(CPU), f"What runs the files. Default: {', '.join(shipped())}.")
    latency.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="Folder of the results.")
    accuracy = parser.add_argument_group("Accuracy")
    accuracy.add_argument(
        "--parity",
        type=Path,
        metavar="FILE",
        help=f"Report of `check` to use. Default: {' and '.join(map(str, PARITY))}, where they are, and what "
        "`check --record` wrote into the manifests.",
    )
    arguments.data(accuracy)
    arguments.images(accuracy)
    arguments.labels(accuracy, "Classes of your own images, where PATH does not give them.")
    arguments.limit(accuracy, "Measure accuracies on the first N images.")
    arguments.trained(accuracy)
    arguments.reference(accuracy)
    arguments.report(parser.add_argument_group("Output"), "reports/choose.json")


def reader_of(name: str) -> Callable[[str], Any]:
    """The reader of a limit, as argparse wants it."""

    def read(text: str) -> Any:
        from fmnist_edge.benchmark import budgets

        try:
            return getattr(budgets, name)(text)
        except InputError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.artifact import collect
    from fmnist_edge.commands.reports import Report
    from fmnist_edge.report.choice.features import feature_lines
    from fmnist_edge.report.choice.gather import gather
    from fmnist_edge.report.choice.ranking import ranked
    from fmnist_edge.report.choice.remarks import remarks

    refuse_unused(options)
    budget = budget_of(options)
    report = Report.of(options)
    artifacts = collect(options.artifacts, for_devices=options.on is not None)
    # Each model with its own data, by the project file beside it.
    groups = by_project(options, artifacts, CHECK)
    own = options.images is not None
    gathered = gather([choice_of(given, budget, group, own_images=own) for given, group in groups])
    kept = ranked([item for item in gathered.candidates if not item.reasons(budget)], budget)
    fallen = [item for item in gathered.candidates if item.reasons(budget)]
    notes = [*feature_lines(kept or fallen, gathered.machine, gathered.runs, budget), *remarks(gathered, kept, budget)]
    written = budgets_written(artifacts, kept, budget) if options.budget is not None else []
    report.write(
        {
            "schema": 1,
            "budget": budget.as_dict(),
            "machine": gathered.machine and {name: gathered.machine.get(name) for name in MACHINE},
            "files": [item.as_dict(budget) for item in [*kept, *fallen]],
            "notes": notes,
        }
    )
    with report.beside():
        show(kept, fallen, budget)
        print("\n".join(["", *notes, *written]))
        report.say_written()
    if not kept:
        raise GateError(f"none of {len(artifacts)} files keeps the limits")


def refuse_unused(options: argparse.Namespace) -> None:
    """Raises InputError that names the options which would have no effect."""
    if options.results and (options.on or options.fresh):
        raise InputError(f"--{'on' if options.on else 'fresh'}: cannot be used with --results, which measures nothing")
    if options.ssh_config and not options.on:
        raise InputError("--ssh-config: cannot be used without --on; leave it out")
    if options.images and options.parity:
        raise InputError("--parity: cannot be used with --images, on which accuracies are measured; leave one out")


def budget_of(options: argparse.Namespace) -> Budget:
    """The limits. Raises InputError when there is none, or one is given twice."""
    from fmnist_edge.benchmark import budgets
    from fmnist_edge.runtime.budget import Budget

    given = {
        name: getattr(options, key.replace("-", "_"))
        for key, (name, _) in budgets.KEYS.items()
        if getattr(options, key.replace("-", "_")) is not None
    }
    if options.budget is None:
        if not given:
            raise InputError(f"no limit; give one or more of --{', --'.join(budgets.KEYS)}, or --budget FILE.toml")
        return Budget(**given)
    read = budgets.read(options.budget)
    if given:
        names = ", ".join(f"--{key}" for key, (name, _) in budgets.KEYS.items() if name in given)
        raise InputError(f"{names}: cannot be used with --budget; write it into {options.budget}")
    return read


def choice_of(
    options: argparse.Namespace, budget: Budget, artifacts: Sequence[Artifact], *, own_images: bool
) -> Choice:
    from fmnist_edge.benchmark import plan
    from fmnist_edge.parity.evaluation import evaluation_of
    from fmnist_edge.report.choice.gather import Choice

    first = artifacts[0]
    return Choice(
        artifacts=artifacts,
        budget=budget,
        engines=tuple(options.engine or shipped()),
        threads=options.threads,
        plan=plan.find(options.plan),
        out=options.out,
        reports=[options.parity] if options.parity else [path for path in PARITY if path.exists()],
        keep=PARITY[-1],
        evaluation=lambda: evaluation_of(
            first.contract,
            options.images,
            options.labels,
            options.limit,
            options.data,
            skip_bad=options.skip_bad,
            of=str(first.path),
        ),
        own_images=own_images,
        bench_images=lambda: shown(bench_images(options, artifacts)),
        trained=options.trained,
        reference=options.reference,
        results=options.results,
        fresh=options.fresh,
        target=target_of(options),
    )


def target_of(options: argparse.Namespace) -> Target | None:
    from fmnist_edge.benchmark.remote.ssh import SshTarget

    more = ("-F", str(options.ssh_config)) if options.ssh_config else ()
    return None if options.on is None else SshTarget(options.on, more)


def show(kept: Sequence[Candidate], fallen: Sequence[Candidate], budget: Budget) -> None:
    if kept:
        print(table(HEADER, [row(item, budget) for item in kept]))
    if fallen:
        print(
            "\n" * bool(kept)
            + table(["file", "why it falls"], [[short(item), item.reasons(budget)[0]] for item in fallen])
        )


def row(item: Candidate, budget: Budget) -> list[str]:
    best, accuracy = item.best(budget), item.accuracy
    drop = None if accuracy is None or accuracy.reference is None else accuracy.accuracy - accuracy.reference
    return [
        short(item),
        NONE if best is None else best.engine,
        NONE if best is None else best.p50.text,
        NONE if best is None else "yes" if best.valid else "no",
        f"{item.size_bytes / 1000:,.1f}",
        NONE if accuracy is None else f"{accuracy.accuracy * 100:.2f}",
        NONE if drop is None else f"{drop * 100:+.2f}",
    ]


def short(item: Candidate) -> str:
    return "/".join(Path(item.artifact).parts[-2:])


def budgets_written(artifacts: Sequence[Artifact], kept: Sequence[Candidate], budget: Budget) -> list[str]:
    """Write the budget into the manifests of the files that keep it; a line that says so."""
    names = {item.artifact for item in kept}
    chosen = [artifact for artifact in artifacts if str(artifact.path) in names]
    for artifact in chosen:
        artifact.record("budget", budget.as_dict())
        line = f"wrote the budget into {len(chosen)} manifest{'s' * (len(chosen) != 1)}"
    if budget.is_about_accuracy:
        line += "; `fmnist-edge check --record` writes the accuracy beside it, for `doctor`"
    return [line] * bool(chosen)
