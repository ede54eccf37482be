// Opens a page of meshreel in headless Chromium and looks at what it does; exits 1 with a line for each thing that is wrong.
//
//     node page.mjs page PAGE.html FOLDER      a report page; pictures of it, and the glb in it, go into the folder
//     node page.mjs nobody PAGE.html FOLDER    the page of a video with nobody in it
//     node page.mjs index INDEX.html FOLDER    the list of many jobs
//
// The joints are compared with those that three.js finds in the same glb.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { launch } from "./browser.mjs";

const [kind, file, folder] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));
const address = pathToFileURL(resolve(file)).href;
const wrong = [];
const check = (isRight, what) => isRight || wrong.push(what);
const MILLIMETRE = 1e-3;

const browser = await launch();

/** Opens the page, and listens for errors and for requests. */
async function open({ width = 1280, height = 900, colorScheme = "light", withoutWebGL = false, ready = "window.meshreel" } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme });
  const page = await context.newPage();
  const name = `${width} px, ${colorScheme}${withoutWebGL ? ", without WebGL" : ""}`;
  page.on("pageerror", (error) => wrong.push(`${name}: ${error.message}`));
  page.on("console", (message) => message.type() === "error" && wrong.push(`${name}: the console says: ${message.text()}`));
  page.on("request", (request) => {
    const url = request.url();
    check(url === address || url.startsWith("blob:"), `${name}: it asks for ${url.slice(0, 200)}`);
  });
  if (withoutWebGL) {
    await page.addInitScript(() => {
      const known = HTMLCanvasElement.prototype.getContext;
      HTMLCanvasElement.prototype.getContext = function (type, ...rest) {
        return type.startsWith("webgl") ? null : known.call(this, type, ...rest);
      };
    });
  }
  const begin = Date.now();
  await page.goto(address);
  await page.waitForFunction(ready);
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  const took = Date.now() - begin;
  const wide = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  check(wide[0] <= wide[1], `${name}: it is ${wide[0]} px wide in a window of ${wide[1]}`);
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll("button, input, select, canvas[role], video, [role=radiogroup]")]
      .filter((e) => !(e.textContent.trim() || e.ariaLabel || e.labels?.length || e.getAttribute("aria-labelledby")))
      .map((e) => e.outerHTML.slice(0, 80)),
  );
  check(nameless.length === 0, `${name}: without a name: ${nameless.join(", ")}`);
  return { page, took };
}

const state = (page) => page.evaluate(() => ({ time: meshreel.time, view: meshreel.view, person: meshreel.person, isPlaying: meshreel.isPlaying, mode: meshreel.mode }));
const seek = async (page, time) => {
  await page.evaluate((t) => meshreel.seek(t), time);
  await page.waitForTimeout(150);
};
const shot = (page, selector) => page.locator(selector).first().screenshot();
const differ = (a, b) => !a.equals(b);

/** Pixels of a canvas that somebody has drawn to. */
const drawn = (page, id) =>
  page.evaluate((name) => {
    const canvas = document.getElementById(name);
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let i = 3; i < data.length; i += 4) count += data[i] > 0;
    return count;
  }, id);

async function lookAtTime(page, data) {
  const [early, late] = [data.duration * 0.3, data.duration * 0.7];
  await seek(page, early);
  const before = [await shot(page, "#view"), await shot(page, ".chart canvas"), await shot(page, "#video")];
  await seek(page, late);
  await page.waitForTimeout(300);
  const after = [await shot(page, "#view"), await shot(page, ".chart canvas"), await shot(page, "#video")];
  ["bodies", "curves", "video"].forEach((what, i) => check(differ(before[i], after[i]), `the ${what} do not move with the time`));
  const at = await page.evaluate(() => document.getElementById("video").currentTime);
  check(Math.abs(at - late) < 1.6 / data.frame_rate, `the video is at ${at}, not at ${late}`);
  // By hand: the middle of a curve.
  await page.locator(".chart canvas").first().scrollIntoViewIfNeeded();
  const box = await page.locator(".chart canvas").first().boundingBox();
  await page.mouse.click(box.x + box.width * 0.5, box.y + box.height / 2);
  const { time } = await state(page);
  check(time > data.duration * 0.35 && time < data.duration * 0.6, `a click on a curve leads to ${time}`);
  await page.evaluate(() => scrollTo(0, 0));
}

async function pressKeys(page, data) {
  const press = async (key) => {
    await page.keyboard.press(key);
    await page.waitForTimeout(60);
    return state(page);
  };
  const frame = 1 / data.frame_rate;
  const near = (a, b) => Math.abs(a - b) < frame * 0.6;
  check((await press("Home")).time === 0, "Home does not lead to the start");
  check(near((await press("ArrowRight")).time, frame), "an arrow is no frame");
  const second = (await press("Shift+ArrowRight")).time;
  check(Math.abs(second - frame - 1) < 0.1, "an arrow with Shift is no second");
  check(near((await press("ArrowLeft")).time, second - frame), "an arrow back is no frame");
  check(near((await press("End")).time, data.duration - frame), "End does not lead to the end");
  for (const [key, view] of [["2", "side"], ["3", "top"], ["1", "front"]]) {
    const before = await shot(page, "#view");
    check((await press(key)).view === view, `${key} does not show the ${view}`);
    check(differ(before, await shot(page, "#view")), `${key} shows the same picture`);
  }
  if (data.people.length > 1) {
    const { person } = await state(page);
    check((await press("n")).person !== person, "n is not the next person");
    check((await press("p")).person === person, "p is not the person before");
  }
  await press("Home");
  await press(" ");
  await page.waitForTimeout(700);
  const { time, isPlaying } = await state(page);
  check(isPlaying && time > 0.1 && time < 2, `after 0.7 s of playing it is at ${time}`);
  check(!(await press(" ")).isPlaying, "Space does not pause");
  // Every control is reached by Tab, and seen.
  const reached = new Set();
  await page.evaluate(() => document.body.focus());
  for (let i = 0; i < 30; i += 1) {
    await page.keyboard.press("Tab");
    reached.add(await page.evaluate(() => document.activeElement.id || document.activeElement.dataset.view || document.activeElement.tagName));
  }
  for (const id of ["view", "front", "side", "top", "play", "cursor", "speed", "SUMMARY"]) check(reached.has(id), `Tab does not reach ${id}`);
}

async function turnByHand(page) {
  const box = await page.locator("#view").boundingBox();
  const before = await shot(page, "#view");
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width / 2 + 80, box.y + box.height / 2 + 20, { steps: 4 });
  await page.mouse.up();
  await page.waitForTimeout(150);
  check((await state(page)).view === "free" && differ(before, await shot(page, "#view")), "dragging does not turn the bodies");
}

/** The glb of the page by three.js: joints of everybody at some times, 0.1 mm. */
async function compareWithThree(page, html, data) {
  const base64 = /<script type="model\/gltf-binary" id="motion">([^<]*)</.exec(html)[1];
  const glb = join(folder, "page.glb");
  writeFileSync(glb, Buffer.from(base64, "base64"));
  const times = Array.from({ length: 23 }, (_, i) => ((i + 0.37) / 23) * (data.duration - 1 / data.frame_rate));
  const input = JSON.stringify({ times, vertices_at: [] });
  const answer = JSON.parse(execFileSync(process.execPath, [join(here, "glb_joints.mjs"), glb], { input, maxBuffer: 1 << 28 }));
  const { numErrors, numWarnings } = answer.issues;
  check(numErrors === 0 && numWarnings === 0, `gltf-validator: ${JSON.stringify(answer.issues.messages)}`);
  let [compared, worst] = [0, 0];
  for (const [i, time] of times.entries()) {
    const own = await page.evaluate((t) => meshreel.jointsAt(t), time);
    answer.frames[i].forEach(({ joints, scale }, person) => {
      const isSeen = scale.every((s) => s > 0.5);
      if (isSeen !== (own[person] !== null)) return wrong.push(`person ${person} at ${time}: three.js shows them: ${isSeen}`);
      if (!isSeen) return;
      joints.forEach((joint, j) => {
        worst = Math.max(worst, Math.hypot(...joint.map((v, k) => v - own[person][j][k])));
        compared += 1;
      });
    });
  }
  check(compared > 100 && worst < 0.1 * MILLIMETRE, `three.js: ${compared} joints, ${(worst / MILLIMETRE).toFixed(4)} mm at worst`);
  return { compared, worst };
}

const backgrounds = [];
const background = async (page) => backgrounds.push(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));

async function lookAtPage() {
  const html = readFileSync(file, "utf8");
  const { page, took } = await open();
  const data = await page.evaluate(() => JSON.parse(document.getElementById("data").textContent));
  check((await state(page)).mode === "webgl", "there is no WebGL");
  check(await page.evaluate(() => document.getElementById("video").readyState > 0 || new Promise((done) => document.getElementById("video").addEventListener("loadeddata", () => done(true), { once: true }))), "no video");
  check((await page.title()) === data.name && (await page.textContent("h1")) === data.name, "it is not called by its name");
  const cells = await page.locator("#angles td.number").allTextContents();
  check(cells.length === 33 && cells.every((cell) => /^−?\d+°$/.test(cell)), `the table says ${cells.join(" ")}`);
  check((await page.locator(".chart").count()) === 6, "there are not six charts");
  check((await page.locator(".lane .seen").count()) >= data.people.length, "somebody was never in view");
  await lookAtTime(page, data);
  await pressKeys(page, data);
  await turnByHand(page);
  const { compared, worst } = await compareWithThree(page, html, data);
  await seek(page, data.duration / 2);
  await page.evaluate(() => meshreel.look("front"));
  await background(page);
  await page.screenshot({ path: join(folder, "light.png") });
  check((await page.evaluate(() => meshreel.errors)).length === 0, "errors");

  const dark = (await open({ colorScheme: "dark" })).page;
  await background(dark);
  await dark.screenshot({ path: join(folder, "dark.png") });
  check(backgrounds[0] !== backgrounds[1], "light and dark are the same");
  const phone = (await open({ width: 390, height: 844 })).page;
  const places = await Promise.all(["#video-box", "#view-box"].map((box) => phone.locator(box).boundingBox()));
  check(places[1].y >= places[0].y + places[0].height, "a phone has more than one column");
  await phone.screenshot({ path: join(folder, "phone.png"), fullPage: true });

  const plain = (await open({ withoutWebGL: true })).page;
  check((await state(plain)).mode === "canvas", "without WebGL it is not the canvas");
  await seek(plain, data.duration * 0.3);
  const before = await shot(plain, "#screen");
  check((await drawn(plain, "ink")) > 500, "without WebGL there is no skeleton");
  await seek(plain, data.duration * 0.7);
  check(differ(before, await shot(plain, "#screen")), "the skeleton does not move");
  await plain.screenshot({ path: join(folder, "skeleton.png") });
  console.log(`${(html.length / 1e6).toFixed(2)} MB, shown after ${took} ms; ${compared} joints within ${(worst / MILLIMETRE).toFixed(4)} mm of three.js`);
}

async function lookAtNobody() {
  const { page } = await open();
  check((await state(page)).mode === "empty", "somebody is in it");
  check((await page.textContent("body")).includes("Nobody was found"), "it does not say that there is nobody");
  for (const key of ["n", "p", "f", "2", "ArrowRight", "End"]) await page.keyboard.press(key);
  await seek(page, 0.5);
  await page.screenshot({ path: join(folder, "nobody.png") });
}

async function lookAtIndex() {
  for (const options of [{}, { width: 390, height: 844, colorScheme: "dark" }]) {
    const { page } = await open({ ...options, ready: "document.querySelectorAll('tbody tr').length > 0" });
    const rows = await page.locator("tbody tr").count();
    check(rows === (await page.evaluate(() => entries.length)), `${rows} rows`);
    for (const address of await page.locator("tbody a").evaluateAll((links) => links.map((link) => link.href))) check(existsSync(fileURLToPath(address)), `${address} is not there`);
    await page.screenshot({ path: join(folder, `index-${options.width ?? 1280}.png`) });
    await page.fill("#search", "no such name");
    check((await page.locator("tbody tr").count()) === 0, "the search finds what is not there");
    await page.fill("#search", "");
    if (options.width) continue;
    const names = () => page.locator("tbody .name").allTextContents();
    const first = await names();
    await page.click("th[data-key=name] button");
    check(JSON.stringify((await names()).reverse()) === JSON.stringify(first), "a second click on a column does not turn the order");
    check((await page.locator("tfoot").textContent()).includes(`Total of ${rows}`), "no totals");
  }
}

try {
  await { page: lookAtPage, nobody: lookAtNobody, index: lookAtIndex }[kind]();
} catch (error) {
  wrong.push(String(error));
}
await browser.close();
wrong.forEach((line) => console.error(line));
process.exit(wrong.length ? 1 : 0);
