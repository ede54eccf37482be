"use strict";
// The page: one time for video, bodies and curves, moved by hand, by keys, or by the clip running.

// ---------------------------------------------------------------- who was in view when

const lanes = [];
function buildPresence() {
  const place = (span, [from, to]) => {
    span.style.left = `${(100 * from) / data.duration}%`;
    span.style.width = `${Math.max(0.15, (100 * (to - from)) / data.duration)}%`;
    return span;
  };
  data.people.forEach((person, index) => {
    const lane = make("div", { class: "lane" });
    for (const span of person.seen) lane.append(place(make("i", { class: "seen" }), span));
    for (const span of person.uncertain) lane.append(place(make("i", { class: "doubt" }), span));
    lane.querySelectorAll(".seen").forEach((span) => (span.style.background = person.color));
    const seconds = person.seen.reduce((sum, [from, to]) => sum + to - from, 0);
    const doubt = person.uncertain.length ? `, uncertain at times` : "";
    const dot = make("span", { class: "dot" });
    dot.style.background = person.color;
    const button = make("button", { type: "button", role: "radio", "aria-label": `Person ${person.id}, in view for ${seconds.toFixed(1)} seconds${doubt}` }, dot, `Person ${person.id}`);
    button.addEventListener("click", () => pick(index));
    scrubbed(lane, (at) => (at / lane.clientWidth) * data.duration);
    lane.addEventListener("pointerdown", () => select(index));
    const needle = make("i", { class: "needle" });
    lane.append(needle);
    lanes.push({ button, needle });
    element("presence").append(make("div", { class: "row" }, button, lane));
  });
  const isDoubtful = data.people.some((person) => person.uncertain.length > 0);
  element("presence-key").replaceChildren(...(isEmpty ? ["Nobody was found in this video."] : isDoubtful ? [make("span", { class: "swatch doubt" }), " hatched: this person and another could have been mixed up"] : []));
  element("band-key").replaceChildren(...(isDoubtful ? [make("span", { class: "swatch band" }), "uncertain"] : []));
}

function select(index) {
  if (isEmpty) return;
  state.person = (index + data.people.length) % data.people.length;
  const person = data.people[state.person];
  lanes.forEach(({ button }, i) => {
    button.setAttribute("aria-checked", String(i === state.person));
    button.tabIndex = i === state.person ? 0 : -1;
  });
  const box = element("presence");
  const row = lanes[state.person].button.parentElement;
  if (row.offsetTop < box.scrollTop || row.offsetTop + row.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = row.offsetTop - box.clientHeight / 2;
  const dot = make("span", { class: "dot" });
  dot.style.background = person.color;
  element("whose").replaceChildren(dot, `Person ${person.id}`);
  showAngleTable();
  charts.forEach(paintCurves);
  if (state.follows) aim();
  show();
}

// ---------------------------------------------------------------- the bodies

const camera = new Camera();
const canvas = element("view");
const ink = element("ink");
let motion = null;
let painter = null;

function openMotion() {
  const text = element("motion");
  if (isEmpty || !text.textContent.trim()) return;
  motion = new Motion(bytesOf(text.textContent));
  text.remove();
  painter = Painter.on(canvas, motion);
  canvas.addEventListener("webglcontextlost", (event) => {
    event.preventDefault();
    painter = null;
    show();
  });
  canvas.addEventListener("webglcontextrestored", () => {
    painter = Painter.on(canvas, motion);
    show();
  });
}

/** Where the camera looks: at everybody over the whole clip, or at one person wherever they go. */
function aim() {
  if (!motion) return;
  const { low, high } = state.follows ? motion.bounds([motion.people[state.person]]) : motion.everywhere;
  const half = state.follows ? [0.75, 1.15, 0.75] : low.map((v, i) => (high[i] - v) / 2 + [0.7, 1.05, 0.7][i]);
  camera.target = low.map((v, i) => (v + high[i]) / 2);
  if (!state.follows) camera.target[1] += 0.05;
  camera.fit(half);
  followTo(state.time);
}

/** Whom the camera follows at a time: who was chosen, and while they are away the most prominent of those who are there. */
function followed(time) {
  const isThere = (index) => motion.isSeen(motion.people[index], time);
  if (isThere(state.person)) return state.person;
  const others = data.people.map((_, index) => index).filter(isThere);
  others.sort((a, b) => data.people[b].prominence - data.people[a].prominence);
  return others[0] ?? state.person;
}

/** Moves the camera with the person that it follows: with the mean over a while, so that steps do not shake it and a jump is seen as one, but
 * never so far off that the person leaves the picture. */
function followTo(time) {
  if (!state.follows || !motion) return;
  const person = motion.people[followed(time)];
  const at = (t) => motion.rootAt(person, t);
  const now = at(time);
  camera.target = [[0.45, 0.3], [1.2, 0.5], [0.45, 0.3]].map(([near, most], axis) => {
    let sum = 0;
    for (let i = -8; i <= 8; i += 1) sum += at(time + (near * i) / 8)[axis];
    return Math.min(now[axis] + most, Math.max(now[axis] - most, sum / 17));
  });
}

function look(view) {
  state.view = view;
  [camera.yaw, camera.pitch] = TURN[view];
  document.querySelectorAll("[data-view]").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.view === view)));
  aim();
  show();
}

const partsOf = (color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16) / 255);

function drawBodies() {
  const ratio = Math.min(devicePixelRatio || 1, 2);
  const size = [canvas, ink].map((c) => {
    const [width, height] = [Math.round(c.clientWidth * ratio), Math.round(c.clientHeight * ratio)];
    if (c.width !== width || c.height !== height) [c.width, c.height] = [width, height];
    return [width, height];
  })[1];
  const context = ink.getContext("2d");
  context.clearRect(0, 0, ...size);
  const isBeyond = state.time > data.shown + 1e-6;
  element("view-gone").hidden = !isBeyond && !isEmpty;
  element("view-gone").textContent = isEmpty ? "Nobody was found in this video." : `The bodies in this page end at ${clockOf(data.shown, 0)}.`;
  if (!motion || !size[0]) return;
  const isResized = camera.size[0] !== size[0] || camera.size[1] !== size[1];
  camera.size = size;
  if (isResized && !state.isTurned) aim();
  followTo(state.time);
  const there = [];
  motion.people.forEach((person, index) => {
    if (isBeyond || !motion.isSeen(person, state.time)) return;
    motion.pose(person, state.time);
    const isPicked = index === state.person || data.people.length === 1;
    there.push({ index, person, bones: painter && motion.bonesOf(person), color: data.people[index].color, faint: isPicked ? 0 : 0.45, isPicked });
  });
  const { low, high } = motion.everywhere;
  const floor = {
    hasFloor: data.has_floor,
    middle: state.follows ? [camera.target[0], 0, camera.target[2]] : low.map((v, i) => (v + high[i]) / 2),
    radius: state.follows ? 7 : Math.max(5, Math.hypot(high[0] - low[0], high[2] - low[2]) * 1.2 + 2),
  };
  if (painter) {
    const people = there.map((entry) => ({ ...entry, color: partsOf(entry.color) }));
    painter.draw(camera, people, { ...floor, paper: partsOf(colors.screen), ink: partsOf(colors.grid) });
  } else {
    drawSkeletons(context, camera, there, floor, { line: colors.line, edge: colors.screen }, ratio);
  }
  labelPeople(context, there, ratio);
}

/** Writes who is who above the heads, where there are several. */
function labelPeople(context, there, ratio) {
  if (data.people.length < 2) return;
  const matrix = camera.matrix();
  const isCrowd = there.length > 12;
  context.font = `600 ${12 * ratio}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "bottom";
  context.lineJoin = "round";
  for (const { person, index, isPicked } of there) {
    if (isCrowd && !isPicked) continue;
    let [x, y, z] = [person.places[0], -Infinity, person.places[2]];
    for (let j = 0; j < person.joints.length; j += 1) {
      if (person.places[3 * j + 1] > y) [x, y, z] = person.places.subarray(3 * j, 3 * j + 3);
    }
    const at = camera.project(x, y + 0.24, z, matrix);
    if (!at) continue;
    const isUncertain = data.people[index].uncertain.some(([from, to]) => state.time >= from && state.time <= to);
    const text = `${data.people[index].id}${isUncertain ? " ?" : ""}`;
    context.strokeStyle = colors.screen;
    context.fillStyle = isPicked ? colors.ink : colors.quiet;
    context.lineWidth = 4 * ratio;
    context.strokeText(text, at[0], at[1]);
    context.fillText(text, at[0], at[1]);
  }
}

/** Fingers and mouse turn the camera and bring it nearer. */
function handleTurning() {
  const fingers = new Map();
  const spread = () => {
    const [a, b] = [...fingers.values()];
    return Math.hypot(a[0] - b[0], a[1] - b[1]) || 1;
  };
  const nearer = (by) => {
    state.isTurned = true;
    camera.distance = Math.min(200, Math.max(0.6, camera.distance * by));
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const was = fingers.size === 2 ? spread() : 0;
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    if (fingers.size === 2) nearer(was / spread());
    else turn((before[0] - event.clientX) * 0.008, (event.clientY - before[1]) * 0.008);
    show();
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => fingers.delete(event.pointerId));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    nearer(Math.exp(event.deltaY * (event.deltaMode ? 0.05 : 0.0015)));
    show();
  }, { passive: false });
}

function turn(yaw, pitch) {
  state.isTurned = true;
  state.view = "free";
  camera.yaw += yaw;
  camera.pitch = Math.min(Math.PI / 2, Math.max(LOWEST, camera.pitch + pitch));
  document.querySelectorAll("[data-view]").forEach((button) => button.setAttribute("aria-pressed", "false"));
}

// ---------------------------------------------------------------- time

const video = element("video");
let isVideo = false;
let isWaiting = false;

function openVideo() {
  const text = element("film");
  element("video-box").hidden = !data.has_video;
  if (!data.has_video) return;
  video.src = URL.createObjectURL(new Blob([bytesOf(text.textContent)], { type: "video/mp4" }));
  text.remove();
  video.addEventListener("loadedmetadata", () => {
    if (video.videoWidth > 0) document.querySelector(".stage").style.setProperty("--film", String(video.videoWidth / video.videoHeight));
  });
  video.addEventListener("loadeddata", () => {
    isVideo = true;
    seekVideo();
  });
  video.addEventListener("seeked", () => isWaiting && seekVideo());
  video.addEventListener("error", () => {
    isVideo = false;
    element("video-gone").hidden = false;
    element("video-gone").textContent = "This browser does not play H.264.";
  });
}

/** Shows the picture of the time: in the middle of it, so that rounding shows no other one. */
function seekVideo() {
  if (!isVideo || state.isPlaying) return;
  isWaiting = video.seeking;
  if (isWaiting) return;
  const to = Math.min(state.time + frame / 2, Math.max(0, video.duration - 0.001));
  if (Math.abs(video.currentTime - to) > 1e-4) video.currentTime = to;
}

let isDue = false;
/** Draws everything that the time moves, with the next picture of the screen. */
function show() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    showNow();
  });
}

function showNow() {
  const { time } = state;
  element("cursor").value = String(time);
  element("cursor").setAttribute("aria-valuetext", `${time.toFixed(2)} of ${data.duration.toFixed(2)} seconds`);
  element("clock").textContent = `${clockOf(time)} / ${clockOf(data.duration)}`;
  if (data.has_video && isVideo) {
    const isGone = time > data.shown + 1e-6;
    element("video-gone").hidden = !isGone;
    video.style.visibility = isGone ? "hidden" : "visible";
    if (isGone) element("video-gone").textContent = `The video in this page ends at ${clockOf(data.shown, 0)}.`;
  }
  for (const { needle } of lanes) needle.style.left = `${(100 * time) / data.duration}%`;
  charts.forEach(showCursor);
  drawBodies();
}

function seek(time) {
  state.time = Math.min(last, Math.max(0, Number.isFinite(time) ? time : 0));
  seekVideo();
  show();
}

/** To the frame before or after, where each frame's time is known; else by the mean length of a frame. */
function step(by) {
  pause();
  if (data.step > 1) return seek(state.time + by * frame);
  const at = placeOf(times, state.time + 1e-4);
  seek(times[Math.min(times.length - 1, Math.max(0, at + by))]);
}

function play() {
  if (state.isPlaying || data.frames < 2) return;
  if (state.time >= last - 1e-6) state.time = 0;
  state.isPlaying = true;
  showPlaying();
  const runsVideo = () => isVideo && state.time < Math.min(data.shown, video.duration) - frame;
  if (runsVideo()) {
    video.currentTime = state.time;
    video.playbackRate = Number(element("speed").value);
    video.play().catch(() => {});
  }
  let before = performance.now();
  const tick = (now) => {
    if (!state.isPlaying) return;
    if (runsVideo() && !video.paused) state.time = Math.max(video.currentTime, 0);
    else state.time += Math.min(0.25, (now - before) / 1000) * Number(element("speed").value);
    before = now;
    if (state.time >= last) {
      state.time = last;
      pause();
    }
    showNow();
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}

function pause() {
  if (!state.isPlaying) return;
  state.isPlaying = false;
  video.pause();
  showPlaying();
  seek(data.step > 1 ? state.time : times[placeOf(times, state.time + 1e-4)]);
}

function showPlaying() {
  element("play").setAttribute("aria-label", state.isPlaying ? "Pause" : "Play");
  element("play-icon").setAttribute("d", state.isPlaying ? "M6 4h4v16H6zM14 4h4v16h-4z" : "M7 4v16l13-8z");
}

// ---------------------------------------------------------------- keys, details, start

const KEYS = [
  ["Space", "play, pause"],
  ["← →", "one frame; with Shift, one second"],
  ["Home End", "first and last frame"],
  ["1 2 3", "from the front (as filmed), the side, the top"],
  ["N P", "next and previous person; in the list also ↑ ↓"],
  ["F", "follow the person, or show everybody"],
];

function handleKeys() {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const isIn = (selector) => event.target instanceof Element && event.target.closest(selector);
    if (isIn("select")) return;
    const by = event.shiftKey ? Math.round(data.frame_rate) : 1;
    const actions = {
      ArrowLeft: () => step(-by),
      ArrowRight: () => step(by),
      Home: () => (pause(), seek(0)),
      End: () => (pause(), seek(last)),
      1: () => look("front"),
      2: () => look("side"),
      3: () => look("top"),
      n: () => pick(state.person + 1),
      p: () => pick(state.person - 1),
      f: () => follow(!state.follows),
    };
    if (!isIn("button, summary, a")) actions[" "] = () => (state.isPlaying ? pause() : play());
    if (isIn("#presence")) {
      const move = (to) => (pick(to), lanes[state.person].button.focus());
      actions.ArrowUp = () => move(state.person - 1);
      actions.ArrowDown = () => move(state.person + 1);
    }
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

function follow(follows) {
  state.follows = follows;
  element("follow").setAttribute("aria-pressed", String(follows));
  aim();
  show();
}

function facts(list, pairs) {
  for (const [name, value] of pairs) {
    if (value === undefined || value === null || value === "") continue;
    list.append(make("dt", {}, name), make("dd", {}, typeof value === "object" ? (Array.isArray(value) ? value.join(", ") || "none" : JSON.stringify(value)) : String(value)));
  }
}

function fillDetails() {
  const { report, settings } = data;
  const words = [...report.lost, ...report.warnings];
  const box = element("warnings");
  box.querySelector("summary").textContent = words.length ? plural(words.length, "warning", "warnings") : "No warnings";
  box.querySelector("ul").append(...(words.length ? words : ["Nothing to tell."]).map((text) => make("li", {}, text)));
  box.classList.toggle("has", words.length > 0);
  const { encode, ...rest } = settings;
  const named = (object) => Object.entries(object).map(([key, value]) => [key.replaceAll("_", " "), value]);
  facts(element("settings").querySelector("dl"), [...named(rest), ...named(encode ?? {}).map(([key, value]) => [`encode: ${key}`, value])]);
  facts(element("versions").querySelector("dl"), [
    ["meshreel", data.versions.meshreel],
    ["FFmpeg", data.versions.ffmpeg],
    ["poses in this page", `${Number(data.poses_rate.toFixed(2))} a second; those between are blended`],
    ["networks", report.model],
    ["networks ran on", report.inference],
    ["bodies drawn by", report.renderer],
    ["source", report.source],
    ["result", report.output],
    ["other files", report.exports],
    ["up and floor", data.up === "none" ? "could not be told: the camera's axes" : `from ${data.up.replace("feet+body", "feet and bodies")}${data.has_floor ? "" : ", without a floor"}`],
  ]);
  const numbers = ["count", "mean_ms", "p50_ms", "p95_ms", "p99_ms", "max_ms"];
  const rows = Object.entries(report.stages).filter(([, stage]) => stage.count > 0);
  const cell = (value) => make("td", { class: "number" }, value === undefined ? "" : value.toLocaleString("en", { maximumFractionDigits: 2 }));
  const table = element("timings").querySelector("table");
  table.append(
    make("caption", {}, `${report.seconds.toFixed(1)} s for ${plural(report.frames, "frame", "frames")}, ${report.fps.toFixed(1)} a second; stages in milliseconds`),
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Stage"), ...numbers.map((name) => make("th", { scope: "col", class: "number" }, name.replace("_ms", ""))))),
    make("tbody", {}, ...rows.map(([name, stage]) => make("tr", {}, make("th", { scope: "row" }, name.replaceAll("_", " ")), ...numbers.map((key) => cell(stage[key]))))),
  );
  const keys = element("keys").querySelector("dl");
  for (const [key, what] of KEYS) keys.append(make("dt", {}, ...key.split(" ").map((k) => make("kbd", {}, k))), make("dd", {}, what));
  element("maker").textContent = `meshreel ${data.versions.meshreel}`;
  const people = isEmpty ? "nobody" : plural(data.people.length, "person", "people");
  const size = `${data.width} × ${data.height}`;
  const shown = [clockOf(data.duration, 1), size, `${Number(data.frame_rate.toFixed(2))} frames a second`, people];
  // A line may end between two facts, not within one.
  element("summary").textContent = shown.map((fact) => fact.replaceAll(" ", "\u00a0")).join(" · ");
  element("notes").replaceChildren(...data.notes.map((note) => make("p", { class: "notice" }, note)));
}

/** Reads the colours of the style: they differ in the dark. */
function readColors() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["ink", "quiet", "paper", "screen", "grid", "line", "axis", "left", "right", "middle", "doubt"]) colors[name] = style.getPropertyValue(`--${name}`).trim();
}

function start() {
  readColors();
  fillDetails();
  element("cursor").max = String(last);
  element("cursor").step = String(Math.min(0.01, frame));
  element("cursor").addEventListener("input", (event) => (pause(), seek(Number(event.target.value))));
  element("play").addEventListener("click", () => (state.isPlaying ? pause() : play()));
  element("speed").addEventListener("change", (event) => (video.playbackRate = Number(event.target.value)));
  document.querySelectorAll("[data-view]").forEach((button) => button.addEventListener("click", () => {
    state.isTurned = false;
    look(button.dataset.view);
  }));
  element("follow").addEventListener("click", () => follow(!state.follows));
  element("follow").hidden = isEmpty;
  document.querySelectorAll("[aria-labelledby=angles-title]").forEach((section) => (section.hidden = isEmpty));
  buildPresence();
  if (!isEmpty) buildCharts();
  openMotion();
  openVideo();
  handleTurning();
  handleKeys();
  const stage = document.querySelector(".stage");
  stage.classList.toggle("tall", data.height > data.width);
  stage.style.setProperty("--aspect", String(Math.min(2, Math.max(0.5, data.width / data.height))));
  element("view-note").textContent = motion && !painter ? "No WebGL here: the skeleton" : data.up === "none" && motion ? "Up could not be told: the camera is taken to be level" : "";
  if (motion) {
    const { low, high } = motion.everywhere;
    state.follows = data.people.length === 1 || Math.hypot(high[0] - low[0], high[2] - low[2]) > 9;
    element("follow").setAttribute("aria-pressed", String(state.follows));
  }
  look("front");
  select(data.people.reduce((best, person, i) => (person.prominence > data.people[best].prominence ? i : best), 0));
  new ResizeObserver(() => {
    charts.forEach(paintCurves);
    show();
  }).observe(document.querySelector("main"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    readColors();
    charts.forEach(paintCurves);
    show();
  });
  show();
}

/** Chooses somebody by hand: where they are not in view, the time goes to where they come. */
function pick(index) {
  if (isEmpty) return;
  select(index);
  const { seen } = data.people[state.person];
  if (!seen.some(([from, to]) => state.time >= from - 1e-6 && state.time < to)) {
    pause();
    seek(seen[0][0] + frame / 4);
    step(0);
  }
}

/** For tests: what the page does, and where it is. */
window.meshreel = {
  errors,
  seek: (time) => (pause(), seek(time), showNow()),
  select: (index) => (select(index), showNow()),
  look,
  get mode() { return !motion ? "empty" : painter ? "webgl" : "canvas"; },
  get time() { return state.time; },
  get view() { return state.view; },
  get person() { return state.person; },
  get isPlaying() { return state.isPlaying; },
  /** For each person the places of the joints in metres, or nothing where they are not in view. */
  jointsAt: (time) => motion.people.map((person) => {
    if (!motion.isSeen(person, time)) return null;
    motion.pose(person, time);
    return person.joints.map((_, j) => [...person.places.subarray(3 * j, 3 * j + 3)]);
  }),
};
start();
