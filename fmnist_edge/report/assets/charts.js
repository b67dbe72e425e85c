// Draws each chart when it comes near the window, in the page's colours. Vega's interpreter stands in for eval.
"use strict";

const specs = JSON.parse(document.getElementById("charts").textContent);
const views = new Map(); // element -> Vega view
let hidden = []; // ids of the rows that the filters leave out

const wideScreen = matchMedia("(min-width: 40rem)");
const dark = matchMedia("(prefers-color-scheme: dark)");
const refuse = () => Promise.reject(new Error("this page loads nothing"));
const loader = { load: refuse, sanitize: refuse, http: refuse, file: refuse };

function pageColours() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const names = ["ink", "soft", "paper", "rule"];
  const named = Object.fromEntries(names.map((name) => [name, colour(name)]));
  return { ...named, category: [0, 1, 2, 3, 4, 5, 6, 7].map((number) => colour(`c${number}`)) };
}

function configOf({ ink, soft, paper, rule, category }) {
  const labels = { labelColor: ink, titleColor: soft, labelFontSize: 12, titleFontSize: 12.5, titleFontWeight: "normal" };
  return {
    background: paper,
    font: getComputedStyle(document.body).fontFamily,
    padding: { left: 2, right: 8, top: 6, bottom: 2 },
    axis: { ...labels, gridColor: rule, domainColor: rule, tickColor: rule, titlePadding: 8, labelOverlap: "greedy",
      labelSeparation: 8 },
    axisX: { labelFlush: 12, labelFlushOffset: 0 },
    axisY: { minExtent: 44, tickSize: 0, labelPadding: 6 },
    legend: {
      ...labels, labelLimit: 140, symbolSize: 90, columnPadding: 14, rowPadding: 5, offset: 14, orient: "bottom",
      layout: { bottom: { anchor: "start", direction: "vertical", margin: 10 } },
    },
    range: { category },
    view: { stroke: null },
  };
}

function button(text, action) {
  const made = Object.assign(document.createElement("button"), { type: "button", textContent: text });
  made.addEventListener("click", action);
  return made;
}

function tools(element) {
  const made = document.createElement("div");
  made.className = "tools";
  made.append(button("Reset view", () => draw(element)), button("Save as PNG", () => savePng(element)));
  return made;
}

async function savePng(element) {
  const link = document.createElement("a");
  link.href = await views.get(element).toImageURL("png", 2);
  link.download = `chart-${element.dataset.chart}.png`;
  link.click();
}

// A click on a mark goes to its row. A drag that ends on a mark is no click.
function followClicks(view) {
  let start = null;
  view.addEventListener("pointerdown", (event) => (start = event));
  view.addEventListener("click", (event, item) => {
    const moved = start ? Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) : 0;
    if (moved < 5 && item?.datum?.id) showRow(item.datum.id);
  });
}

async function draw(element) {
  const colours = pageColours();
  const spec = structuredClone(specs[element.dataset.chart]);
  for (const param of spec.params) if (param.name in colours) param.value = colours[param.name];
  spec.params.find((param) => param.name === "hidden").value = hidden;
  delete spec.config;
  const place = document.createElement("div");
  const options = { ast: true, renderer: "svg", actions: false, config: configOf(colours), loader,
    tooltip: { theme: dark.matches ? "dark" : "light" } };
  views.get(element)?.finalize();
  element.replaceChildren(place, tools(element));
  try {
    const { view } = await vegaEmbed(place, spec, options);
    views.set(element, view);
    followClicks(view);
  } catch (error) {
    element.textContent = `This chart could not be drawn: ${error.message}`;
  }
}

const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    draw(target);
  }
}, { rootMargin: "800px" });

function drawNow() {
  for (const element of document.querySelectorAll(".chart")) {
    if (views.has(element) || !element.getClientRects().length) continue;
    seen.unobserve(element);
    draw(element);
  }
}

function hideInCharts(ids) {
  hidden = ids;
  for (const view of views.values()) view.signal("hidden", ids).runAsync();
}

for (const element of document.querySelectorAll(".how")) element.hidden = false;
for (const element of document.querySelectorAll(".chart")) seen.observe(element);
addEventListener("beforeprint", drawNow);
dark.addEventListener("change", () => [...views.keys()].forEach(draw));
