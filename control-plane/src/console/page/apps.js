// Apps and their settings. What may stand where is the server's to say: it names the field at fault.

import { allApps, appPath, call } from "./api.js";
import { announce, confirm, field, h, table } from "./dom.js";

// [name, label, what holds where nothing is set]
const LIMITS = [
  ["connections_max", "Connections", "unlimited"],
  ["channels_per_connection_max", "Channels per connection", "1,000"],
  ["backend_events_per_second", "Backend events per second", "unlimited"],
  ["read_requests_per_second", "Read requests per second", "unlimited"],
  ["client_events_per_second", "Client events per window", "unlimited"],
  ["client_events_window_seconds", "Client event window, seconds", "1"],
  ["event_name_chars_max", "Event name, characters", "200"],
  ["channel_name_bytes_max", "Channel name, bytes", "200"],
  ["channels_per_event_max", "Channels per event", "100"],
  ["event_payload_kib_max", "Event data, KiB", "100"],
  ["batch_events_max", "Events per batch", "10"],
  ["presence_members_max", "Users of a presence channel", "100"],
  ["presence_member_kib_max", "A member's user_info, KiB", "2"],
  ["user_authentication_timeout_seconds", "Time to sign in, seconds", "3,600"],
];
const SWITCHES = [
  ["enabled", "App is enabled", "on"],
  ["features.client_events", "Client events", "off"],
  ["features.user_authentication", "Sockets must sign in", "off"],
  ["features.watchlist_events", "Watchlist events", "off"],
  ["features.subscription_count_events", "Subscription counts to clients", "off"],
  ["features.tag_filtering", "Tag filters", "on"],
  ["features.tags_delivered", "Tags in what clients receive", "on"],
  ["features.delta_compression", "Delta compression", "on"],
  ["limits.client_events_terminate", "Close connections over the client event limit", "off"],
];
// What is edited as JSON.
const REST = [
  "allowed_origins", "webhooks", "channel_delta_compression", "limits.message_rate_limit", "idempotency",
  "channel_namespaces", "connection_recovery", "history", "presence_history",
];

export async function showApps({ show, signal, rest: [id] }) {
  if (id) return showApp(show, await call("GET", appPath(id)));
  const apps = await allApps();
  if (signal.aborted) return;
  show("Apps",
    table("Apps", [
      ["Id", ({ app }) => h("a", { href: `#/apps/${encodeURIComponent(app.app_id)}` }, app.app_id)],
      ["Key", ({ app }) => h("code", {}, app.key)],
      ["State", ({ app }) => (app.enabled === false ? h("span", { class: "bad" }, "disabled") : "enabled")],
      ["Webhooks", ({ app }) => app.webhooks.length, "number"],
      ["Revision", ({ revision }) => revision, "number"],
    ], apps, "There is no app yet."),
    createForm());
}

function createForm() {
  const input = () => h("input", { autocomplete: "off", spellcheck: "false" });
  const fields = {
    app_id: field("Id", input(), { hint: "A-Z a-z 0-9 _ - ." }),
    key: field("Key", input(), { hint: "Made where empty" }),
    secret: field("Secret", input(), { hint: "Made where empty" }),
  };
  const result = h("div", { role: "status" });
  const submit = async (event) => {
    event.preventDefault();
    const [app_id, key, secret] = Object.values(fields).map(({ input }) => input.value.trim());
    await attempt(fields, async () => {
      const made = await call("POST", "/apps", { app: { app_id, key }, secret });
      result.replaceChildren(once(`The app ${made.app.app_id} is made.`, made));
    });
  };
  return h("form", { class: "panel", onsubmit: submit }, h("section", {}, h("h3", {}, "New app"),
    h("div", { class: "fields" }, Object.values(fields).map(({ element }) => element)),
    h("div", { class: "row" }, h("button", { class: "main" }, "Make app")), result));
}

/** A secret is shown once. */
function once(message, { app, secret }) {
  return h("div", {}, h("p", { class: "good" }, message, " ", h("a", { href: `#/apps/${encodeURIComponent(app.app_id)}` }, "Its settings")),
    h("dl", {}, h("dt", {}, "Key"), h("dd", {}, h("code", {}, app.key)), h("dt", {}, "Secret"), h("dd", {}, h("code", {}, secret))),
    h("p", { class: "hint" }, "The secret is not shown again."));
}

function showApp(show, shown) {
  const { app, revision, updated } = shown;
  const when = updated ? new Date(updated * 1000).toLocaleString("en-GB") : "never";
  const facts = [h("dt", {}, "Key"), h("dd", {}, h("code", {}, app.key)), h("dt", {}, "Revision"), h("dd", {}, String(revision)), h("dt", {}, "Changed"), h("dd", {}, when)];
  const path = encodeURIComponent(app.app_id);
  show(`App ${app.app_id}`,
    h("p", {}, h("a", { href: "#/apps" }, "All apps"), " · ", h("a", { href: `#/channels/${path}` }, "Channels"), " · ", h("a", { href: `#/connections/${path}` }, "Connections"), " · ", h("a", { href: `#/events/${path}` }, "Events")),
    h("dl", {}, facts), settingsForm(show, shown), secretPanel(show, shown));
}

function settingsForm(show, { app, revision }) {
  const fields = {};
  const add = (path, label, input, options) => (fields[path] = field(label, input, options)).element;
  const limits = LIMITS.map(([name, label, unset]) => add(`limits.${name}`, label,
    h("input", { inputmode: "numeric", autocomplete: "off", placeholder: unset, value: app.limits?.[name] ?? undefined })));
  const switches = SWITCHES.map(([path, label, unset]) => add(path, label, choice(at(app, path), unset)));
  const others = Object.fromEntries(REST.map((path) => [path, at(app, path) ?? null]));
  const text = h("textarea", { rows: 14, spellcheck: "false" });
  text.value = JSON.stringify(others, null, 2);
  const rest = field("Origins, webhooks, deltas and what else there is, as JSON", text, { hint: "Names as in apps.proto; null is the default" });
  const save = async (event) => {
    event.preventDefault();
    await attempt({ ...fields, ...Object.fromEntries(REST.map((path) => [path, rest])), "": rest }, async () => {
      const wanted = { ...values(fields), ...parsed(text.value) };
      const before = { ...Object.fromEntries(Object.keys(fields).map((path) => [path, at(app, path) ?? null])), ...others };
      const paths = Object.keys(wanted).filter((path) => JSON.stringify(wanted[path]) !== JSON.stringify(before[path] ?? null));
      if (!paths.length) return announce("Nothing has been changed.");
      const change = {};
      for (const path of paths) if (wanted[path] !== null) put(change, path, wanted[path]);
      showApp(show, await call("PATCH", appPath(app.app_id), { app: change, paths, revision }));
      announce(`Saved: ${paths.join(", ")}.`);
    });
  };
  return h("form", { class: "panel", onsubmit: save, novalidate: true }, h("section", {},
    h("h3", {}, "Settings"), h("div", { class: "fields" }, switches),
    h("h3", {}, "Limits"), h("p", { class: "hint" }, "An empty field means the default, which it shows."), h("div", { class: "fields" }, limits),
    rest.element, h("div", { class: "row" }, h("button", { class: "main" }, "Save"))));
}

function choice(value, unset) {
  const option = (text, name) => h("option", { value: name, selected: String(value ?? "") === name }, text);
  return h("select", {}, option(`Default (${unset})`, ""), option("On", "true"), option("Off", "false"));
}

/** What the fields say, by path. A number that is none stays text: the server refuses it. */
function values(fields) {
  return Object.fromEntries(Object.entries(fields).map(([path, { input }]) => {
    const text = input.value.trim();
    if (text === "") return [path, null];
    if (input.tagName === "SELECT") return [path, text === "true"];
    if (!/^\d+$/.test(text)) throw Object.assign(new Error(`${text} is no whole number`), { field: path });
    return [path, Number(text)];
  }));
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw Object.assign(new Error(`This is no JSON: ${error.message}`), { field: "" });
  }
}

const at = (object, path) => path.split(".").reduce((part, name) => part?.[name], object);

function put(object, path, value) {
  const names = path.split(".");
  const last = names.pop();
  names.reduce((part, name) => (part[name] ??= {}), object)[last] = value;
}

/** Does something; what the server refuses is said at the field at fault. */
async function attempt(fields, work) {
  for (const { say } of new Set(Object.values(fields))) say();
  try {
    await work();
  } catch (error) {
    const named = error.field ?? "";
    const path = Object.keys(fields).find((path) => path && (named === path || named === `app.${path}` || (path && named.startsWith(path))))
      ?? Object.keys(fields).find((path) => path && path.endsWith(`.${named.split(".").at(-1)}`)) ?? "";
    const place = fields[path];
    if (place) place.say(error.message), place.input.focus();
    announce(error.message, true);
  }
}

function secretPanel(show, { app, revision, previous_secret_valid }) {
  const result = h("div", { role: "status" });
  const tell = (work) => () => work().catch((error) => announce(error.message, true));
  const rotate = tell(async () => {
    if (!(await confirm(`Make a new secret for ${app.app_id}? The present one stays valid until it is retired.`, "Make it"))) return;
    const made = await call("POST", appPath(app.app_id, "/secret", { revision }));
    showApp(show, made);
    document.getElementById("content").append(h("div", { class: "panel", role: "status" }, once("There is a new secret.", made)));
    announce("There is a new secret.");
  });
  const retire = tell(async () => {
    showApp(show, await call("DELETE", appPath(app.app_id, "/previous-secret", { revision })));
    announce("The previous secret is valid no longer.");
  });
  const remove = tell(async () => {
    if (!(await confirm(`Delete the app ${app.app_id}? Its sockets are closed, its publishes refused.`, "Delete"))) return;
    await call("DELETE", appPath(app.app_id, "", { revision }));
    announce(`The app ${app.app_id} is deleted.`);
    location.hash = "#/apps";
  });
  return h("section", { class: "panel", "aria-label": "Secret and end" }, h("h3", {}, "Secret"),
    h("p", { class: "hint" }, previous_secret_valid ? "The secret from before the last rotation is still valid." : "One secret is valid."),
    h("div", { class: "row" },
      h("button", { onclick: rotate }, "New secret"),
      h("button", { onclick: retire, disabled: !previous_secret_valid }, "Retire the previous one"),
      h("button", { class: "danger", onclick: remove }, "Delete app")), result);
}
