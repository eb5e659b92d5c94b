// Occupied channels of an app, however many; one of them in full; users and their end.

import { allApps, appPath, call } from "./api.js";
import { announce, confirm, count, counted, field, h } from "./dom.js";
import { VirtualList } from "./list.js";

const USERS_MAX = 200;

export async function showChannels({ show, signal, rest: [wanted] }) {
  const apps = await allApps();
  const picked = wanted && apps.some(({ app }) => app.app_id === wanted) ? wanted : apps[0]?.app.app_id;
  if (!picked) return show("Channels", h("p", {}, "There is no app yet: make one under Apps."));
  const app = field("App", h("select", {}, apps.map(({ app: { app_id } }) => h("option", { selected: app_id === picked }, app_id))), { grow: true });
  const prefix = field("Channels that begin with", h("input", { autocomplete: "off", spellcheck: "false" }), { grow: true });
  const summary = h("p", { class: "hint", role: "status" });
  const detail = h("section", { class: "panel", "aria-label": "Channel" }, h("p", { class: "hint" }, "Choose a channel to look into it."));
  const list = new VirtualList("Occupied channels", {
    row: ({ name, subscriptions }) => [h("span", {}, name), h("span", {}, count(subscriptions))],
    chosen: ({ name }) => look(app.input.value, name, detail),
  });
  const reload = async (event) => {
    event?.preventDefault();
    const began = performance.now();
    const entries = await load(app.input.value, prefix.input.value, signal, (soFar) => (summary.textContent = `${count(soFar)} channels so far…`));
    if (signal.aborted) return;
    list.show(entries);
    summary.textContent = `${counted(entries.length, "occupied channel")} (name, subscriptions), read in ${Math.round(performance.now() - began)} ms.`;
  };
  const tell = (work) => (event) => work(event).catch((error) => signal.aborted || announce(error.message, true));
  app.input.addEventListener("change", tell(reload));
  show("Channels",
    h("form", { class: "row", onsubmit: tell(reload) }, app.element, prefix.element, h("button", { class: "main" }, "Show")),
    h("div", { class: "columns two" }, h("section", {}, list.element, summary), h("div", { class: "columns" }, detail, terminate(app.input))));
  await reload();
}

/** All pages. */
async function load(app, prefix, signal, progress) {
  const entries = [];
  let page_token = "";
  do {
    const page = await call("GET", appPath(app, "/channels", { prefix, page_token }));
    entries.push(...page.entries);
    progress(entries.length);
    page_token = page.next_page_token;
  } while (page_token && !signal.aborted);
  return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
}

let looks = 0;

async function look(app, name, detail) {
  const turn = ++looks;
  try {
    const channel = await call("GET", appPath(app, "/channel", { name }));
    const users = channel.users === null ? undefined : await call("GET", appPath(app, "/users", { name }));
    if (turn === looks) detail.replaceChildren(...described(app, channel, users));
  } catch (error) {
    if (turn === looks) detail.replaceChildren(h("p", { class: "mistake", role: "alert" }, error.message));
  }
}

function described(app, { name, subscriptions, users: members, cached }, users) {
  const facts = [h("dt", {}, "Subscriptions"), h("dd", {}, count(subscriptions))];
  if (users) {
    const shown = users.entries.slice(0, USERS_MAX).join(", ");
    const more = members > USERS_MAX ? ` and ${count(members - USERS_MAX)} more` : "";
    facts.push(h("dt", {}, "Users"), h("dd", {}, `${count(members)}: ${shown}${more}`));
  }
  if (cached) facts.push(h("dt", {}, "Last event"), h("dd", {}, cached.event, h("pre", {}, cached.data)));
  const path = `${encodeURIComponent(app)}/${encodeURIComponent(name)}`;
  return [h("h3", { class: "mono" }, name), h("dl", {}, facts),
    h("p", {}, h("a", { href: `#/events/${path}` }, "Follow its events"), " · ", h("a", { href: `#/connections/${path}` }, "Its connections"))];
}

function terminate(app) {
  const user = field("User id", h("input", { required: true, autocomplete: "off" }), { grow: true });
  const submit = async (event) => {
    event.preventDefault();
    const user_id = user.input.value;
    if (!(await confirm(`Close all connections of the user ${user_id} of ${app.value}?`, "Close them"))) return;
    try {
      await call("POST", appPath(app.value, "/terminate"), { user_id });
      user.say();
      announce(`The connections of ${user_id} are closed.`);
    } catch (error) {
      user.say(error.message);
    }
  };
  return h("form", { class: "panel row", onsubmit: submit, "aria-label": "Close a user's connections" },
    user.element, h("button", { class: "danger" }, "Close connections"));
}
