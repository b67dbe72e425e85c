"""`emulate --baseline --fail-if-more`: the gate on counted instructions."""

import json
import shutil

import pytest
from support import ROOT

from fmnist_edge.boards.emulation import baseline, results, suite, userland
from fmnist_edge.cli import main
from fmnist_edge.errors import FileError, InputError

COMMITTED = ROOT / "benchmarks/emulated"
ARTIFACT = ROOT / "exported/compact_cnn/int8.tflite"


def counted(share, core="cortex-a72"):
    """The committed cell of ARTIFACT, with its instructions multiplied."""
    result = results.load(COMMITTED / f"{core}.json")
    cell = next(cell for cell in result["cells"] if cell["artifact"] == "compact_cnn/int8.tflite")
    return {**cell, "core": core, "instructions": round(cell["instructions"] * share)}


def test_each_cell_is_held_against_the_same_name_engine_and_core():
    cells = [counted(1.02), counted(0.99, "cortex-a53"), {**counted(1), "artifact": "mine/int8.tflite"}]
    found = baseline.changes(cells, baseline.read(COMMITTED))
    assert [item.core for item in found] == ["cortex-a72", "cortex-a53", "cortex-a72"]
    assert [item.share for item in found] == [pytest.approx(0.02, abs=1e-5), pytest.approx(-0.01, abs=1e-5), None]
    assert [row[3:][2] for row in baseline.rows(found)] == ["+2.00%", "-1.00%", "–"]
    assert baseline.rows(found)[2][3] == "new"


def test_a_baseline_without_any_of_the_cells_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has none of the 1 cells, such as mine/int8\.tflite on cortex-a72"):
        baseline.changes([{**counted(1), "artifact": "mine/int8.tflite"}], baseline.read(COMMITTED))
    with pytest.raises(FileError, match="no counted instructions"):
        baseline.read(tmp_path)


class TestCommand:
    @pytest.fixture
    def call(self, tmp_path, monkeypatch):
        """The command with an emulator that finds 2 % more instructions than are committed."""
        monkeypatch.setattr(userland, "make", lambda *given: None)
        monkeypatch.setattr(suite, "run", lambda *given: [counted(1.02)])
        monkeypatch.chdir(tmp_path)
        return ["emulate", str(ARTIFACT), "--out", str(tmp_path / "out"), "--limit", "1"]

    @pytest.mark.parametrize(("limit", "code"), [("1%", 1), ("3%", 0), (None, 0)])
    def test_more_instructions_than_allowed_exit_1(self, call, capsys, limit, code):
        more = [] if limit is None else ["--fail-if-more", limit]
        assert main([*call, "--baseline", str(COMMITTED), *more]) == code
        out, err = capsys.readouterr()
        assert "+2.00%" in out
        assert ("compact_cnn/int8.tflite on cortex-a72: +2.00% instructions; at most +1.00%" in err) == bool(code)

    def test_a_limit_without_a_baseline_is_a_usage_error(self, call, capsys):
        assert main([*call, "--fail-if-more", "1%"]) == 2
        assert "--baseline DIR" in capsys.readouterr().err

    def test_the_baseline_can_be_the_folder_that_is_written(self, call, tmp_path, capsys, monkeypatch):
        out = tmp_path / "out"
        shutil.copytree(COMMITTED, out)

        def run(*given):
            results.save({**json.loads((out / "cortex-a72.json").read_text()), "cells": [counted(1.02)]}, out)
            return [counted(1.02)]

        monkeypatch.setattr(suite, "run", run)
        assert main([*call, "--baseline", str(out), "--fail-if-more", "1%"]) == 1
