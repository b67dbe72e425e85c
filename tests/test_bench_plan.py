import dataclasses
import json
import subprocess
import sys

import pytest

from fmnist_edge.bench.plan import QUICK, Plan
from fmnist_edge.bench.results import SAMPLES_FOR_P99
from fmnist_edge.errors import InputError


def test_quick_is_interleaved_warm_and_gives_a_p99():
    assert QUICK.rounds >= 5
    assert QUICK.warm_up_runs >= 10
    assert QUICK.rounds * QUICK.min_samples_per_round >= SAMPLES_FOR_P99
    assert QUICK.threads == (1, "all")


def test_the_demo_fits_into_a_minute_and_a_half():
    assert QUICK.seconds(cells=2 * 5 * 2) < 90


@pytest.mark.parametrize("cores, counts", [(1, (1,)), (4, (1, 4))])
def test_all_threads_is_every_core_and_never_a_second_one(cores, counts):
    assert QUICK.thread_counts(cores) == counts


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"rounds": 0},
        {"rounds": 1.5},
        {"min_samples_per_round": True},
        {"warm_up_runs": -1},
        {"seconds_per_round": float("nan")},
        {"seconds_per_round": "1"},
        {"warm_up_seconds": float("inf")},
        {"threads": ()},
        {"threads": (0,)},
        {"threads": ("most",)},
    ],
)
def test_a_plan_that_cannot_be_is_refused_by_field(change):
    with pytest.raises(InputError, match=next(iter(change))):
        dataclasses.replace(QUICK, **change)


def test_a_plan_survives_json():
    stored = json.loads(json.dumps(dataclasses.asdict(QUICK)))
    assert Plan(**{**stored, "threads": tuple(stored["threads"])}) == QUICK


def test_importing_the_bench_imports_no_engine():
    code = (
        "import sys, fmnist_edge.bench.suite, fmnist_edge.bench.loop\n"
        "print({m.split('.')[0] for m in sys.modules} & "
        "{'tensorflow', 'keras', 'onnx', 'onnxruntime', 'ai_edge_litert', 'tflite_runtime'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
