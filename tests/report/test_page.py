"""The page: whole, self-contained, deaf to what a results file would have it do; rendered where there is a browser."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from support import ROOT
from support.bench_results import result, round_of, steady
from support.report_results import CALIBRATION, HOSTILE, bare_cell, entry, family, read

from fmnist_edge.report import page as report
from fmnist_edge.report.markup import VOID, Markup, data, tag

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Parsed(HTMLParser):
    """Elements with their attributes; an element that is closed out of order fails."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.content, self.problems = [], [], {}, []
        self.feed(text)
        self.close()
        assert not self.open and not self.problems, (self.open, self.problems)

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name):
        if not self.open or self.open.pop() != name:
            self.problems.append((name, self.getpos()))

    def handle_data(self, text):
        if self.open:
            self.content.setdefault(self.open[-1], []).append(text)

    def all(self, name):
        return [attributes for found, attributes in self.elements if found == name]


@pytest.fixture
def whole(tmp_path):
    """Two devices; cells with and without accuracy, of two batches, stock exports, twins, and a bare one."""
    rich = result(*family(), entry(batch=8, us=900), entry("x", us=7, share=None), bare_cell(), calibration=CALIBRATION)
    busy = [entry(us=1000, rounds=steady(1000, other_cores=1)), entry(precision="int8", us=500)]
    return read(tmp_path, rich, result(*busy, machine={"device": "other"}))


def test_it_is_well_formed_and_loads_nothing(whole):
    text = report.page(whole)
    parsed = Parsed(text)
    assert "http:" not in text and "https:" not in text and "url(" not in text and "@import" not in text
    for name, attributes in parsed.elements:
        assert name not in ("img", "iframe", "object", "embed", "audio", "video", "base")
        assert not [key for key in attributes if key.startswith("on") or key in ("src", "srcset", "style", "action")]
    assert [link["href"] for link in parsed.all("link")] == ["data:,"]


def test_only_our_script_may_run_and_nothing_may_be_loaded(whole):
    parsed = Parsed(report.page(whole))
    policy = next(meta["content"] for meta in parsed.all("meta") if "http-equiv" in meta)
    ours = parsed.content["script"][-1]
    digest = base64.b64encode(hashlib.sha256(ours.encode()).digest()).decode()
    assert policy.startswith("default-src 'none';") and f"script-src 'sha256-{digest}';" in policy
    assert len(parsed.all("script")) == 2


def test_the_data_are_the_rows_and_every_mark_is_about_one(whole):
    parsed = Parsed(report.page(whole))
    rows = json.loads(parsed.content["script"][0])
    ids = [row.id for run in whole for row in run.rows]
    assert [row["id"] for row in rows] == ids and rows[0]["p50_us"] == whole[0].rows[0].p50_us
    marked = {name for _, attributes in parsed.elements for name in attributes.get("data-row", "").split()}
    assert marked == set(ids)
    assert [line["id"] for line in parsed.all("tr") if line.get("id")] == ids


def test_every_row_and_verdict_is_in_the_table(whole):
    text = report.page(whole)
    assert text.count("too few samples: 200 engine samples") == 1
    assert "other load: other programs used 1.00 cores" in text
    assert text.count(">measured<") == sum(len(run.rows) + 1 for run in whole)  # the heading says so too
    assert 'class="badge INVALID"' in text and "accuracy not known" in text


def test_it_can_be_read_by_those_who_do_not_see_it(whole):
    parsed = Parsed(report.page(whole))
    assert parsed.all("html")[0]["lang"] == "en"
    for chart in parsed.all("svg"):
        assert chart.get("aria-hidden") == "true" or (chart["role"] == "img" and chart["aria-label"])
    for box in (attributes for name, attributes in parsed.elements if attributes.get("class") == "scroll"):
        assert box["tabindex"] == "0" and box["role"] == "region" and box["aria-label"]
    assert all(heading["scope"] in ("col", "row") for heading in parsed.all("th"))
    assert any(meta.get("name") == "viewport" for meta in parsed.all("meta"))


def test_the_front_is_drawn_through_its_members(tmp_path):
    (run,) = read(tmp_path)
    text = report.page([run])
    members = sorted((row for row in run.rows if row.front), key=lambda row: row.p50_us)
    assert [row.p50_us < 51 for row in members] == [True, False, False]
    line = re.search(r'<path d="M([\d.]+) ([\d.]+)([HV\d.]+)" class="front">', text)
    drawn = [tuple(map(float, pair)) for pair in re.findall(r"H([\d.]+)V([\d.]+)", line[3])]
    assert len(drawn) == len(members) - 1
    for row, (x, y) in zip(members, [(float(line[1]), float(line[2])), *drawn], strict=True):
        assert f'<g transform="translate({x:.1f} {y:.1f})" data-row="{row.id}">' in text
    assert "Pareto front of VALID cells" in text


@pytest.mark.parametrize("cells", [[bare_cell()], [entry(share=None)], [entry()], [entry(batch=8)], [entry(us=0)]])
def test_whatever_is_missing_there_is_a_page(tmp_path, cells):
    Parsed(report.page(read(tmp_path, result(*cells))))


def hostile(folder):
    """A result that is hostile wherever text is shown, and valid."""
    cells = [
        entry(
            HOSTILE, HOSTILE, engine=HOSTILE, format=HOSTILE, engine_version=HOSTILE, artifact=f"{HOSTILE}/{HOSTILE}"
        ),
        entry(HOSTILE, f"stock_{HOSTILE}", engine=HOSTILE),
        entry(status="failed", reason=HOSTILE, rounds=[]),
    ]
    machine = {"device": HOSTILE, "cpu": HOSTILE, "os": HOSTILE, "packages": {HOSTILE: HOSTILE}}
    made = result(*cells, plan={"name": HOSTILE}, machine=machine, created=HOSTILE, calibration=CALIBRATION)
    reason = {"rule": HOSTILE, "text": HOSTILE}
    made["verdict"] = {"status": HOSTILE, "reasons": [reason], "unseen": [HOSTILE]}
    made["cells"][0]["verdict"] = {"status": "INVALID", "reasons": [reason], "unseen": []}
    return read(folder, made)


def test_hostile_text_stays_text(tmp_path):
    text = report.page(hostile(tmp_path))
    parsed = Parsed(text)
    assert len(parsed.all("script")) == 2 and not parsed.all("img")
    assert "owned" in parsed.content["title"][0] and "$data" in parsed.content["title"][0]
    (row, _) = json.loads(parsed.content["script"][0])
    assert row["model"] == HOSTILE.replace("\n\x1b", " \ufffd")


def test_markup_escapes_all_but_itself():
    assert tag("a", "<b>", Markup("<i>"), None, 0.5, title='"<') == '<a title="&quot;&lt;">&lt;b&gt;<i>0.5</a>'
    assert tag("input", type_="x", checked=True, hidden=False, id=None) == '<input type="x" checked>'
    assert (
        "<" not in data(["</script>", "<!--", "&"]) and json.loads(data(["</script>", "<!--", "&"]))[0] == "</script>"
    )


# The page in a frame as wide as a phone; what this script finds is read from the outer document.
PROBE = """<!doctype html>
<iframe id=f src="page.html" style="width:390px;height:800px;border:0"></iframe><pre id=found></pre>
<script>
onload = () => {
  const page = document.getElementById("f").contentDocument;
  const view = document.getElementById("f").contentWindow;
  const found = {};
  const seen = (selector) => [...page.querySelectorAll(selector)].filter((item) => item.getClientRects().length).length;
  found.title = page.title;
  found.beyond = page.documentElement.scrollWidth - page.documentElement.clientWidth;
  found.rows = seen("tr[id]");
  found.loaded = view.performance.getEntriesByType("resource").length;
  found.filters = [...page.querySelectorAll("legend")].map((legend) => legend.textContent);
  const tick = [...page.querySelectorAll("input[name=precision]")].find((box) => box.value === "int8");
  if (tick) {
    tick.click();
    found.ticked = seen("tr[id]");
    found.faded = page.querySelectorAll(".fades .faded").length > 0;
    found.count = page.getElementById("count").textContent;
    page.querySelector("#filters button").click();
  }
  setTimeout(() => {
    found.reset = seen("tr[id]");
    const table = page.querySelector("tr[id]").closest("table");
    const heading = [...table.querySelectorAll("th button")].find((button) => button.textContent === "p50 µs");
    const order = () => [...table.tBodies[0].rows].map((row) => row.id);
    heading.click();
    found.ascending = order();
    heading.click();
    found.descending = order();
    found.sort = heading.closest("th").getAttribute("aria-sort");
    page.querySelector(".fades [data-row]").dispatchEvent(new view.MouseEvent("click", {bubbles: true}));
    found.shown = page.querySelectorAll("tr.found").length;
    document.getElementById("found").textContent = JSON.stringify(found);
  }, 50);
};
</script>"""


def rendered(folder, runs):
    """What the probe found in a headless browser."""
    (folder / "page.html").write_text(report.page(runs), encoding="utf-8")
    (folder / "probe.html").write_text(PROBE, encoding="utf-8")
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--allow-file-access-from-files",
        "--virtual-time-budget=5000",
    ]
    command = [
        BROWSER,
        *options,
        f"--user-data-dir={folder / 'profile'}",
        "--dump-dom",
        f"file://{folder / 'probe.html'}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    return json.loads("".join(Parsed(done.stdout.replace("<!DOCTYPE html>", "")).content["pre"]))


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on PATH")
class TestInABrowser:
    def test_filters_and_sorting_work_and_a_phone_is_wide_enough(self, whole, tmp_path):
        found = rendered(tmp_path, whole)
        rows = {row.id: row for run in whole for row in run.rows}
        int8 = sum(row.precision == "int8" for row in rows.values())
        assert found["beyond"] == 0 and found["loaded"] == 0
        assert found["filters"] == ["device", "model", "precision", "engine", "batch", "validity"]
        assert (found["rows"], found["ticked"], found["reset"]) == (len(rows), int8, len(rows))
        assert found["faded"] and found["count"] == f"{int8} of {len(rows)} cells"
        by_latency = sorted((row for row in rows.values() if row.device == "a-board"), key=lambda row: row.p50_us)
        assert found["ascending"] == [row.id for row in by_latency]
        assert found["descending"] == found["ascending"][::-1] and found["sort"] == "descending"
        assert found["shown"] == 1

    def test_nothing_hostile_runs(self, tmp_path):
        found = rendered(tmp_path, hostile(tmp_path))
        assert found["title"].startswith("Benchmark report: </script>") and found["loaded"] == 0
        assert found["beyond"] == 0 and found["rows"] == 2, found


def test_the_wheel_brings_the_parts_of_the_page():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "report/assets/*" in project["tool"]["setuptools"]["package-data"]["fmnist_edge"]
    for name in ("page.html", "page.css", "page.js"):
        assert report.asset(name)


def test_a_round_of_one_window_has_no_burst(tmp_path):
    short = entry(rounds=[round_of(number, [[9_000 + step for step in range(300)]]) for number in range(5)])
    assert "Rounds were shorter than two seconds" in report.page(read(tmp_path, result(short)))
