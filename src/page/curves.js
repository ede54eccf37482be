"use strict";
// The curves of the joint angles, and the table of them.

const NAMES = { pelvis_tilt: "Trunk lean", hip_flexion: "Hip flexion", knee_angle: "Knee flexion", ankle_angle: "Ankle dorsiflexion", arm_flex: "Shoulder flexion", elbow_flex: "Elbow flexion" };
const charts = [];
(isEmpty ? [] : data.angles).forEach((name, index) => {
  const [, base, side] = /^(.*?)(?:_([lr]))?$/.exec(name);
  const known = charts.find((chart) => chart.base === base);
  const chart = known ?? { base, title: NAMES[base] ?? base.replaceAll("_", " "), lines: [] };
  if (!known) charts.push(chart);
  chart.lines.push({ index, side: side === "l" ? "left" : side === "r" ? "right" : "middle" });
});
charts.forEach((chart) => chart.lines.sort((a, b) => a.side.localeCompare(b.side)));

/** Values of a person: how many times there are, and the least and greatest of an angle at one of them. */
function curvesOf(person) {
  const numbers = new Int16Array(bytesOf(person.values).buffer);
  const [count, ends] = [data.angles.length, data.step > 1 ? 2 : 1];
  const value = (at, angle, end) => {
    const number = numbers[((at - person.from) * ends + (ends > 1 ? end : 0)) * count + angle];
    return number === undefined || number === -32768 ? NaN : number / 10;
  };
  return { from: person.from, to: person.from + numbers.length / count / ends, value };
}
const curves = data.people.map(() => null);
const curvesNow = () => (curves[state.person] ??= curvesOf(data.people[state.person]));

/** Even steps, in degrees, that divide a range into some parts. */
function steps(low, high, parts) {
  const step = [5, 10, 15, 20, 30, 45, 60, 90, 120].find((n) => n >= (high - low) / parts) ?? 180;
  const list = [];
  for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-6; v += step) list.push(v);
  return list;
}
const timeTicks = (parts) => {
  const nice = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
  const step = nice.find((n) => data.duration / n <= parts) ?? 7200;
  return { step, list: Array.from({ length: Math.floor(data.duration / step + 1e-9) + 1 }, (_, i) => i * step) };
};

const LEFT = 40;
const [TOP, BOTTOM, RIGHT] = [8, 18, 6];

/** Draws the curves of a chart, without the cursor, onto a canvas that is kept. */
function paintCurves(chart) {
  const { canvas } = chart;
  const ratio = devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (!width || isEmpty) return;
  [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
  const kept = (chart.kept ??= document.createElement("canvas"));
  [kept.width, kept.height] = [canvas.width, canvas.height];
  const context = kept.getContext("2d");
  context.scale(ratio, ratio);
  context.font = "11px system-ui, sans-serif";
  const person = data.people[state.person];
  const all = curvesNow();
  const ranges = chart.lines.map(({ index }) => person.ranges[index]).filter(Boolean);
  const low = Math.min(0, ...ranges.map((range) => range[0])) - 4;
  const high = Math.max(30, ...ranges.map((range) => range[1])) + 4;
  const x = (chart.x = (time) => LEFT + (time / Math.max(data.duration, frame)) * (width - LEFT - RIGHT));
  const y = (chart.y = (angle) => TOP + ((high - angle) / (high - low)) * (height - TOP - BOTTOM));
  chart.timeAt = (at) => ((at - LEFT) / (width - LEFT - RIGHT)) * data.duration;

  context.fillStyle = colors.doubt;
  for (const [from, to] of person.uncertain) context.fillRect(x(from), TOP, Math.max(1, x(to) - x(from)), height - TOP - BOTTOM);
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (const angle of steps(low + 2, high - 2, 3)) {
    context.fillStyle = angle === 0 ? colors.axis : colors.line;
    context.fillRect(LEFT, Math.round(y(angle)), width - LEFT - RIGHT, 1);
    context.fillStyle = colors.quiet;
    context.fillText(degrees(angle), LEFT - 5, y(angle));
  }
  context.textAlign = "center";
  const ticks = timeTicks(Math.max(2, (width - LEFT) / 70));
  for (const time of ticks.list) {
    context.fillStyle = colors.quiet;
    const text = ticks.step < 1 ? time.toFixed(1) : data.duration >= 60 ? clockOf(time, 0) : String(time);
    context.fillText(text, Math.min(x(time), width - RIGHT - 8), height - 7);
  }
  const isPairs = data.step > 1;
  for (const { index, side } of [...chart.lines].reverse()) {
    context.strokeStyle = context.fillStyle = colors[side];
    context.lineWidth = 1.75;
    context.lineJoin = "round";
    context.beginPath();
    let before = null;
    for (let at = all.from; at < all.to; at += 1) {
      const ends = [all.value(at, index, 0), all.value(at, index, 1)];
      if (Number.isNaN(ends[0])) {
        before = null;
        continue;
      }
      // A jump by more than half a turn is the other name of the same angle.
      const isNew = before === null || Math.abs(ends[0] - before) > 180;
      context[isNew ? "moveTo" : "lineTo"](x(times[at]), y(ends[0]));
      if (isNew) context.lineTo(x(times[at]) + 0.5, y(ends[0]));
      if (isPairs) context.lineTo(x(times[at]), y(ends[1]));
      before = ends[0];
    }
    context.stroke();
  }
}

/** Shows the kept curves with the cursor, and what the angles are there. */
function showCursor(chart) {
  if (!chart.kept?.width) return;
  const context = chart.canvas.getContext("2d");
  const ratio = devicePixelRatio || 1;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, chart.canvas.width, chart.canvas.height);
  context.drawImage(chart.kept, 0, 0);
  context.scale(ratio, ratio);
  const [at, height] = [chart.x(state.time), chart.canvas.clientHeight];
  context.fillStyle = colors.ink;
  context.fillRect(Math.round(at) - 0.5, TOP, 1.5, height - TOP - BOTTOM);
  const all = curvesNow();
  const place = placeOf(times, state.time + 1e-4);
  const isIn = place >= all.from && place < all.to && data.people[state.person].seen.some(([from, to]) => state.time >= from - 1e-3 && state.time <= to);
  for (const { index, side, now } of chart.lines) {
    const value = isIn ? all.value(place, index, 0) : NaN;
    now.textContent = degrees(value);
    if (Number.isNaN(value)) continue;
    context.beginPath();
    context.arc(at, chart.y(value), 4, 0, 7);
    context.fillStyle = colors[side];
    context.strokeStyle = colors.paper;
    context.lineWidth = 1.5;
    context.fill();
    context.stroke();
  }
}

/** What is under a finger or the mouse moves the time, from where it is put down until it is lifted. */
function scrubbed(target, timeAt) {
  const move = (event) => seek(timeAt(event.clientX - target.getBoundingClientRect().left));
  target.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    target.setPointerCapture(event.pointerId);
    pause();
    move(event);
  });
  target.addEventListener("pointermove", (event) => target.hasPointerCapture(event.pointerId) && move(event));
}

function buildCharts() {
  for (const chart of charts) {
    chart.canvas = make("canvas", { role: "img" });
    const values = chart.lines.map((line) => {
      line.now = make("b", { class: line.side });
      return make("span", {}, line.side === "middle" ? "" : line.side === "left" ? "L " : "R ", line.now);
    });
    element("charts").append(make("figure", { class: "chart" }, make("figcaption", {}, make("span", {}, chart.title), make("span", { class: "values" }, ...values)), chart.canvas));
    scrubbed(chart.canvas, (at) => chart.timeAt?.(at) ?? 0);
  }
}

function showAngleTable() {
  const person = data.people[state.person];
  const head = make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Angle"), make("th", { scope: "col" }, "Side"), ...["Min", "Max", "Range"].map((name) => make("th", { scope: "col", class: "number" }, name))));
  const body = make("tbody");
  for (const chart of charts) {
    chart.lines.forEach(({ index, side }, i) => {
      const range = person.ranges[index];
      const row = make("tr");
      if (i === 0) row.append(make("th", { scope: "row", rowspan: String(chart.lines.length) }, chart.title));
      row.append(make("td", {}, side === "middle" ? "" : make("span", { class: `swatch ${side}` }), side === "middle" ? "" : side));
      for (const value of range ? [range[0], range[1], range[1] - range[0]] : [null, null, null]) row.append(make("td", { class: "number" }, degrees(value)));
      body.append(row);
    });
    const texts = chart.lines.map(({ index, side }) => {
      const range = person.ranges[index];
      return `${side === "middle" ? "" : `${side} `}${range ? `${degrees(range[0])} to ${degrees(range[1])}` : "not known"}`;
    });
    chart.canvas.setAttribute("aria-label", `${chart.title} of person ${person.id} over time: ${texts.join(", ")}`);
  }
  element("angles").replaceChildren(make("caption", { class: "hidden" }, `Least and greatest joint angles of person ${person.id}`), head, body);
}
