"""A README's blocks are what the results give, or the check says which are not."""

import re
import shutil
import subprocess

import pytest
from support import ROOT
from support.bench_results import result
from support.report_results import family, read

from fmnist_edge.errors import FileError, InputError, UnknownNameError
from fmnist_edge.report import readme
from fmnist_edge.report.markdown import BLOCKS

TEXT = """# Mine

`<!-- report:NAME -->` is a marker, but not in the middle of a line.

<!-- report:runs -->
old
<!-- /report -->

Between.

<!-- report:{} -->
<!-- /report -->
End.
"""

# Every document of ours that has a block.
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if re.search("^<!-- report:", path.read_text(encoding="utf-8"), re.MULTILINE)
)


@pytest.fixture
def found(tmp_path):
    (tmp_path / "results").mkdir()
    return read(tmp_path / "results", result(*family()))


@pytest.mark.parametrize("name", BLOCKS)
def test_every_block_is_written_with_its_file_and_then_stays(found, tmp_path, name):
    path = tmp_path / "README.md"
    text, stale = readme.regenerate(TEXT.format(name), found, path)
    assert stale == ["runs", name]
    assert text.startswith(TEXT[: TEXT.index("old")] + "| device ") and "old" not in text
    assert "\nBetween.\n" in text and text.endswith("<!-- /report -->\nEnd.\n")
    assert "[a-board/0.json.gz](results/0.json.gz)" in text
    assert readme.regenerate(text, found, path) == (text, [])
    assert readme.regenerate(text.replace("tiny_resnet", "tiny", 1), found, path)[0] == text


def test_a_changed_figure_is_stale(found, tmp_path):
    path = tmp_path / "README.md"
    text, _ = readme.regenerate(TEXT.format("latency"), found, path)
    assert "| 200.1 |" in " ".join(text.split())
    assert readme.regenerate(text.replace("200.1", "199.9", 1), found, path) == (text, ["latency"])


def test_only_the_rows_that_fit(found, tmp_path):
    marker = "latency precision=int8,stock_int8 model=tiny_resnet"
    text, _ = readme.regenerate(TEXT.format(marker), found, tmp_path / "README.md")
    block = text[text.index("report:latency") :]
    assert "| int8.tflite" in block and "| stock_int8.tflite" in block
    assert "float32.tflite" not in block and "tiny_resnet_edge" not in block
    assert readme.regenerate(text, found, tmp_path / "README.md")[1] == []


def test_only_the_run_that_is_named(tmp_path):
    runs = read(tmp_path, result(*family()), result(*family()))
    text, _ = readme.regenerate(TEXT.format("latency run=1"), runs, tmp_path / "README.md")
    block = text[text.index("report:latency") :]
    assert "1.json.gz" in block and "0.json.gz" not in block


def test_a_file_outside_is_named_and_not_linked(found, tmp_path):
    text, _ = readme.regenerate(TEXT.format("pareto"), found, tmp_path / "elsewhere/README.md")
    assert "From a-board/0.json.gz;" in text and "](" not in text


@pytest.mark.parametrize(
    "text, error, said",
    [
        ("no marker", InputError, "has no block from <!-- report:NAME -->"),
        (
            TEXT.format("latnecy"),
            UnknownNameError,
            "unknown block 'latnecy'; choose from: runs, .*Did you mean 'latency'",
        ),
        (TEXT.format("latency engien=litert"), InputError, "unknown filter 'engien'; choose from: run, device, model"),
        (TEXT.format("latency engine=none"), InputError, "no measured cell fits engine=none"),
        (
            "<!-- report:runs -->\n<!-- report:latency -->\n<!-- /report -->",
            InputError,
            "block runs has no <!-- /report -->",
        ),
        (TEXT.format("latency") + "<!-- report:runs -->", InputError, "at least one has no <!-- /report -->"),
        (TEXT.format("latency") + "<!-- report:runs x -->\n<!-- /report -->\n", InputError, "its marker is not"),
    ],
)
def test_a_marker_that_is_not_understood_is_one_line(found, tmp_path, text, error, said):
    with pytest.raises(error, match=said) as caught:
        readme.regenerate(text, found, tmp_path / "README.md")
    assert "\n" not in str(caught.value)


def test_a_readme_that_is_no_text(tmp_path):
    (tmp_path / "binary.md").write_bytes(b"\xff\xfe")
    with pytest.raises(FileError, match="not UTF-8 text"):
        readme.read(tmp_path / "binary.md")
    with pytest.raises(FileError, match="cannot be read"):
        readme.read(tmp_path / "none.md")


def test_what_a_block_says_cannot_end_it(found, tmp_path):
    shutil.rmtree(tmp_path / "results")
    (tmp_path / "results").mkdir()
    hostile = read(tmp_path / "results", result(machine={"device": "<!-- /report -->"}))
    text, _ = readme.regenerate(TEXT.format("latency"), hostile, tmp_path / "README.md")
    assert text.count("<!-- /report -->") == 2 and readme.regenerate(text, hostile, tmp_path / "README.md")[1] == []


@pytest.mark.parametrize("page", PAGES)
def test_our_own_documents_are_what_our_results_give(page, monkeypatch):
    from fmnist_edge.cli import main

    monkeypatch.chdir(ROOT)
    assert main(["report", "--readme", page, "--check"]) == 0


def test_make_report_writes_every_document_that_has_a_block():
    assert {"README.md", "docs/latency.md"} <= set(PAGES)
    recipe = (ROOT / "Makefile").read_text().partition("\nreport:")[2]
    listing = re.search(r"^\t(grep -l '.*?' .*?) \|", recipe, re.MULTILINE)[1]
    found = subprocess.run(listing, shell=True, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert sorted(found.split()) == PAGES
