"""`report` as scripts see it: files, exit codes, one-line errors."""

import json
import sys

import pytest
from support.bench_results import result
from support.report_results import CALIBRATION, entry, family, saved

from fmnist_edge.cli import main

BLOCK = "# Mine\n<!-- report:pareto -->\n<!-- /report -->\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "benchmarks/results/a-board", one=result(*family(), calibration=CALIBRATION))
    (tmp_path / "README.md").write_text(BLOCK)
    return tmp_path


def fails(capsys, arguments, code, *said):
    capsys.readouterr()
    assert main(["report", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("fmnist-edge: error: ") and err.count("\n") == 1, err
    for part in said:
        assert part in err


def test_without_arguments_all_results_are_shown_and_written(folder, capsys):
    assert main(["report"]) == 0
    out = capsys.readouterr().out
    assert "a-board: a-board/one.json.gz" in out and "| stock_int8.tflite" in out and "Pareto front" in out
    assert "wrote reports/report.html, reports/report.md and reports/report.json" in out
    assert (folder / "reports/report.html").read_text().startswith("<!doctype html>")
    assert (folder / "reports/report.md").read_text().startswith("# Benchmark report\n\n| device")
    assert len(json.loads((folder / "reports/report.json").read_text())["runs"][0]["rows"]) == 6
    assert (folder / "README.md").read_text() == BLOCK


def test_files_and_names_may_be_given(folder, capsys):
    other = saved(folder, other=result(entry(), machine={"device": "slow"}))["other"]
    names = {"--html": "x/a.html", "--markdown": "x/b.md", "--report": "x/c.json"}
    assert main(["report", "benchmarks", str(other), *[part for pair in names.items() for part in pair]]) == 0
    assert "p50 µs by device" in capsys.readouterr().out
    assert sorted(path.name for path in (folder / "x").iterdir()) == ["a.html", "b.md", "c.json"]
    assert not (folder / "reports").exists()


def test_a_readme_is_written_and_checked(folder, capsys):
    fails(capsys, ["--readme", "README.md", "--check"], 1, "not what the results give: pareto; run: fmnist-edge report")
    assert (folder / "README.md").read_text() == BLOCK and not (folder / "reports").exists()
    assert main(["report", "--readme", "README.md"]) == 0
    assert "wrote the blocks of README.md" in capsys.readouterr().out
    assert "[a-board/one.json.gz](benchmarks/results/a-board/one.json.gz)" in (folder / "README.md").read_text()
    assert main(["report", "--readme", "README.md", "--check"]) == 0
    saved(folder / "benchmarks/results/a-board", one=result(entry(us=7)))
    fails(capsys, ["--readme", "README.md", "--check"], 1, "pareto")


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["none.json.gz"], "none.json.gz: no such file"),
        (["empty"], "empty: no results file (*.json.gz) in this folder"),
        (["README.md"], "README.md: not a results file, or a damaged one"),
        (["old.json"], "old.json: result schema is 1, this version reads 2 to 5"),
        (["--check"], "--check needs a README; name it"),
        (["--readme", "none.md"], "none.md: cannot be read"),
        (["--readme", "old.json"], "old.json: has no block from <!-- report:NAME -->"),
        (["--html", "README.md/x.html"], "README.md/.writable: cannot be written"),
    ],
)
def test_bad_input_is_one_line(folder, capsys, arguments, said):
    (folder / "empty").mkdir()
    (folder / "old.json").write_text(json.dumps({**result(), "schema": 1}))
    capsys.readouterr()
    assert main(["report", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.startswith("fmnist-edge: error: ") and said in err


def test_what_is_wrong_with_a_readme_is_said_before_anything_is_written(folder, capsys):
    (folder / "README.md").write_text(BLOCK.replace("pareto", "none"))
    fails(capsys, ["--readme", "README.md"], 2, "unknown block 'none'")
    assert not (folder / "reports").exists()


def test_no_results_at_all(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    fails(capsys, [], 2, "benchmarks/results: no such file; `fmnist-edge bench` writes results")


class TestWithoutThePackagesOfThePage:
    @pytest.fixture(autouse=True)
    def missing(self, monkeypatch):
        for name in ("altair", "jinja2"):
            monkeypatch.setitem(sys.modules, name, None)

    def test_all_but_the_page_is_written_and_one_line_says_what_to_install(self, folder, capsys):
        assert main(["report"]) == 3
        out, err = capsys.readouterr()
        assert "| stock_int8.tflite" in out and "wrote reports/report.md and reports/report.json\n" in out
        said = "the report page needs altair and jinja2; run: pip install 'fmnist-edge[report]'"
        assert err == f"fmnist-edge: error: {said}\n"
        assert sorted(path.name for path in (folder / "reports").iterdir()) == ["report.json", "report.md"]

    def test_a_readme_is_written_and_checked(self, folder, capsys):
        assert main(["report", "--readme", "README.md"]) == 0
        out, err = capsys.readouterr()
        assert "wrote the blocks of README.md" in out and err.startswith("note: no page: ") and err.count("\n") == 1
        assert main(["report", "--readme", "README.md", "--check"]) == 0
