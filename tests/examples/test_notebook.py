"""examples/own_model.ipynb: every code cell runs, in its order, as in a notebook's kernel; and docs/python.md."""

import json
import re

import pytest
from support import ROOT
from support.plans import tiny_plan

NOTEBOOK = json.loads((ROOT / "examples/own_model.ipynb").read_text(encoding="utf-8"))


def sources(kind):
    return ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == kind]


def test_it_is_a_notebook_without_outputs():
    assert NOTEBOOK["nbformat"] == 4 and NOTEBOOK["metadata"]["language_info"] == {"name": "python"}
    ids = [cell["id"] for cell in NOTEBOOK["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(
        not cell["outputs"] and cell["execution_count"] is None for cell in NOTEBOOK["cells"] if "outputs" in cell
    )


def test_its_links_lead_somewhere():
    links = [link for text in sources("markdown") for link in re.findall(r"\]\(([^)]+)\)", text)]
    assert links and all((ROOT / "examples" / link).is_file() for link in links)


@pytest.mark.slow
def test_every_cell_runs_and_so_does_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for number, cell in enumerate(sources("code")):
        exec(compile(cell, f"cell {number}", "exec"), names)
    printed = capsys.readouterr().out
    accuracies = [float(share) for share in re.findall(r"([\d.]+)% of the test images", printed)]
    assert len(accuracies) == 2 and min(accuracies) > 90, printed
    assert {verdict.outcome for verdict in names["checked"].verdicts} <= {"pass", "inconclusive"}
    assert names["exported"].refused == () and len(names["timed"].measured) == 2
    assert re.search(r"ship exported/digits/\w+\.tflite and \w+\.tflite\.json", printed)
    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (x_train, _), (x_test, y_test) = names["train"], names["test"]
    given = {"model": names["model"], "x_train": x_train, "x_test": x_test, "y_test": y_test}
    quick = block.replace('plan="demo"', f'plan="{tmp_path / "tiny.toml"}"')
    assert quick != block
    (tmp_path / "tiny.toml").write_text(tiny_plan(seconds=0.2, end_to_end_seconds=0.1))
    exec(quick, {**given, "names": list("0123456789")})
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if " pass " in line]) == 4
    assert len([line for line in lines if line.endswith(" µs")]) == 2, "LiteRT runs the TFLite files"
