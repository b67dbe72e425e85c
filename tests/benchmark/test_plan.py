import dataclasses
import re
import subprocess
import sys
import tomllib

import pytest
from support import ROOT

from fmnist_edge.benchmark import plan as plans
from fmnist_edge.benchmark.plan import Plan
from fmnist_edge.benchmark.validity import MINIMUM
from fmnist_edge.errors import FileError, InputError, UnknownNameError

FOLDER = ROOT / "benchmarks/plans"
MINE = Plan("mine", 5, 10, 5, 1024, 10, 0.5)
TEXT = (FOLDER / "quick.toml").read_text()


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.toml")), ids=lambda file: file.stem)
def test_every_committed_plan_is_one_that_the_protocol_allows(file):
    plan = plans.find(file.stem)
    assert plan == plans.read(file) and plan.name == file.stem
    for field, least in MINIMUM.items():
        assert getattr(plan, field) >= least


def test_the_plans_are_those_promised():
    assert {"demo", "mlperf-style", "quick", "standard"} <= set(plans.names())
    assert plans.find("quick").seconds >= 10
    assert plans.find("standard").seconds >= 60
    mlperf = plans.find("mlperf-style")
    assert (mlperf.seconds, mlperf.headline, mlperf.batches) == (600, "p90", (1,))
    assert plans.find("demo").estimate_s(cells=2 * 5) < 90


def test_plans_are_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert plans.find("quick").name == "quick"
    own = tmp_path / "benchmarks/plans"
    own.mkdir(parents=True)
    (own / "quick.toml").write_text(TEXT.replace("rounds = 10", "rounds = 7"))
    assert plans.find("quick").rounds == 7
    (tmp_path / "mine.toml").write_text(TEXT)
    assert plans.find("mine.toml").name == "mine"


@pytest.mark.parametrize("cores, counts", [(1, (1,)), (4, (1, 4))])
def test_all_threads_is_every_core_and_never_a_second_one(cores, counts):
    assert MINE.thread_counts(cores) == counts


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "../../up"},
        {"rounds": 0},
        {"rounds": 1.5},
        {"min_queries": True},
        {"warm_up_runs": -1},
        {"seconds": float("nan")},
        {"end_to_end_seconds": "1"},
        {"warm_up_seconds": float("inf")},
        {"cool_down_seconds": -1},
        {"threads": ()},
        {"threads": (0,)},
        {"threads": ("most",)},
        {"threads": 1},
        {"batches": (0,)},
        {"batches": ("all",)},
        {"headline": "p99"},
    ],
)
def test_a_plan_that_cannot_be_is_refused_by_field(change):
    with pytest.raises(InputError, match=next(iter(change))):
        dataclasses.replace(MINE, **change)


@pytest.mark.parametrize(
    "text, kind, words",
    [
        ("rounds = ", FileError, "not TOML"),
        (TEXT + "secnds = 3\n", InputError, "unknown key 'secnds'; did you mean 'seconds'"),
        (TEXT + "colour = 'red'\n", InputError, "unknown key 'colour'; expected rounds, seconds"),
        (TEXT + 'name = "other"\n', InputError, "unknown key 'name'"),
        (TEXT.replace("rounds = 10\n", ""), InputError, "'rounds' is missing"),
        (TEXT.replace("rounds = 10", 'rounds = "5"'), InputError, "rounds is '5'; expected a whole number"),
        (TEXT + "[threads2]\n", InputError, "unknown key 'threads2'; did you mean 'threads'"),
    ],
)
def test_a_file_that_is_no_plan_is_refused_in_one_line(tmp_path, text, kind, words):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(kind) as caught:
        plans.find(str(path))
    assert words in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_and_a_name_that_is_none(tmp_path):
    with pytest.raises(FileError, match="cannot be read"):
        plans.find(str(tmp_path / "none.toml"))
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(FileError, match="not TOML"):
        plans.find(str(tmp_path / "binary.toml"))
    with pytest.raises(UnknownNameError, match=r"choose from: ab, demo, .*Did you mean 'quick'\?"):
        plans.find("quik")


def test_the_wheel_brings_the_plans():
    project = tomllib.loads((FOLDER.parents[1] / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["data-files"]["share/fmnist-edge/plans"] == ["benchmarks/plans/*.toml"]


def test_importing_the_bench_imports_no_engine():
    code = (
        "import sys, fmnist_edge.benchmark.suite, fmnist_edge.benchmark.loop\n"
        "print({m.split('.')[0] for m in sys.modules} & "
        "{'tensorflow', 'keras', 'onnx', 'onnxruntime', 'ai_edge_litert', 'tflite_runtime'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"precision": 2}, "precision is 2; expected a share above 0 and below 1"),
        ({"precision": True}, "precision is True"),
        ({"budget_seconds": None}, "budget_seconds is None; expected seconds above 0, beside precision"),
        ({"precision": None}, "precision is None"),
        ({"budget_seconds": 0}, "budget_seconds is 0"),
        ({"headline": "p90"}, "headline is 'p90'; expected 'p50'"),
    ],
)
def test_a_precision_comes_with_a_budget_and_is_of_the_p50(changes, words):
    fields = {"precision": 0.02, "budget_seconds": 60, **changes}
    with pytest.raises(InputError, match=re.escape(words)):
        plans.Plan("mine", 5, 10, 5, 1024, 10, 0.5, **fields)
