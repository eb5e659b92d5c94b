// Live connections of an app: the newest of all nodes, and how many there are beyond.

import { allApps, appPath, call } from "./api.js";
import { announce, count, counted, field, h, table } from "./dom.js";
import { duration } from "./units.js";

/** So many channels of a connection are seen; the others are folded away. */
const CHANNELS_OPEN = 3;

export async function showConnections({ show, signal, rest: [wantedApp, wantedChannel] }) {
  const apps = (await allApps()).map(({ app }) => app.app_id);
  if (!apps.length) return show("Connections", h("p", {}, "There is no app yet: make one under Apps."));
  const app = field("App", h("select", {}, apps.map((id) => h("option", { selected: id === wantedApp }, id))), { grow: true });
  const channel = field("Subscribed to", h("input", { autocomplete: "off", spellcheck: "false", placeholder: "any channel" }), { grow: true });
  channel.input.value = wantedChannel ?? "";
  const summary = h("p", { class: "hint", role: "status" });
  const list = h("section", { "aria-label": "Connections" });
  const reload = async (event) => {
    event?.preventDefault();
    const answer = await call("GET", appPath(app.input.value, "/connections", { channel: channel.input.value.trim() }));
    if (signal.aborted) return;
    summary.replaceChildren(...summed(answer));
    list.replaceChildren(shown(app.input.value, answer.connections));
  };
  const tell = (event) => reload(event).catch((error) => signal.aborted || announce(error.message, true));
  app.input.addEventListener("change", tell);
  show("Connections",
    h("form", { class: "row", onsubmit: tell }, app.element, channel.element, h("button", { class: "main" }, "Show")),
    summary, list);
  await reload();
}

function summed({ nodes, connections }) {
  const total = nodes.reduce((sum, node) => sum + (node.total ?? 0), 0);
  const silent = nodes.filter((node) => node.total === null).map((node) => node.node);
  const all = `${counted(total, "connection")} on ${counted(nodes.length - silent.length, "node")}`;
  const rest = total > connections.length ? `, the newest ${count(connections.length)} are shown` : "";
  const bad = silent.length ? h("span", { class: "bad" }, ` No answer from ${silent.join(", ")}.`) : undefined;
  return [`${all}${rest}.`, bad].filter(Boolean);
}

function shown(app, connections) {
  const link = (name) => h("a", { href: `#/events/${encodeURIComponent(app)}/${encodeURIComponent(name)}` }, name);
  const links = (names) => names.flatMap((name, place) => (place ? [", ", link(name)] : [link(name)]));
  const named = ({ channels, channels_total }) => {
    const more = channels_total - CHANNELS_OPEN;
    if (more <= 0) return h("span", {}, links(channels));
    const beyond = channels_total - channels.length;
    return h("div", {}, links(channels.slice(0, CHANNELS_OPEN)), h("details", {},
      h("summary", {}, `${count(more)} more`),
      links(channels.slice(CHANNELS_OPEN)), beyond > 0 ? ` and ${count(beyond)} that are not listed` : ""));
  };
  return table("Newest first", [
    ["Socket", ({ socket_id }) => h("code", {}, socket_id)],
    ["User", ({ user_id }) => user_id || h("span", { class: "hint" }, "nobody")],
    ["Open for", ({ age_ms }) => duration(Math.floor(age_ms / 1_000)), "number"],
    ["Node", ({ node }) => node, "short"],
    ["Waiting", ({ waiting_bytes }) => `${count(waiting_bytes)} bytes`, "number"],
    ["Channels", named, "wide"],
  ], connections, "Nobody is connected.");
}
