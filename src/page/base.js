"use strict";
// What all parts of the page share: the data, and the time that all of them show.

const element = (id) => document.getElementById(id);
const data = JSON.parse(element("data").textContent);
const errors = [];
addEventListener("error", (event) => errors.push(String(event.message)));
addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));

/** A new element with attributes and children. */
function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") made.className = value;
    else if (value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

const degrees = (value) => (value === null || Number.isNaN(value) ? "–" : `${value < -0.5 ? "−" : ""}${Math.abs(value).toFixed(0)}°`);
const plural = (count, one, many) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

/** Seconds as a clock shows them. */
function clockOf(seconds, digits = 2) {
  const minutes = Math.floor(seconds / 60 + 1e-9);
  const rest = Math.max(0, seconds - 60 * minutes);
  return `${minutes}:${rest.toFixed(digits).padStart(digits ? 3 + digits : 2, "0")}`;
}

const times = new Float32Array(bytesOf(data.times).buffer);
const isEmpty = data.people.length === 0;
const frame = 1 / data.frame_rate;
const last = Math.max(0, data.duration - frame);
const state = { time: 0, person: 0, isPlaying: false, follows: false, view: "front" };
let colors = {};
