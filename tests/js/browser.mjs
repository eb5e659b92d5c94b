// A browser at a page: opens it, waits for texts to appear, and fails on anything the console calls an error.
//
//   node browser.mjs --url http://127.0.0.1:6001/ --text connected [--text …] [--screenshot page.png]
//                    [--timeout-ms 10000] [--width 1280] [--height 800] [--dark]
//
// Lines: {"type":"loaded","status"} {"type":"text","text"} {"type":"error","error"} {"type":"done"}
// Each --text, or --text /pattern/, is waited for in turn; after each one found a line is written, so that a test can act
// between two of them. Exit code 0: all texts came and the console was clean; 1: otherwise.

import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { describe, say } from "./lines.mjs";

const { values: options } = parseArgs({
  options: {
    url: { type: "string" },
    text: { type: "string", multiple: true, default: [] },
    screenshot: { type: "string" },
    executable: { type: "string", default: "/usr/bin/chromium" },
    "timeout-ms": { type: "string", default: "10000" },
    width: { type: "string", default: "1280" },
    height: { type: "string", default: "800" },
    dark: { type: "boolean", default: false },
  },
});

// Quiet: without these Chromium talks to the outside on its own account.
const args = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

function fail(error) {
  say({ type: "error", error });
  process.exitCode = 1;
}

const browser = await chromium.launch({ executablePath: options.executable, args });
try {
  const page = await browser.newPage({
    viewport: { width: Number(options.width), height: Number(options.height) },
    colorScheme: options.dark ? "dark" : "light",
  });
  page.setDefaultTimeout(Number(options["timeout-ms"]));
  page.on("pageerror", (error) => fail(describe(error)));
  page.on("console", (message) => {
    if (message.type() === "error") fail({ message: message.text(), at: message.location().url });
  });
  const response = await page.goto(options.url);
  say({ type: "loaded", status: response.status() });
  for (const text of options.text) {
    const [, pattern] = text.match(/^\/(.*)\/$/) ?? [];
    await page.getByText(pattern ? new RegExp(pattern) : text).first().waitFor();
    say({ type: "text", text });
  }
  if (options.screenshot) await page.screenshot({ path: options.screenshot, fullPage: true });
} catch (error) {
  fail(describe(error));
} finally {
  await browser.close();
}
if (!process.exitCode) say({ type: "done" });
