"""The page: whole, self-contained, and safe whatever a results file says. test_report_browser.py renders it."""

import base64
import hashlib
import json
import sys

import pytest
from support.bench_results import result, round_of
from support.report_page import Parsed, hostile
from support.report_results import HOSTILE, bare_cell, entry, markup_of, read

from fmnist_edge.errors import UnavailableError
from fmnist_edge.report import page as report

SCHEMA_URL = "https://vega.github.io/schema/vega-lite/"


@pytest.fixture(scope="module")
def text(whole):
    return report.page(whole)


def scripts_of(parsed):
    """Those that run, and those that are data, by id."""
    pairs = list(zip(parsed.all("script"), parsed.content["script"], strict=True))
    data = {attributes["id"]: json.loads(text) for attributes, text in pairs if attributes}
    return [text for attributes, text in pairs if not attributes], data


def test_it_is_well_formed_and_loads_nothing(text):
    parsed = Parsed(text)
    for name, attributes in parsed.elements:
        assert name not in ("img", "iframe", "object", "embed", "audio", "video", "base", "svg")
        assert not [key for key in attributes if key.startswith("on") or key in ("src", "srcset", "style", "action")]
    assert [link["href"] for link in parsed.all("link")] == ["data:,"]
    ours = markup_of(text).replace(SCHEMA_URL, "")
    assert "http:" not in ours and "https:" not in ours and "url(" not in ours and "@import" not in ours


def test_only_the_pages_scripts_may_run_and_nothing_may_be_loaded(text):
    parsed = Parsed(text)
    policy = next(meta["content"] for meta in parsed.all("meta") if "http-equiv" in meta)
    running, data = scripts_of(parsed)
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in running]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src {allowed}; img-src data:"
    assert running == report.scripts() and len(running) == 5 and set(data) == {"rows", "charts"}
    assert "sourceMappingURL" not in "".join(running)


def test_the_data_are_the_rows_and_every_mark_is_about_one(whole, text):
    parsed = Parsed(text)
    _, data = scripts_of(parsed)
    ids = [row.id for run in whole for row in run.rows]
    assert [row["id"] for row in data["rows"]] == ids and data["rows"][0]["engine"] == whole[0].rows[0].engine
    marked = {name for _, attributes in parsed.elements for name in attributes.get("data-row", "").split()}
    assert marked == set(ids)
    assert [line["id"] for line in parsed.all("tr") if line.get("id")] == ids
    places = [attributes["data-chart"] for attributes in parsed.all("div") if "data-chart" in attributes]
    assert places == [str(number) for number in range(len(data["charts"]))]


def test_without_javascript_a_chart_says_so(text):
    assert text.count("This chart needs JavaScript.") == text.count("data-chart=") > 4


def test_every_row_and_verdict_is_in_the_table(whole, text):
    assert text.count("too few samples: 200 engine samples") == 1
    assert "other load: other programs used 1.00 cores" in text
    assert text.count(">measured<") == sum(len(run.rows) + 1 for run in whole)  # the heading says so too
    assert 'class="badge INVALID"' in text and "accuracy not known" in text


def test_it_can_be_read_by_those_who_do_not_see_it(text):
    parsed = Parsed(text)
    assert parsed.all("html")[0]["lang"] == "en"
    for chart in (attributes for name, attributes in parsed.elements if attributes.get("class") == "chart"):
        assert chart["role"] == "group" and chart["aria-label"]
    for box in (attributes for name, attributes in parsed.elements if attributes.get("class") == "scroll"):
        assert box["tabindex"] == "0" and box["role"] == "region" and box["aria-label"]
    assert all(heading["scope"] in ("col", "row") for heading in parsed.all("th"))
    assert any(meta.get("name") == "viewport" for meta in parsed.all("meta"))


@pytest.mark.parametrize("cells", [[bare_cell()], [entry(share=None)], [entry()], [entry(batch=8)], [entry(us=0)]])
def test_whatever_is_missing_there_is_a_page(tmp_path, cells):
    Parsed(report.page(read(tmp_path, result(*cells))))


def test_hostile_text_stays_text(tmp_path):
    text = report.page(hostile(tmp_path))
    parsed = Parsed(text)
    running, data = scripts_of(parsed)
    assert running == report.scripts() and not parsed.all("img")
    assert "owned" in parsed.content["title"][0] and "{{7*7}}" in parsed.content["title"][0]
    assert data["rows"][0]["model"] == HOSTILE.replace("\n\x1b", " \ufffd")


def strings_in(value, path=()):
    """(path of keys, string), keys included."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield path, key
            yield from strings_in(item, (*path, key))
    elif isinstance(value, list):
        for item in value:
            yield from strings_in(item, path)
    elif isinstance(value, str):
        yield path, value


def test_text_of_a_file_is_never_an_expression_or_a_field_of_a_chart(tmp_path):
    """Vega takes it as text in data, in the domain of a scale and as the values of a legend, and nowhere else."""
    _, data = scripts_of(Parsed(report.page(hostile(tmp_path))))
    found = [(path, text) for spec in data["charts"] for path, text in strings_in(spec)]
    places = {path[-2:] if path[0] != "datasets" else "data" for path, text in found if "owned" in text}
    assert places == {"data", ("scale", "domain"), ("legend", "values")}
    names = {path[-1] for path, _ in found if path} | {text for _, text in found}
    assert not names & {"href", "url", "image", "usermeta", "calculate"}


@pytest.mark.parametrize("missing", ["altair", "jinja2"])
def test_without_its_packages_it_says_what_to_install(whole, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UnavailableError, match=rf"needs {missing}; run: pip install 'fmnist-edge\[report\]'"):
        report.page(whole)


def test_a_round_of_one_window_has_no_burst(tmp_path):
    short = entry(rounds=[round_of(number, [[9_000 + step for step in range(300)]]) for number in range(5)])
    assert "Rounds were shorter than two seconds" in report.page(read(tmp_path, result(short)))
