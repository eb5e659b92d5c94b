// Uses the console as an operator does: every action, at two widths, with the keyboard where that is the point.
//
//   node console.mjs --url http://127.0.0.1:9601/ --token T --app app-id --channel presence-room --channels 10000
//                    --width 1280 --height 900 [--dark] [--screenshots folder]
//
// Lines: {"type":"step","step"} {"type":"error","error"} {"type":"done"}. Exit code 0: everything was done, no text was
// wider than the page, and the console said nothing but the refusals that were asked for.

import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { describe, say } from "./lines.mjs";

const { values: options } = parseArgs({
  options: {
    url: { type: "string" }, token: { type: "string" }, app: { type: "string" },
    channel: { type: "string" }, channels: { type: "string" }, screenshots: { type: "string" },
    executable: { type: "string", default: "/usr/bin/chromium" },
    width: { type: "string", default: "1280" }, height: { type: "string", default: "900" },
    dark: { type: "boolean", default: false },
  },
});
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

function fail(error) {
  say({ type: "error", error });
  process.exitCode = 1;
}

function check(holds, what) {
  if (!holds) throw new Error(`not so: ${what}`);
}

const browser = await chromium.launch({ executablePath: options.executable, args });
const viewport = { width: Number(options.width), height: Number(options.height) };
const page = await browser.newPage({ viewport, colorScheme: options.dark ? "dark" : "light" });
page.setDefaultTimeout(15_000);
page.on("pageerror", (error) => fail(describe(error)));
page.on("console", (message) => {
  // The browser itself reports what the server refuses; those refusals are asked for here.
  const refused = /the server responded with a status of 4\d\d/.test(message.text()) && message.location().url.includes("/console/api/");
  if (["error", "warning"].includes(message.type()) && !refused) fail({ message: message.text(), at: message.location().url });
});
page.on("request", (request) => {
  if (!request.url().startsWith(options.url) && !request.url().startsWith("data:")) fail({ message: "another host was asked", at: request.url() });
});

async function step(name, work) {
  await work();
  const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check(wider <= 0, `nothing is wider than the page (${name}: ${wider} px)`);
  const scrolling = await page.evaluate(() => [...document.querySelectorAll(".scroll, .scroll *")]
    .filter((element) => element.scrollWidth > element.clientWidth && getComputedStyle(element).display !== "inline" && !element.closest("thead"))
    .map((element) => `${element.tagName} ${element.textContent.slice(0, 60)}: ${element.scrollWidth} px in ${element.clientWidth}`));
  check(scrolling.length === 0, `no table scrolls sideways (${name}: ${scrolling})`);
  const nameless = await page.evaluate(() => [...document.querySelectorAll("input, select, textarea, button, [role=listbox], [role=img]")]
    .filter((element) => !(element.labels?.length || element.textContent.trim() || element.ariaLabel || element.getAttribute("aria-label")))
    .map((element) => element.outerHTML));
  check(nameless.length === 0, `everything has a name: ${nameless}`);
  if (options.screenshots) await page.screenshot({ path: `${options.screenshots}/${options.width}-${name.replace(/\W+/g, "-")}.png`, fullPage: true });
  say({ type: "step", step: name });
}

const heading = (name) => page.getByRole("heading", { name, exact: true, level: 2 }).waitFor();
const status = (text) => page.locator("#status").getByText(text).waitFor();
const tab = async (name) => (await page.getByRole("navigation").getByRole("link", { name }).click(), heading(name));

async function signIn() {
  await page.goto(options.url);
  await heading("Sign in");
  await page.keyboard.type("wrong");
  await page.keyboard.press("Enter");
  await page.getByText("This is not an admin token").waitFor();
  check(await page.getByLabel("Admin token").getAttribute("aria-invalid") === "true", "the field is marked");
  await page.getByLabel("Admin token").fill(options.token);
  await page.keyboard.press("Enter");
  await heading("Overview");
}

async function overview() {
  await page.getByRole("img", { name: /^Connections: \d/ }).waitFor();
  const nodes = page.getByRole("region", { name: "Nodes", exact: true });
  await nodes.getByText("healthy").waitFor();
  await page.getByRole("region", { name: /^Control planes/ }).getByText("1,024").waitFor();
  await page.getByRole("region", { name: "Gateways and nodes that follow the settings" }).getByText(/gateway at/).waitFor();
}

async function makeApp() {
  await tab("Apps");
  await page.getByLabel("Id").fill("not an id");
  await page.getByRole("button", { name: "Make app" }).click();
  await page.locator(".mistake:visible").first().waitFor();
  await page.getByLabel("Id").fill(`shop-${options.width}`);
  await page.getByLabel("Secret").fill("made-in-the-console");
  await page.getByRole("button", { name: "Make app" }).click();
  await page.getByText("is made").waitFor();
  await page.getByRole("link", { name: "Its settings" }).click();
  await heading(`App shop-${options.width}`);
}

async function changeSettings() {
  const limit = page.getByLabel("Event name, characters");
  await limit.fill("5000");
  await page.getByRole("button", { name: "Save" }).click();
  await page.locator(".mistake:visible").filter({ hasText: "1024" }).or(page.locator(".mistake:visible").filter({ hasText: "1,024" })).waitFor();
  check(await limit.getAttribute("aria-invalid") === "true", "the field at fault is marked");
  await limit.fill("many");
  await page.getByRole("button", { name: "Save" }).click();
  await page.locator(".mistake:visible").filter({ hasText: "no whole number" }).waitFor();
  await limit.fill("150");
  await page.getByLabel("Client events", { exact: true }).selectOption("On");
  const rest = page.getByLabel(/as JSON/);
  const others = JSON.parse(await rest.inputValue());
  await rest.fill(JSON.stringify({ ...others, allowed_origins: ["*.shop.example"] }));
  await page.getByRole("button", { name: "Save" }).click();
  await status("Saved: limits.event_name_chars_max, features.client_events, allowed_origins.");
  check(await page.getByLabel("Event name, characters").inputValue() === "150", "what was saved is shown");
  await page.getByLabel("Event name, characters").fill("");
  await page.getByRole("button", { name: "Save" }).click();
  await status("Saved: limits.event_name_chars_max.");
}

async function secretsAndEnd() {
  await page.getByRole("button", { name: "New secret" }).click();
  await page.getByRole("button", { name: "Make it" }).click();
  await page.getByText("There is a new secret.").first().waitFor();
  await page.getByRole("button", { name: "Retire the previous one" }).click();
  await status("The previous secret is valid no longer.");
  await page.getByRole("button", { name: "Delete app" }).click();
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("button", { name: "Delete app" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await heading("Apps");
}

async function channels() {
  const number = Number(options.channels).toLocaleString("en");
  // How long no frame was drawn from the click until everything was read and listed.
  const looked = page.evaluate((app) => new Promise((resolve) => {
    let [last, longest, frames] = [performance.now(), 0, 0];
    const look = (now) => {
      longest = Math.max(longest, now - last);
      frames += 1;
      last = now;
      if (document.body.textContent.includes("read in")) resolve({ longest, frames });
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
    location.hash = `#/channels/${app}`;
  }), options.app);
  await heading("Channels");
  await page.getByText(`${number} occupied channels`).waitFor();
  const { longest, frames } = await looked;
  say({ type: "step", step: `longest of ${frames} frames: ${Math.round(longest)} ms` });
  check(frames > 3 && longest < 500, `the page was not frozen: ${longest} ms, ${frames} frames`);
  const list = page.getByRole("listbox", { name: "Occupied channels" });
  check(await list.getByRole("option").count() < 60, "only what is seen is there");
  await list.focus();
  const began = Date.now();
  await page.keyboard.press("End");
  await page.locator(`[aria-posinset="${options.channels}"][aria-selected=true]`).waitFor();
  for (let presses = 0; presses < 20; presses += 1) await page.keyboard.press("PageUp");
  await page.keyboard.press("Home");
  await page.locator('[aria-posinset="1"][aria-selected=true]').waitFor();
  check(Date.now() - began < 3_000, `moving through the list took ${Date.now() - began} ms`);
}

async function oneChannel() {
  await page.getByLabel("Channels that begin with").fill("presence-");
  await page.getByRole("button", { name: "Show" }).click();
  await page.getByText(/^1 occupied/).waitFor();
  const list = page.getByRole("listbox", { name: "Occupied channels" });
  await list.focus();
  await page.keyboard.press("ArrowDown");
  await page.getByText("1: ann").waitFor();
}

async function connections() {
  await page.getByRole("link", { name: "Its connections" }).click();
  await heading("Connections");
  await page.getByText("1 connection on 1 node.").waitFor();
  const row = page.getByRole("row").filter({ hasText: "presence-room" });
  await row.getByText("ann", { exact: true }).waitFor();
  await row.getByText(/^\d+\.\d+$/).waitFor();
  await page.getByLabel("Subscribed to").fill("");
  await page.getByRole("button", { name: "Show" }).click();
  await page.getByText("2 connections on 1 node.").waitFor();
  check(await page.getByRole("table").getByRole("columnheader").count() === 6, "a table stays one, whatever it looks like");
  check(await row.getByRole("cell").count() === 6, "a row has a cell for each title");
  const crowded = page.getByRole("row").filter({ hasText: "9,996 more" });
  const folded = (await crowded.boundingBox()).height;
  check(folded < 300, `a long list is folded: ${folded} px`);
  await crowded.getByText("9,996 more").click();
  await crowded.getByText(/and 9,9\d\d that are not listed/).waitFor();
  check((await crowded.boundingBox()).height > folded, "it unfolds");
}

async function follow() {
  await page.getByRole("link", { name: "presence-room" }).first().click();
  await heading("Events");
  const inspector = page.getByRole("region", { name: "Inspector" });
  await inspector.getByText("Following. Waiting for events.").waitFor();
  const creator = page.getByRole("region", { name: "Creator" });
  await creator.getByLabel("Event name").fill("pusher:no");
  await creator.getByRole("button", { name: "Publish" }).click();
  await creator.locator(".mistake:visible").filter({ hasText: "reserved" }).waitFor();
  await creator.getByLabel("Event name").fill("greeting");
  await creator.getByLabel("Data").fill('{"text":"ü 🚀","markup":"<img src=x onerror=alert(1)>"}');
  await creator.getByLabel("Tags").fill("kind=goal, minute=90");
  await creator.getByRole("button", { name: "Publish" }).click();
  await creator.getByText(/Published as [0-9a-f]{32}/).waitFor();
  const log = page.getByRole("log");
  await log.getByText("ü 🚀").waitFor();
  await log.getByText("tags kind=goal minute=90").waitFor();
}

async function more() {
  const inspector = page.getByRole("region", { name: "Inspector" });
  const creator = page.getByRole("region", { name: "Creator" });
  await inspector.getByLabel("Pause").check();
  await creator.getByRole("button", { name: "Publish" }).click();
  await creator.getByText(/Published as/).waitFor();
  check(await page.locator("#log .event").count() === 1, "a paused inspector shows nothing new");
  await inspector.getByRole("button", { name: "Clear" }).click();
  check(await page.locator("#log .event").count() === 0, "it is cleared");
  await inspector.getByRole("button", { name: "Stop" }).click();
  await inspector.getByText("Not following.").waitFor();
  await inspector.getByLabel("Channel").fill("presence-*");
  await inspector.getByLabel("Pause").uncheck();
  await inspector.getByRole("button", { name: "Follow" }).click();
  await inspector.getByText("Following. Waiting for events.").waitFor();
  await creator.getByLabel("Channels", { exact: true }).fill("");
  await creator.getByLabel("Or a user id").fill("ann");
  await creator.getByRole("button", { name: "Publish" }).click();
  await creator.getByText(/Published as .*server-to-user-ann/).waitFor();
}

async function terminate() {
  await tab("Channels");
  await page.getByLabel("User id").fill("ann");
  await page.getByRole("button", { name: "Close connections" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Close them" }).click();
  await status("The connections of ann are closed.");
}

async function keyboard() {
  await tab("Overview");
  await page.evaluate(() => document.activeElement.blur());
  const reached = [];
  for (let presses = 0; presses < 14; presses += 1) {
    await page.keyboard.press("Tab");
    reached.push(await page.evaluate(() => document.activeElement.textContent.slice(0, 20).trim()));
  }
  for (const name of ["Skip to content", "Overview", "Apps", "Channels", "Connections", "Events", "Sign out"]) check(reached.includes(name), `${name} is reached with Tab: ${reached}`);
}

async function signOut() {
  await page.getByRole("button", { name: "Sign out" }).click();
  await heading("Sign in");
  check(!(await page.locator("nav").isVisible()), "who is signed out is shown no tabs");
  check(await page.evaluate(() => sessionStorage.length + localStorage.length + document.cookie.length) === 0, "nothing of the token is left");
}

try {
  for (const [name, work] of Object.entries({ signIn, overview, makeApp, changeSettings, secretsAndEnd, channels, oneChannel, connections, follow, more, terminate, keyboard, signOut })) {
    await step(name, work);
  }
} catch (error) {
  fail(describe(error));
  if (options.screenshots) await page.screenshot({ path: `${options.screenshots}/${options.width}-failed.png`, fullPage: true });
} finally {
  await browser.close();
}
if (!process.exitCode) say({ type: "done" });
