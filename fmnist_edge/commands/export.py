"""`fmnist-edge export`: convert models, each file with its manifest."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from fmnist_edge.console import progress_bar, table, track
from fmnist_edge.errors import GateError, InputError

if TYPE_CHECKING:
    from fmnist_edge.artifact import Artifact

__all__ = ["run"]


def run(options: argparse.Namespace) -> None:
    from fmnist_edge import checkpoints
    from fmnist_edge.export.calibration_images import calibration_for
    from fmnist_edge.export.contracts import contract_for
    from fmnist_edge.export.pipeline import export
    from fmnist_edge.export.precisions import select
    from fmnist_edge.files import locked
    from fmnist_edge.runtime.preprocess import Preprocessing

    precisions = select(options.format, options.precision)
    if options.tune_accuracy is not None and options.keep_float:
        raise InputError("--tune-accuracy chooses the layers to keep in float itself; leave --keep-float out")
    if options.tune_accuracy is not None and not any(precision.calibrated for precision in precisions):
        names = ", ".join(precision.filename for precision in precisions)
        raise InputError(f"--tune-accuracy is for calibrated precisions, such as int8; {names} has no use for it")
    if options.tune_accuracy is not None and options.format == "c-array":
        raise InputError("--tune-accuracy judges files that run here, a c-array does not; use it with --format tflite")
    preprocessing = Preprocessing(options.scale, options.mean, options.std)
    artifacts = []
    for name in options.models:
        checkpoint = checkpoints.load(name, folder=options.trained)
        contract = contract_for(checkpoint, preprocessing, options.labels, options.polarity, options.resize)
        calibration = None
        if any(precision.calibrated for precision in precisions):
            calibration = calibration_for(contract, options.calibration, options.data)
        arguments = {"batch": options.batch, "calibration": calibration}
        folder = options.out / checkpoint.name
        with locked(folder):
            for precision in track(precisions, f"exporting {checkpoint.name}"):
                what = (checkpoint, precision, contract, folder)
                if options.tune_accuracy is not None and precision.calibrated and calibration is not None:
                    artifacts.append(tuned(options, *what, **arguments))
                else:
                    artifacts.append(export(*what, **arguments, keep_float=tuple(options.keep_float)))
    print(table(["artifact", "kB", "ops", "float ops", "sha256"], [row(artifact) for artifact in artifacts]))
    short = [item for item in artifacts if item.manifest.recovery and not item.manifest.recovery.passed]
    if short:
        paths = ", ".join(str(artifact.path) for artifact in short)
        raise GateError(f"no remedy kept the loss within {options.tune_accuracy} pp; wrote the best there was: {paths}")


def row(artifact: Artifact) -> list[str]:
    manifest, islands = artifact.manifest, artifact.manifest.float_ops
    return [
        str(artifact.path),
        f"{(manifest.size_bytes or 0) / 1000:,.0f}",
        f"{sum(manifest.op_census.values())}",
        "all" if islands == "all" else str(len(islands)),
        manifest.sha256[:12],
    ]


def tuned(options: argparse.Namespace, checkpoint: Any, precision: Any, *what: Any, **arguments: Any) -> Any:
    """Export with the accuracy won back, and a table of what was tried."""
    from fmnist_edge.explain.explanation import weakest_layers
    from fmnist_edge.export.recovery.judge import judge_for
    from fmnist_edge.export.recovery.ladder import LADDER
    from fmnist_edge.export.recovery.tuned import export_tuned

    contract, calibration = what[0], arguments["calibration"]
    judge = judge_for(contract, calibration, options.data, own=options.calibration is not None)
    with progress_bar(f"tuning {checkpoint.name} {precision.filename}") as progress:
        progress(0, len(LADDER), LADDER[0].name)
        artifact, steps = export_tuned(
            checkpoint,
            precision,
            *what,
            **arguments,
            judge=judge,
            weakest_layers=weakest_layers,
            allowed=options.tune_accuracy / 100,
            budget_s=options.budget * 60,
            report=lambda count, step: progress(
                count, len(LADDER), f"{step.rung}: {step.accuracy_drop * 100:.2f} pp lost"
            ),
        )
    print(f"{artifact.path}: accuracy lost on {len(judge.images):,} images ({judge.source})\n")
    cells = [
        [step.rung, f"{step.accuracy_drop * 100:.2f}", "yes" if step.passed else "no", f"{step.seconds:.0f}"]
        for step in steps
    ]
    print(table(["remedy", "drop pp", "enough", "s"], cells) + "\n")
    return artifact
