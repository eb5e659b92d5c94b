// The cluster: who takes part and how they do, and plots of the last minutes.

import { call } from "./api.js";
import { announce, count, h, table } from "./dom.js";
import { level, plot, rate } from "./plot.js";
import { duration } from "./units.js";

const REFRESH_MS = 2_000;

export async function showOverview({ show, signal }) {
  const plots = h("div", { class: "plots" });
  const cluster = h("section", {});
  show("Overview",
    h("section", { "aria-label": "The last ten minutes" }, h("h3", {}, "The last ten minutes"), plots),
    cluster);
  let failed = false;
  while (!signal.aborted) {
    try {
      const [view, { samples }] = await Promise.all([call("GET", "/cluster"), call("GET", "/history")]);
      if (signal.aborted) return;
      // What somebody reads or has scrolled is not replaced under their eyes.
      if (!cluster.contains(document.activeElement)) cluster.replaceChildren(...tables(view));
      plots.replaceChildren(...drawings(samples));
      if (failed) announce("The server answers again.");
      failed = false;
    } catch (error) {
      if (!failed && !signal.aborted) announce(`No news: ${error.message}`, true);
      failed = true;
    }
    await new Promise((resolve) => setTimeout(resolve, REFRESH_MS));
  }
}

function drawings(samples) {
  return [
    plot("Events published", rate(samples, "events"), "/s"),
    plot("Events sent to nodes", rate(samples, "dispatched"), "/s"),
    plot("Client events", rate(samples, "client_events"), "/s"),
    plot("Refused by limits", rate(samples, "rate_limited"), "/s"),
    plot("Connections", level(samples, "connections")),
    plot("Channels", level(samples, "channels")),
    plot("Waiting for nodes", level(samples, "queue_events")),
    plot("Queue overflows", rate(samples, "overflows"), "/s"),
  ];
}

function tables({ version, control_planes, nodes, watchers, connections }) {
  return [
    table(`Control planes (version ${version})`, [
      ["Name", (plane) => plane.name],
      ["Life", (plane) => h("code", {}, plane.owner)],
      ["State", standing],
      ["Shards", (plane) => count(plane.shards), "number"],
      ["Epoch", (plane) => count(plane.epoch_max), "number"],
      ["Up", own((view) => duration(view.uptime_seconds)), "number"],
      ["Channels", own((view) => count(view.channels)), "number"],
      ["Apps", own((view) => count(view.apps)), "number"],
      ["Config revision", own((view) => count(view.config_revision)), "number"],
      ["Config age", own((view) => age(view.config_age_seconds)), "number"],
    ], control_planes, "None"),
    table("Nodes", [
      ["Name", (node) => node.name],
      ["State", state],
      ["Connections", (node) => count(node.connections), "number"],
      ["Queue", (node) => `${count(node.queue_events)} events, ${count(node.queue_bytes)} bytes`, "number"],
      ["Lag", (node) => `${count(node.lag_ms)} ms`, "number"],
    ], nodes, "No node is attached."),
    table("Connections by app", [
      ["App", (entry) => h("a", { href: `#/connections/${encodeURIComponent(entry.app_id)}` }, entry.app_id)],
      ["Node", (entry) => entry.node],
      ["Connections", (entry) => count(entry.connections), "number"],
    ], connections.slice(0, 200), "Nobody is connected."),
    table("Gateways and nodes that follow the settings", [
      ["Name", (watcher) => watcher.name],
      ["For", (watcher) => duration(watcher.seconds), "number"],
      ["Revision told", (watcher) => count(watcher.revision), "number"],
    ], watchers, "None over the network: in one process all planes share the settings."),
  ];
}

/** What only the control plane that was asked knows of itself. */
const own = (show) => (plane) => (plane.own ? show(plane.own) : h("span", { class: "hint" }, "ask it"));

function standing({ reachable, eligible }) {
  if (!reachable) return h("span", { class: "bad" }, "silent");
  return eligible ? h("span", { class: "good" }, "serving") : h("span", { class: "warn" }, "takes no shards");
}

function state(node) {
  if (!node.attached) return h("span", { class: "bad" }, "lost");
  if (node.draining) return h("span", { class: "warn" }, "draining");
  return node.healthy ? h("span", { class: "good" }, "healthy") : h("span", { class: "bad" }, "lagging");
}

function age(seconds) {
  if (seconds === null) return h("span", { class: "bad" }, "never confirmed");
  return h("span", { class: seconds > 120 ? "bad" : undefined }, `${seconds.toFixed(1)} s`);
}
