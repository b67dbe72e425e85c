"""`fmnist-edge export`: convert models, each file with its manifest."""

from __future__ import annotations

import argparse

from fmnist_edge.console import table, track

__all__ = ["run"]


def run(options: argparse.Namespace) -> None:
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
            artifact = export(
                checkpoint,
                precision,
                contract,
                folder,
                batch=options.batch,
                calibration=calibration,
                keep_float=tuple(options.keep_float),
            )
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
