// Events: the inspector follows a channel, the creator publishes.

import { allApps, appPath, call, follow } from "./api.js";
import { announce, count, counted, field, h } from "./dom.js";

/** Events that stay on the page. */
const SHOWN_MAX = 200;
const AGAIN_MS = 1_000;

export async function showEvents({ show, signal, rest: [wantedApp, wantedChannel] }) {
  const apps = (await allApps()).map(({ app }) => app.app_id);
  if (!apps.length) return show("Events", h("p", {}, "There is no app yet: make one under Apps."));
  const picker = () => h("select", {}, apps.map((id) => h("option", { selected: id === wantedApp }, id)));
  show("Events", h("div", { class: "columns two" },
    inspector(field("App", picker(), { grow: true }), wantedChannel ?? "my-channel", signal, Boolean(wantedChannel)),
    creator(field("App", picker(), { grow: true }), wantedChannel ?? "my-channel")));
}

function inspector(app, wanted, signal, atOnce) {
  const channel = field("Channel", h("input", { required: true, autocomplete: "off", spellcheck: "false" }), { hint: "A name, or a beginning with * behind it", grow: true });
  channel.input.value = wanted;
  const state = h("p", { class: "hint", role: "status" }, "Not following.");
  const log = h("div", { id: "log", role: "log", "aria-label": "Events", tabindex: 0 });
  const toggle = h("button", { class: "main" }, "Follow");
  const paused = h("input", { type: "checkbox" });
  let following;
  let seen = 0;
  let missed = 0;
  let lost = [];
  const tell = () => {
    const what = seen ? `${counted(seen, "event")} seen${missed ? `, ${count(missed)} missed: they came too fast` : ""}.` : "Waiting for events.";
    state.textContent = `Following. ${what}${lost.length ? ` What ${lost.join(", ")} dispatches is not seen.` : ""}`;
  };
  const stop = () => {
    following?.abort();
    following = undefined;
    toggle.textContent = "Follow";
    state.textContent = `Not following. ${counted(seen, "event")} seen.`;
  };
  const add = (event) => {
    seen += 1;
    missed += event.missed;
    if (paused.checked) return;
    log.prepend(entry(event));
    while (log.children.length > SHOWN_MAX) log.lastChild.remove();
    tell();
  };
  const start = async () => {
    const mine = (following = new AbortController());
    signal.addEventListener("abort", () => mine.abort());
    toggle.textContent = "Stop";
    seen = missed = 0;
    const begun = () => ((lost = []), tell());
    const unheard = (names) => ((lost = names), tell());
    while (!mine.signal.aborted) {
      try {
        channel.say();
        await follow(app.input.value, channel.input.value, { begun, seen: add, unheard, signal: mine.signal });
      } catch (error) {
        if (mine.signal.aborted) return;
        if (error.status) return stop(), channel.say(error.message);
      }
      state.textContent = "The server has gone; trying again.";
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  };
  const submit = (event) => (event.preventDefault(), following ? stop() : start());
  if (atOnce) queueMicrotask(start);
  return h("section", { class: "panel", "aria-label": "Inspector" },
    h("h3", {}, "Inspector"),
    h("form", { class: "row", onsubmit: submit }, app.element, channel.element, toggle),
    h("div", { class: "row" },
      h("label", { class: "check" }, paused, "Pause"),
      h("button", { type: "button", onclick: () => log.replaceChildren() }, "Clear")),
    state, log);
}

function entry({ channel, name, data, data_bytes, tags, message_id, subscriptions, nodes, by_client, missed }) {
  const more = new TextEncoder().encode(data).length < data_bytes ? ` (the first part of ${count(data_bytes)} bytes)` : "";
  const shownTags = Object.entries(tags ?? {}).map(([key, value]) => `${key}=${value}`).join(" ");
  const facts = [
    new Date().toLocaleTimeString("en-GB"), by_client ? "from a client" : "from a backend",
    `${counted(subscriptions, "subscription")} on ${counted(nodes, "node")}`, shownTags && `tags ${shownTags}`, `id ${message_id}`,
    missed && `${counted(missed, "event")} before this one missed`,
  ];
  return h("div", { class: "event" },
    h("p", {}, h("strong", {}, name), h("span", { class: "mono" }, channel)),
    h("pre", { tabindex: data.length > 800 ? 0 : undefined }, pretty(data) + more),
    h("p", { class: "hint" }, facts.filter(Boolean).join(" · ")));
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function creator(app, wanted) {
  const text = (properties) => h("input", { autocomplete: "off", spellcheck: "false", ...properties });
  const fields = {
    channels: field("Channels", text({}), { hint: "Several are separated by commas" }),
    user_id: field("Or a user id", text({}), { hint: "All connections signed in as this user" }),
    name: field("Event name", text({ required: true })),
    data: field("Data", h("textarea", { required: true, spellcheck: "false" }), { hint: "Goes to clients as it is; mostly JSON" }),
    tags: field("Tags", text({}), { hint: "key=value, several separated by commas" }),
    socket_id: field("Socket to leave out", text({})),
  };
  fields.channels.input.value = wanted;
  fields.name.input.value = "hello";
  fields.data.input.value = '{"text":"hi"}';
  const result = h("p", { role: "status" });
  const submit = async (event) => {
    event.preventDefault();
    for (const one of Object.values(fields)) one.say();
    result.textContent = "";
    result.className = "";
    try {
      const { message_id, subscriptions } = await call("POST", appPath(app.input.value, "/events"), written(fields));
      const counts = Object.entries(subscriptions).map(([name, number]) => `${name}: ${count(number)}`).join(", ");
      result.className = "good";
      result.textContent = `Published as ${message_id}. Subscriptions: ${counts || "none"}.`;
    } catch (error) {
      const at = fields[(error.field ?? "").replace(/\[.*$/, "").replace(/^channel$/, "channels")];
      if (at) at.say(error.message), at.input.focus();
      else announce(error.message, true);
    }
  };
  return h("section", { class: "panel", "aria-label": "Creator" },
    h("h3", {}, "Publish an event"),
    h("form", { onsubmit: submit }, h("section", {}, app.element, Object.values(fields).map((one) => one.element),
      h("div", { class: "row" }, h("button", { class: "main" }, "Publish")), result)));
}

function written({ channels, user_id, name, data, tags, socket_id }) {
  const parts = (text) => text.split(",").map((part) => part.trim()).filter(Boolean);
  const pair = (text) => (text.includes("=") ? [text.slice(0, text.indexOf("=")), text.slice(text.indexOf("=") + 1)] : [text, ""]);
  const user = user_id.input.value.trim();
  return {
    name: name.input.value, data: data.input.value, user_id: user, socket_id: socket_id.input.value.trim(),
    channels: user ? [] : parts(channels.input.value), tags: Object.fromEntries(parts(tags.input.value).map(pair)),
  };
}
