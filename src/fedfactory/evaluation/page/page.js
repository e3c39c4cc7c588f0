"use strict";
// The figures stand in the page; slices of a target come from a script of its own when a cell is opened.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const loaded = {};
const waiting = {};
const promises = {};
// One colour a method, so that a contour means the same in every cell.
// They differ in brightness, too, and none is mistaken for the truth's by eyes that do not tell red from green.
const colours = ["#ff9500", "#c77dff", "#f0e442", "#ff6fae", "#b0b8c8", "#d55e00", "#8fb4ff", "#ffd9a0", "#ffffff", "#a06bff"];
const dashes = ["", "5 3", "1.5 3"];

function fedfactorySlices(target, cases) {
  loaded[target] = cases;
  if (waiting[target]) waiting[target](cases);
}

function format(metric, value) {
  return value === null ? "–" : value.toFixed(1);
}

// ---- the table -----------------------------------------------------------------------------------------------------
let metric = "dice";

function keyOf(target, method) {
  return `${target}/${method}`;
}

function fillTable() {
  byId("caption").textContent = data.metrics[metric].caption;
  const best = {};
  const contenders = data.methods.filter((m) => !m.bound);
  const names = new Set(contenders.map((m) => m.name));
  const sign = data.metrics[metric].higher ? 1 : -1;
  for (const target of data.targets) {
    const values = contenders.map((m) => data.cells[keyOf(target.key, m.name)].metrics[metric].mean);
    best[target.key] = Math.max(...values.filter((v) => v !== null).map((v) => sign * Number(v.toFixed(1))));
  }
  for (const button of document.querySelectorAll("#table1 td button")) {
    const whole = data.cells[button.dataset.cell];
    const cell = whole.metrics[metric];
    const interval = cell.low === null ? "" : `${format(metric, cell.low)} to ${format(metric, cell.high)}`;
    button.replaceChildren(format(metric, cell.mean));
    const small = document.createElement("span");
    small.className = "interval";
    small.textContent = interval;
    button.append(small);
    const isBest =
      metric === "dice"
        ? whole.may_be_best
        : names.has(whole.method) && cell.mean !== null && sign * Number(cell.mean.toFixed(1)) === best[button.dataset.target];
    button.parentElement.classList.toggle("best", isBest);
    button.setAttribute(
      "aria-label",
      `${button.dataset.title}: ${data.metrics[metric].label} ${format(metric, cell.mean)}` +
        (interval ? `, interval ${interval}` : "") + (isBest ? (metric === "dice" ? ", may be the best of its column" : ", best of its column") : "") + ". Open the cell."
    );
  }
}

let sorted = null;

function sortBy(header, column, descending) {
  for (const other of document.querySelectorAll("#table1 thead th[aria-sort]")) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const body = document.querySelector("#table1 tbody");
  const rows = [...body.rows];
  const value = (row) => {
    if (column === "order") return -Number(row.dataset.order);
    const mean = data.cells[keyOf(column, row.dataset.method)].metrics[metric].mean;
    return mean === null ? -Infinity : mean;
  };
  rows.sort((a, b) => (descending ? value(b) - value(a) : value(a) - value(b)) || a.dataset.order - b.dataset.order);
  body.append(...rows);
  sorted = { header, column, descending };
  byId("status").textContent = `Sorted by ${header.dataset.title}, ${descending ? "highest first" : "lowest first"}.`;
}

// ---- one cell ------------------------------------------------------------------------------------------------------
const dialog = byId("cell");
let open = null;

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== null) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function showCell(key, remember = true) {
  const cell = data.cells[key];
  if (!cell) return;
  open = { key, cell, target: cell.target };
  const target = data.targets.find((t) => t.key === cell.target);
  const method = data.methods.find((m) => m.name === cell.method);
  byId("cell-title").textContent = `${target.setup_label} ${target.label}: ${method.label}`;
  byId("cell-note").textContent = method.note;
  fillOthers(cell);
  compare();
  const figures = byId("cell-figures");
  figures.replaceChildren();
  const [train, choose] = cell.labels;
  figures.append(
    element("dt", "labelled slices of the target"),
    element("dd", train || choose ? `${train} train it, ${choose} choose something of it` : "none")
  );
  if (cell.p_best !== null) {
    figures.append(element("dt", "best of its column"), element("dd", `with probability ${cell.p_best.toFixed(2)}`));
  }
  figures.append(
    element("dt", "classes missed"), element("dd", `${cell.missed} of ${cell.present}; claimed where they are not: ${cell.false_alarms}`)
  );
  if (cell.paper) {
    figures.append(element("dt", "in the paper"), element("dd", `Dice ${cell.paper[0].toFixed(1)}±${cell.paper[1].toFixed(1)}` + (data.phantom ? " (patients; here are phantoms)" : "")));
  }
  for (const line of cell.tests) figures.append(element("dt", "test"), element("dd", line));
  fillClasses(cell);
  fillSubjects(cell);
  fillStory(cell);
  byId("command").textContent = cell.command;
  byId("slices").hidden = true;
  byId("no-slices").hidden = false;
  byId("no-slices").textContent = data.slices ? "Loading slices…" : "This run releases no test cases (slices: false).";
  if (data.slices) load(cell.target).then((cases) => open.target === cell.target && showViewer(cases));
  if (!dialog.open) dialog.showModal();
  // One step back closes it.
  if (remember) history.pushState({ cell: true }, "", `#${key}`);
}

function fillOthers(cell) {
  const others = data.methods.filter((m) => m.name !== cell.method);
  byId("other").replaceChildren(element("option", "no other row", { value: "" }), ...others.map((m) => element("option", m.label, { value: m.name })));
}

// The cell's figures, and beside them those of another row at the same target.
function compare() {
  const name = byId("other").value;
  const cells = [open.cell, ...(name ? [data.cells[keyOf(open.target, name)]] : [])];
  const labels = cells.map((cell) => data.methods.find((m) => m.name === cell.method).label);
  byId("compared").replaceChildren(element("td", null), ...labels.map((label) => element("th", label, { scope: "col" })));
  const body = byId("cell-metrics");
  body.replaceChildren();
  for (const [metricName, about] of Object.entries(data.metrics)) {
    const row = element("tr", null);
    row.append(element("th", about.label, { scope: "row" }));
    for (const cell of cells) {
      const m = cell.metrics[metricName];
      const figure = element("td", format(metricName, m.mean));
      if (m.low !== null) figure.append(element("span", `${format(metricName, m.low)} to ${format(metricName, m.high)}`, { class: "interval" }));
      row.append(figure);
    }
    body.append(row);
  }
  const box = name && document.querySelector(`#legend input[value="${name}"]`);
  if (box && !box.checked) {
    box.checked = true;
    draw();
  }
}

function fillClasses(cell) {
  const body = byId("classes");
  body.replaceChildren();
  for (const figures of cell.classes) {
    const row = element("tr", null);
    row.append(element("th", figures.class, { scope: "row" }));
    for (const name of Object.keys(data.columns_of_classes)) row.append(element("td", format(name, figures[name])));
    body.append(row);
  }
}

function fillSubjects(cell) {
  const body = byId("subjects");
  body.replaceChildren();
  for (const [name, figures] of Object.entries(cell.subjects)) {
    const row = element("tr", null);
    row.append(element("th", name, { scope: "row" }));
    for (const metricName of Object.keys(data.metrics)) row.append(element("td", format(metricName, figures[metricName])));
    body.append(row);
  }
}

function fillStory(cell) {
  const story = byId("story");
  story.replaceChildren();
  for (const [name, text] of cell.story) story.append(element("dt", name), element("dd", text));
  const body = byId("jobs");
  body.replaceChildren();
  for (const job of cell.jobs) {
    const row = element("tr", null);
    row.append(element("th", job.job, { scope: "row" }));
    for (const text of [job.made, job.seconds.toFixed(1), job.memory.toFixed(0), job.device, job.code]) {
      row.append(element("td", text, text === job.made ? { class: "text" } : {}));
    }
    body.append(row);
  }
  const links = byId("links");
  links.replaceChildren();
  for (const [label, file] of cell.links) {
    const item = element("li", null);
    item.append(element("a", label, { href: file }));
    links.append(item);
  }
}

function load(target) {
  promises[target] ||= new Promise((resolve) => {
    waiting[target] = resolve;
    const script = element("script", null, { src: `slices/${target}.js` });
    script.onerror = () => {
      byId("no-slices").textContent = `slices/${target}.js is missing: the slices were not published with this page.`;
    };
    document.head.append(script);
  });
  return promises[target];
}

// ---- slices --------------------------------------------------------------------------------------------------------
function colourOf(name) {
  if (name === "truth") return "var(--truth)";
  return colours[data.methods.findIndex((m) => m.name === name) % colours.length];
}

function showViewer(cases) {
  byId("no-slices").hidden = true;
  byId("slices").hidden = false;
  const choice = byId("case");
  choice.replaceChildren(...cases.map((c, n) => element("option", c.case, { value: n })));
  const legend = byId("legend");
  legend.replaceChildren();
  for (const [name, label] of [["truth", "Truth"], ...data.methods.map((m) => [m.name, m.label])]) {
    const line = element("label", null);
    const box = element("input", null, { type: "checkbox", value: name });
    box.checked = name === "truth" || name === open.cell.method;
    box.addEventListener("change", draw);
    const swatch = element("span", null, { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = colourOf(name);
    line.append(box, swatch, label);
    legend.append(line);
  }
  chooseCase();
}

function chooseCase() {
  const shown = loaded[open.target][byId("case").value];
  const slider = byId("slice");
  slider.max = shown.slices.length - 1;
  slider.value = Math.floor(shown.slices.length / 2);
  const viewer = byId("viewer");
  viewer.style.aspectRatio = `${shown.width} / ${shown.height * shown.aspect}`;
  viewer.querySelector("svg").setAttribute("viewBox", `0 0 ${shown.width} ${shown.height}`);
  draw();
}

function draw() {
  const shown = loaded[open.target][byId("case").value];
  const slice = shown.slices[byId("slice").value];
  byId("slice-number").textContent = `slice ${slice.number}`;
  byId("picture").src = slice.image;
  const names = [...document.querySelectorAll("#legend input:checked")].map((box) => box.value);
  byId("picture").alt = `Slice ${slice.number} of ${shown.case} with contours: ${names.join(", ") || "none"}`;
  const svg = byId("viewer").querySelector("svg");
  svg.replaceChildren();
  for (const name of names) {
    data.classes[open.target].forEach((label, number) => {
      const outline = (slice.contours[name] || {})[label];
      if (!outline) return;
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("d", outline);
      path.style.stroke = colourOf(name);
      path.setAttribute("stroke-dasharray", dashes[number % dashes.length]);
      path.dataset.method = name;
      svg.append(path);
    });
  }
}

// ---- wiring --------------------------------------------------------------------------------------------------------
for (const button of document.querySelectorAll("#table1 thead button")) {
  button.addEventListener("click", () => {
    const header = button.closest("th");
    // The better end first; again: the other one.
    const better = button.dataset.column === "order" || data.metrics[metric].higher;
    const before = header.getAttribute("aria-sort");
    sortBy(header, button.dataset.column, before ? before !== "descending" : better);
  });
}
for (const button of document.querySelectorAll("#table1 td button")) {
  button.addEventListener("click", () => showCell(button.dataset.cell));
}
byId("metric").addEventListener("change", (event) => {
  metric = event.target.value;
  fillTable();
  if (sorted) sortBy(sorted.header, sorted.column, sorted.descending);
});
byId("case").addEventListener("change", chooseCase);
byId("slice").addEventListener("input", draw);
byId("other").addEventListener("change", compare);
byId("close").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => {
  if (history.state && history.state.cell) history.back();
  else if (data.cells[addressed()]) history.replaceState(null, "", location.pathname + location.search);
});
window.addEventListener("popstate", () => {
  if (data.cells[addressed()]) showCell(addressed(), false);
  else if (dialog.open) dialog.close();
});

function addressed() {
  return decodeURIComponent(location.hash.slice(1));
}

// ---- which rows and columns, and files of what is shown --------------------------------------------------------------
for (const box of document.querySelectorAll("#sections input")) box.addEventListener("change", choose);
byId("find").addEventListener("input", choose);
byId("protocol").addEventListener("change", (event) => {
  const strict = event.target.value === "strict";
  byId("paper-table").hidden = strict;
  byId("strict-table").hidden = !strict;
});

function choose() {
  const off = new Set([...document.querySelectorAll("#sections input:not(:checked)")].map((box) => box.value));
  const words = byId("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (text) => words.filter((word) => text.toLowerCase().includes(word));
  const ofRows = data.methods.map((m) => fits(`${m.label} ${m.section}`).length > 0);
  const ofColumns = data.targets.map((t) => fits(`${t.setup_label} ${t.label}`).length > 0);
  const rows = new Set(data.methods.filter((m, n) => !off.has(m.section) && (ofRows[n] || !ofRows.includes(true))).map((m) => m.name));
  const columns = data.targets.filter((t, n) => ofColumns[n] || !ofColumns.includes(true)).map((t) => t.key);
  for (const row of document.querySelectorAll("#table1 tbody tr")) {
    row.hidden = !rows.has(row.dataset.method);
    for (const button of row.querySelectorAll("td button")) button.parentElement.hidden = !columns.includes(button.dataset.target);
  }
  for (const button of document.querySelectorAll("#table1 thead button")) {
    if (button.dataset.column !== "order") button.closest("th").hidden = !columns.includes(button.dataset.column);
  }
  for (const group of document.querySelectorAll("#table1 thead th[scope=colgroup]")) {
    const own = columns.filter((key) => data.targets.find((t) => t.key === key).setup_label === group.textContent);
    group.hidden = !own.length;
    if (own.length) group.colSpan = own.length;
  }
  const found = words.length && !ofRows.includes(true) && !ofColumns.includes(true) ? "Nothing has such a name. " : "";
  byId("status").textContent = `${found}${rows.size} rows, ${columns.length} columns.`;
}

for (const button of document.querySelectorAll("button.csv")) {
  button.addEventListener("click", () => {
    const table = button.parentElement.querySelector("table");
    const lines = [...table.rows].filter((row) => !row.hidden).map((row) => [...row.cells].filter((c) => !c.hidden).flatMap(fields).join(","));
    const link = element("a", null, { download: `${button.dataset.file}.csv` });
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
    link.click();
    URL.revokeObjectURL(link.href);
  });
}

// A cell's text without its interval, and empty fields where it is several columns wide. What a spreadsheet would run
// is text.
function fields(cell) {
  const own = [...cell.childNodes].map((node) => {
    const inner = node.nodeName === "BUTTON" ? node.firstChild : node;
    return inner && inner.className !== "interval" ? inner.textContent : "";
  });
  const text = own.join("").trim();
  const safe = /^[=@+]|^-(?![\d.]+$)/.test(text) ? `'${text}` : text;
  return [`"${safe.replaceAll('"', '""')}"`, ...Array(cell.colSpan - 1).fill("")];
}

// ---- wiring of a cell --------------------------------------------------------------------------------------------------
byId("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(open.cell.command);
    byId("copied").textContent = "copied";
  } catch {
    byId("copied").textContent = "select the line and copy it";
  }
});
fillTable();
if (location.hash) showCell(addressed(), false);
