"use strict";
// The list of jobs: searched, sorted, added up.

const element = (id) => document.getElementById(id);
const entries = JSON.parse(element("data").textContent);

/** A new element with attributes and children. */
function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const whole = (number) => number.toLocaleString("en");
function length(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
function dateOf(seconds) {
  if (!seconds) return "";
  const date = new Date(seconds * 1000);
  const two = (number) => String(number).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}`;
}
const place = (entry) => (entry.folder ? `${entry.folder}/${entry.name}` : entry.name);

const COLUMNS = [
  { key: "name", title: "Name", of: place },
  { key: "source", title: "Source", of: (entry) => entry.source },
  { key: "done", title: "Done", of: (entry) => entry.done, text: (entry) => dateOf(entry.done) },
  { key: "frames", title: "Frames", of: (entry) => entry.frames, isNumber: true },
  { key: "people", title: "People", of: (entry) => entry.people, isNumber: true },
  { key: "uncertain", title: "Uncertain", of: (entry) => entry.uncertain, isNumber: true },
  { key: "seconds", title: "Took", of: (entry) => entry.seconds, text: (entry) => length(entry.seconds), isNumber: true },
  { key: "warnings", title: "Warnings", of: (entry) => entry.warnings.length },
];
const sorted = { key: "name", isDown: false };
const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

function matching() {
  const words = element("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const text = (entry) => [place(entry), entry.source, ...entry.warnings].join("\n").toLowerCase();
  return entries.filter((entry) => (!element("warned").checked || entry.warnings.length > 0) && words.every((word) => text(entry).includes(word)));
}

function warningsOf(entry) {
  if (entry.warnings.length === 0) return "none";
  return make("details", {}, make("summary", {}, whole(entry.warnings.length)), make("ul", {}, ...entry.warnings.map((text) => make("li", {}, text))));
}

function rowOf(entry) {
  const cells = COLUMNS.map((column) => {
    const { key, title, isNumber } = column;
    const cell = make("td", { class: key === "name" ? "name" : isNumber ? "number" : "", "data-label": title });
    // The name leads to what is best to look at.
    const best = ["page", "video"].map((what) => entry.links.find(([known]) => known === what)).find(Boolean);
    if (key === "warnings") cell.append(warningsOf(entry));
    else if (key === "name" && best) cell.append(make("a", { href: best[1] }, column.of(entry)));
    else cell.append(column.text ? column.text(entry) : isNumber ? whole(column.of(entry)) : column.of(entry));
    return cell;
  });
  const links = entry.links.map(([what, address]) => make("a", { href: address }, what));
  return make("tr", {}, ...cells, make("td", { class: "files", "data-label": "Files" }, ...links));
}

function showAll() {
  const column = COLUMNS.find(({ key }) => key === sorted.key);
  const compare = (a, b) => (typeof a === "number" ? a - b : collator.compare(a, b));
  const found = matching().sort((a, b) => (sorted.isDown ? -1 : 1) * compare(column.of(a), column.of(b)) || collator.compare(place(a), place(b)));
  element("jobs").tBodies[0].replaceChildren(...found.map(rowOf));
  const sum = (of) => found.reduce((total, entry) => total + of(entry), 0);
  const totals = { frames: whole(sum((e) => e.frames)), people: whole(sum((e) => e.people)), uncertain: whole(sum((e) => e.uncertain)), seconds: length(sum((e) => e.seconds)), warnings: whole(sum((e) => e.warnings.length)) };
  const cells = COLUMNS.slice(1).map(({ key, title, isNumber }) => make("td", { class: isNumber ? "number" : "", "data-label": title }, totals[key] ?? ""));
  element("jobs").tFoot.replaceChildren(make("tr", {}, make("th", { scope: "row" }, `Total of ${whole(found.length)}`), ...cells, make("td", {}, "")));
  element("shown").textContent = found.length === entries.length ? "" : `${whole(found.length)} of ${whole(entries.length)}`;
  for (const head of document.querySelectorAll("th[data-key]")) {
    if (head.dataset.key === sorted.key) head.setAttribute("aria-sort", sorted.isDown ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
}

const heads = COLUMNS.map(({ key, title, isNumber }) => {
  const button = make("button", { type: "button" }, title);
  button.addEventListener("click", () => {
    sorted.isDown = sorted.key === key ? !sorted.isDown : Boolean(isNumber) || key === "done" || key === "warnings";
    sorted.key = key;
    showAll();
  });
  return make("th", { scope: "col", "data-key": key, class: isNumber ? "number" : "" }, button);
});
element("jobs").tHead.append(make("tr", {}, ...heads, make("th", { scope: "col" }, "Files")));
element("search").addEventListener("input", showAll);
element("warned").addEventListener("change", showAll);
const newest = Math.max(...entries.map((entry) => entry.done));
element("summary").textContent = `${whole(entries.length)} ${entries.length === 1 ? "result" : "results"} of meshreel${newest > 0 ? `, the last of ${dateOf(newest)}` : ""}`;
showAll();
