// The browser that reads pages: the system's Chromium, or else the one that playwright fetched.
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

/** Headless, and with WebGL where there is no GPU. */
export const launch = () =>
  chromium.launch({
    executablePath: ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find(existsSync),
    args: ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox"],
  });
