"""Results that fill every part of a report."""

import pytest
from support.bench_results import result, steady
from support.report_results import CALIBRATION, bare_cell, entry, family, read


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Two devices; cells with and without accuracy, of two batches, stock exports, twins, and a bare one."""
    rich = result(*family(), entry(batch=8, us=900), entry("x", us=7, share=None), bare_cell(), calibration=CALIBRATION)
    busy = [entry(us=1000, rounds=steady(1000, other_cores=1)), entry(precision="int8", us=500)]
    return read(tmp_path_factory.mktemp("whole"), rich, result(*busy, machine={"device": "other"}))
