// Takes a picture of a report page.
//
//     node screenshot.mjs PAGE.html PICTURE.png [SECONDS [KEYS [WIDTH HEIGHT]]]    at a time of the clip, after keys such as 2f
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { launch } from "./browser.mjs";

const [file, picture, seconds = "0", keys = "", width = "1280", height = "800"] = process.argv.slice(2);
const browser = await launch();
const page = await browser.newPage({ viewport: { width: Number(width), height: Number(height) } });
await page.goto(pathToFileURL(resolve(file)).href);
await page.waitForFunction("window.meshreel");
for (const key of keys) await page.keyboard.press(key);
await page.evaluate((time) => meshreel.seek(time), Number(seconds));
// The video takes a moment to show the frame.
await page.waitForTimeout(500);
await page.screenshot({ path: picture });
await browser.close();
