// Filters, sorting, and from a mark in a chart to its row. Without this script the page shows everything but charts.
"use strict";

const rows = JSON.parse(document.getElementById("rows").textContent);
const FIELDS = ["device", "kind", "model", "precision", "engine", "threads", "batch", "validity"];
const form = document.getElementById("filters");
const count = document.getElementById("count");

const text = (value) => (value === null ? "not known" : String(value));

function make(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

function choices(field) {
  const values = [...new Set(rows.map((row) => text(row[field])))];
  return values.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
}

// A field in which all rows are alike is no choice.
function buildFilters() {
  for (const field of FIELDS) {
    const values = choices(field);
    if (values.length < 2) continue;
    const labels = values.map((value) =>
      make("label", {}, make("input", { type: "checkbox", name: field, value }), value));
    form.append(make("fieldset", {}, make("legend", {}, field), ...labels));
  }
  if (!form.children.length) return;
  form.append(make("button", { type: "reset" }, "Show all"));
  form.addEventListener("change", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  form.closest("details").hidden = false;
  form.closest("details").open = wideScreen.matches;
  apply(); // a browser that reloads keeps what was ticked
}

// Nothing ticked in a field is no restriction.
function chosen() {
  const wanted = new Map();
  for (const [field, value] of new FormData(form)) {
    wanted.set(field, (wanted.get(field) ?? new Set()).add(value));
  }
  const fits = (row) => [...wanted].every(([field, values]) => values.has(text(row[field])));
  return new Set(rows.filter(fits).map((row) => row.id));
}

// Charts fade or drop the hidden rows; everything else that is about hidden rows alone goes.
function apply() {
  const shown = chosen();
  for (const element of document.querySelectorAll("[data-row]")) {
    element.classList.toggle("out", !element.dataset.row.split(" ").some((id) => shown.has(id)));
  }
  for (const group of document.querySelectorAll("[data-group]")) {
    group.classList.toggle("out", !group.querySelector("[data-row]:not(.out)"));
  }
  hideInCharts(rows.map((row) => row.id).filter((id) => !shown.has(id)));
  count.textContent = `${shown.size} of ${rows.length} cells`;
}

function compare(a, b) {
  const [x, y] = [Number(a), Number(b)];
  return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
}

function sort(button) {
  const heading = button.closest("th");
  const table = heading.closest("table");
  const descending = heading.getAttribute("aria-sort") === "ascending";
  for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const body = table.tBodies[0];
  const key = (row) => row.cells[heading.cellIndex].dataset.sort ?? "";
  const ordered = [...body.rows].sort((a, b) => {
    if (key(a) === "" || key(b) === "") return (key(a) === "") - (key(b) === ""); // unknown last, either way
    return (descending ? -1 : 1) * compare(key(a), key(b));
  });
  body.append(...ordered);
}

function showRow(id) {
  for (const row of document.querySelectorAll("tr.found")) row.classList.remove("found");
  const row = document.getElementById(id);
  if (!row) return;
  row.classList.add("found");
  row.scrollIntoView({ block: "center" });
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("th button");
  if (button) sort(button);
});

buildFilters();
