"""The page in a headless Chromium: charts, filters, sorting, width, colours; and that nothing hostile runs.

Tests are skipped where no Chromium or Chrome is on the PATH.
"""

import html
import json
import re
import shutil
import subprocess

import pytest
from support.bench_results import result
from support.report_page import hostile
from support.report_results import CALIBRATION, HOSTILE, entry, read

from fmnist_edge.report import page as report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on PATH")]

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update",
    "--disable-background-networking", "--disable-sync", "--allow-file-access-from-files", "--enable-logging=stderr",
]  # fmt: skip

# The page in a frame as wide as a phone. What this script finds is read from the outer document.
PROBE = """<!doctype html>
<iframe id=f src="page.html" style="width:390px;height:800px;border:0"></iframe><pre id=found></pre>
<script>
const later = (ms) => new Promise((done) => setTimeout(done, ms));
async function until(test) {
  for (let tries = 0; tries < 400 && !test(); tries++) await later(50);
}
async function probe() {
  const view = document.getElementById("f").contentWindow;
  const page = view.document;
  const found = {};
  const all = (selector, within = page) => [...within.querySelectorAll(selector)];
  const seen = (selector) => all(selector).filter((item) => item.getClientRects().length).length;
  const fire = (target, kind, name, more = {}) => {
    const box = target.getBoundingClientRect();
    const at = { bubbles: true, cancelable: true, clientX: box.x + box.width / 2, clientY: box.y + box.height / 2 };
    target.dispatchEvent(new view[kind](name, { ...at, ...more }));
  };
  view.dispatchEvent(new view.Event("beforeprint")); // draws all charts
  await until(() => all(".chart").every((chart) => chart.querySelector("svg")));
  await later(300);
  found.charts = all(".chart").length;
  found.drawn = all(".chart svg").length;
  found.failed = all(".chart").map((chart) => chart.textContent).filter((text) => text.includes("could not be drawn"));
  found.title = page.title;
  found.beyond = page.documentElement.scrollWidth - page.documentElement.clientWidth;
  found.widths = all(".chart svg").map((svg) => svg.getBoundingClientRect().width);
  const bottom = (item) => item.getBoundingClientRect().bottom;
  found.cut = all(".chart svg").filter((svg) => all("text", svg).some((text) => bottom(text) > bottom(svg))).length;
  found.rows = seen("tr[id]");
  found.filters = all("legend").map((legend) => legend.textContent);
  found.links = all(".chart a, .chart img, .chart image, .chart foreignObject").length;

  const chart = page.querySelector(".chart");
  const marks = () => all(".mark-symbol.role-mark path", chart);
  const faded = () => marks().filter((mark) => mark.getAttribute("opacity") === "0.08").length;
  const texts = () => all("svg text", chart).map((text) => text.textContent);
  found.marks = marks().length;
  found.texts = texts();
  found.ink = getComputedStyle(all(".role-axis-label text", chart)[0]).fill;
  found.number = getComputedStyle(all(".mark-text.role-mark text", chart).at(-1)).fill;
  fire(marks()[0], "PointerEvent", "pointermove");
  await until(() => page.querySelector("#vg-tooltip-element.visible"));
  const tooltip = page.getElementById("vg-tooltip-element");
  found.tooltip = tooltip?.textContent;
  found.elements = [...new Set(all("*", tooltip ?? chart).map((item) => item.localName))];

  view.HTMLAnchorElement.prototype.click = function () { found.png = [this.download, this.href]; };
  all(".tools button", chart)[1].click();
  await until(() => found.png);
  const before = texts().join();
  fire(chart.querySelector("svg .background"), "WheelEvent", "wheel", { deltaY: -300, ctrlKey: true });
  await later(300);
  found.zoomed = before !== texts().join();
  all(".tools button", chart)[0].click();
  await until(() => chart.querySelector("svg"));
  await later(300);
  found.unzoomed = before === texts().join();
  const entry = all(".role-legend-label text", chart).find((text) => text.textContent === "int8");
  if (entry) {
    fire(entry, "MouseEvent", "click");
    await until(faded);
    found.highlighted = marks().length - faded();
    fire(entry, "MouseEvent", "click");
    await until(() => !faded());
  }

  const tick = all("input[name=precision]").find((box) => box.value === "int8");
  if (tick) {
    tick.click();
    await until(faded);
    await later(200);
    found.ticked = seen("tr[id]");
    found.unfaded = marks().length - faded();
    found.lines = all(".panels .mark-line.role-mark path").length;
    found.count = page.getElementById("count").textContent;
    page.querySelector("#filters button").click();
    await until(() => !faded());
  }
  found.reset = seen("tr[id]");
  const table = page.querySelector("tr[id]").closest("table");
  const heading = all("th button", table).find((button) => button.textContent === "p50 µs");
  const order = () => [...table.tBodies[0].rows].map((row) => row.id);
  heading.click();
  found.ascending = order();
  heading.click();
  found.descending = order();
  found.sort = heading.closest("th").getAttribute("aria-sort");
  fire(marks()[0], "PointerEvent", "pointerdown");
  fire(marks()[0], "MouseEvent", "click");
  await later(100);
  found.shown = all("tr.found").length;
  found.loaded = view.performance.getEntriesByType("resource").map((item) => item.name);
  return found;
}
onload = async () => {
  let found;
  try { found = await probe(); } catch (error) { found = { error: String(error.stack ?? error) }; }
  document.getElementById("found").textContent = JSON.stringify(found);
};
</script>"""


def rendered(folder, runs, *flags):
    """What the probe found, with the lines that the browser's console printed as `console`."""
    (folder / "page.html").write_text(report.page(runs), encoding="utf-8")
    (folder / "probe.html").write_text(PROBE, encoding="utf-8")
    command = [
        BROWSER, *FLAGS, *flags, f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=60000", "--dump-dom",
        f"file://{folder / 'probe.html'}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    found = json.loads(html.unescape(re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)[1]))
    assert "error" not in found, found["error"]
    return {**found, "console": [line for line in done.stderr.splitlines() if "CONSOLE" in line]}


def colour(theme, name):
    """A custom property of page.css, as a browser writes it."""
    block = report.asset("page.css").split("@media (prefers-color-scheme: dark)")[theme == "dark"]
    value = re.search(rf"--{name}: #(\w\w)(\w\w)(\w\w);", block)
    return f"rgb({', '.join(str(int(part, 16)) for part in value.groups())})"


def test_charts_filters_and_sorting_work_and_a_phone_is_wide_enough(whole, tmp_path):
    found = rendered(tmp_path, whole)
    rows = {row.id: row for run in whole for row in run.rows}
    int8 = sum(row.precision == "int8" for row in rows.values())
    assert found["console"] == [] and found["loaded"] == []
    assert found["charts"] == found["drawn"] > 5 and found["failed"] == []
    assert found["beyond"] == found["cut"] == 0 and all(250 < width <= 374 for width in found["widths"])
    assert found["filters"] == ["device", "model", "precision", "engine", "batch", "validity"]
    assert (found["rows"], found["ticked"], found["reset"]) == (len(rows), int8, len(rows))
    assert found["count"] == f"{int8} of {len(rows)} cells"
    by_latency = sorted((row for row in rows.values() if row.device == "a-board"), key=lambda row: row.p50_us)
    assert found["ascending"] == [row.id for row in by_latency]
    assert found["descending"] == found["ascending"][::-1] and found["sort"] == "descending"
    assert found["shown"] == 1

    first = [row for row in rows.values() if row.device == "a-board" and row.batch == 1 and row.accuracy]
    assert found["marks"] == len(first) == 6
    assert found["unfaded"] == sum(row.precision == "int8" for row in first) == 2
    assert found["highlighted"] == 3  # the legend's colour is of int8 and stock_int8
    assert found["lines"] == int8
    assert found["zoomed"] and found["unzoomed"]
    assert {"float32", "int8", "litert", "VALID", "stock, VALID", "1", "2", "3", "accuracy, %"} <= set(found["texts"])
    assert "tiny_resnet" in found["tooltip"] and "p99 µs" in found["tooltip"]
    name, picture = found["png"]
    assert name == "chart-0.png" and picture.startswith("data:image/png;base64,") and len(picture) > 5000
    assert found["ink"] == found["number"] == colour("light", "ink")


def test_in_the_dark_charts_have_the_colours_of_the_page(tmp_path):
    found = rendered(tmp_path, read(tmp_path, result(entry())), "--blink-settings=preferredColorScheme=0")
    assert found["ink"] == found["number"] == colour("dark", "ink") != colour("light", "ink")


def test_nothing_hostile_runs(tmp_path):
    found = rendered(tmp_path, hostile(tmp_path))
    assert found["title"].startswith("Benchmark report: </script>") and found["loaded"] == []
    assert found["console"] == [] and found["failed"] == []
    assert found["beyond"] == 0 and found["rows"] == 2, found
    assert HOSTILE[:40] in found["tooltip"] and "{{7*7}}${datum.id}" in found["tooltip"]
    assert found["links"] == 0 and set(found["elements"]) <= {"h2", "table", "tbody", "tr", "td"}
    assert any(text.startswith("</script>") for text in found["texts"])  # in a legend


def test_a_name_is_shown_as_it_is(tmp_path):
    """Whatever Vega, JavaScript or a browser might see in it."""
    names = ["datum.id", "width * 2", "https://example.org/", "1e3", "'] || alert(1)", "hidden"]
    cells = [entry(name, name, engine=name, us=us) for us, name in enumerate(names, 50)]
    found = rendered(tmp_path, read(tmp_path, result(*cells, entry("other", "int8"), calibration=CALIBRATION)))
    assert found["console"] == [] and found["failed"] == [] and found["links"] == 0
    assert {name: found["texts"].count(name) for name in names} == dict.fromkeys(names, 2)  # precision and engine
    assert (found["marks"], found["highlighted"]) == (len(names) + 1, 1)
