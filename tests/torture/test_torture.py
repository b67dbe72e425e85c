"""The short form of `make torture`: a few hostile files, kills and numerical edges, and that it would notice."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import ROOT

from fmnist_edge.data import fashion_mnist
from torture.corpus import cases
from torture.edges import EDGES, compare, engines_of
from torture.fuzz import PARSERS, parse
from torture.regressions import FILES, replay
from torture.server import Outcome

TESTS = ROOT / "tests"


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The parts that fork, in a process of their own: pytest's has TensorFlow's threads by now."""
    folder = tmp_path_factory.mktemp("torture")
    code = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from torture import __main__ as torture\n"
        f"torture.OUT = Path({str(folder)!r})\n"
        "codes = [torture.main(part.split()) for part in sys.argv[1:]]\n"
        f"Path({str(folder / 'codes')!r}).write_text(json.dumps(codes))\n"
    )
    parts = ["hostile --each 1 --part 3/5", "interrupt --kills 3 --command export"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
    subprocess.run([sys.executable, "-c", code, *parts], env=environment, check=True, capture_output=True)
    return folder


@pytest.mark.slow
def test_no_hostile_file_breaks_a_promise(built):
    (rows,) = (json.loads(path.read_text()) for path in built.glob("hostile-*.json"))
    assert {row["format"] for row in rows} == {"tflite", "onnx", "keras", "h5", "saved_model"}
    assert {"classify alone", "classify", "check", "doctor", "explain", "export"} == {row["command"] for row in rows}
    assert len({row["attack"] for row in rows}) > 10
    assert [row for row in rows if row["faults"]] == []
    assert sum(row["code"] == 2 for row in rows) > len(rows) / 2


@pytest.mark.slow
def test_kills_leave_the_old_or_the_new_file_and_the_next_run_goes_through(built):
    rows = [row for path in built.glob("interrupt-*.json") for row in json.loads(path.read_text())]
    assert len(rows) == 3 and any(row["killed"] for row in rows)
    assert [row for row in rows if row["faults"]] == []


@pytest.mark.slow
def test_the_corpus_is_the_same_each_time(built):
    first, second = (list(cases(built / "bases", 1, seed=5)) for _ in range(2))
    assert [(case.name, case.content) for case in first] == [(case.name, case.content) for case in second]
    assert sum(case.content != case.base.read_bytes() for case in first) > 0.95 * len(first)


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_what_broke_something_once_does_not_again(file):
    replay(file)


@pytest.mark.slow
def test_parsers_that_are_fuzzed_read_the_sound_files(built):
    import zipfile

    for name, (_, sound) in PARSERS.items():
        file = built / "bases" / sound
        content = zipfile.ZipFile(file).read("config.json") if file.suffix == ".keras" else file.read_bytes()
        parse(name, content)
        for length in range(0, len(content), 301):
            parse(name, content[:length])


@pytest.mark.parametrize(
    ("outcome", "fault"),
    [
        (Outcome(-11, 1.0), "crash (SIGSEGV)"),
        (Outcome(-9, 100.0, hung=True), "hang"),
        (Outcome(70, 1.0, said="fmnist-edge: internal error: KeyError: 'x'\n"), "internal error"),
        (Outcome(71, 1.0, said="Traceback (most recent call last):\n  x\n"), "traceback"),
        (Outcome(2, 1.0, said="fmnist-edge: error: a\nb\n"), "refusal that is not one line"),
        (Outcome(2, 1.0), "refusal that is not one line"),
        (Outcome(0, 1.0, suspect=["wrote '/etc/passwd'"]), "suspect: wrote '/etc/passwd'"),
    ],
)
def test_what_is_a_fault(outcome, fault):
    assert outcome.faults() == [fault]
    assert Outcome(2, 1.0, said="fmnist-edge: error: one line\n").faults() == []


@pytest.mark.parametrize(
    "name",
    ["float32.tflite", "int8.tflite", "int16x8.tflite", "dynamic.tflite", "dynamic_int8.tflite",
     "float32.onnx", "batch8.onnx", "dynamic.onnx", "float32.keras", "float32.ncnn", "float32.mnn"],
)  # fmt: skip
def test_images_at_the_edges_are_answered_or_refused_alike_in_every_engine(linear_models, name, monkeypatch):
    if name not in linear_models:
        pytest.skip("not installed: MNN")
    image = fashion_mnist.load("test").images[0].reshape(28, 28)
    engines = engines_of(linear_models[name])
    if not engines:
        pytest.skip(f"no engine for {name} is installed")
    monkeypatch.setattr(gc, "collect", lambda: 0)  # a second for each engine, for memory that these models do not fill
    rows = list(compare(linear_models[name], engines, image))
    assert len(rows) == len(engines) * len(EDGES)
    assert [row for row in rows if row.faults] == []
    assert {row.outcome for row in rows} == {"answered", "refused"}


def test_an_engine_that_answers_otherwise_is_noticed(linear_models, monkeypatch):
    from fmnist_edge.runtime.engines.numpy.engine import NumpyEngine

    run = NumpyEngine.run
    monkeypatch.setattr(NumpyEngine, "run", lambda self, batch: run(self, batch) + np.float32(batch.mean() > 0.9))
    image = fashion_mnist.load("test").images[0].reshape(28, 28)
    rows = list(compare(linear_models["float32.tflite"], ["litert", "numpy"], image))
    assert {row.edge for row in rows if row.faults} == {"all 255", "all 1.0"}
