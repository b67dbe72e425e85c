"""What `export` was asked for, as a job for the process that converts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fmnist_edge.catalog.precisions import Precision
    from fmnist_edge.conversion.job import Job
    from fmnist_edge.exporters.options import Options
    from fmnist_edge.runtime.images import Fill

__all__ = ["job_for"]

BUDGET_MIN = 10.0


def several(value: Sequence[float] | float | None) -> tuple[float, ...]:
    """A project file has one number where the command line has a list of one."""
    return () if value is None else (value,) if isinstance(value, (int, float)) else tuple(value)


def as_colour(value: Fill | tuple[float, ...] | float) -> Fill:
    """The numbers of a project file are floats. What is no whole number stays, and is refused as a colour."""
    whole = [int(item) if item == int(item) else item for item in several(value)]
    return tuple(whole) if isinstance(value, tuple) else whole[0]  # type: ignore[return-value]


def job_for(options: argparse.Namespace, model: str, precisions: Sequence[Precision], settings: Options) -> Job:
    from fmnist_edge.conversion.job import Job
    from fmnist_edge.exporters.tasks import TaskOptions

    return Job(
        model=model,
        trained=str(options.trained),
        out=str(options.out),
        precisions=[[precision.format, precision.name] for precision in precisions],
        batch=options.batch,
        data=options.data,
        calibration=options.calibration,
        skip_bad=options.skip_bad,
        keep_float=options.keep_float,
        tune_accuracy=options.tune_accuracy,
        budget_min=BUDGET_MIN if options.budget is None else options.budget,
        labels=None if options.labels is None else str(options.labels),
        polarity=options.polarity,
        resize=options.resize or "bilinear",
        fit=options.fit or "stretch",
        fill=as_colour(options.fill or 0),
        preprocess=options.preprocess,
        channel_order=options.channel_order,
        scale=options.scale,
        mean=options.mean,
        std=options.std,
        strict=options.strict,
        task=TaskOptions(options.task, options.positive, several(options.threshold), options.input),
        options=settings,
    )
