// The frame of the console: who is signed in, which part is shown.

import { call, token } from "./api.js";
import { announce, field, h } from "./dom.js";
import { showApps } from "./apps.js";
import { showChannels } from "./channels.js";
import { showConnections } from "./connections.js";
import { showEvents } from "./events.js";
import { showOverview } from "./overview.js";

const PARTS = { overview: showOverview, apps: showApps, channels: showChannels, connections: showConnections, events: showEvents };
const content = document.getElementById("content");
const tabs = document.getElementById("tabs");
const signOut = document.getElementById("sign-out");

/** Ends what the part that is shown does in the background. */
let leave = new AbortController();

function show(title, ...children) {
  const heading = h("h2", { tabindex: -1 }, title);
  content.replaceChildren(heading, ...children);
  document.title = `${title} – Carillon console`;
  return heading;
}

function showSignIn(message) {
  tabs.hidden = signOut.hidden = true;
  const secret = field("Admin token", h("input", { type: "password", required: true, autocomplete: "off" }), {
    hint: "It stays in this tab and is forgotten when the tab is closed.", grow: true,
  });
  const submit = async (event) => {
    event.preventDefault();
    token.set(secret.input.value.trim());
    try {
      await call("GET", "/cluster");
      announce("Signed in.");
      route();
    } catch (refusal) {
      token.clear();
      secret.say(refusal.status === 401 ? "This is not an admin token of this server." : refusal.message);
      secret.input.focus();
    }
  };
  show("Sign in", h("form", { class: "panel row", onsubmit: submit }, secret.element, h("button", { class: "main" }, "Sign in")));
  secret.say(message);
  secret.input.focus();
}

async function route() {
  leave.abort();
  leave = new AbortController();
  if (!token.get()) return showSignIn();
  tabs.hidden = signOut.hidden = false;
  const [part, ...rest] = location.hash.replace(/^#\//, "").split("/").map(decodeURIComponent);
  const name = PARTS[part] ? part : "overview";
  for (const link of tabs.children) {
    if (link.hash === `#/${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const { signal } = leave;
  try {
    await PARTS[name]({ show: (...parts) => signal.aborted || show(...parts).focus({ preventScroll: true }), signal, rest });
  } catch (error) {
    if (!signal.aborted) announce(error.message, true);
  }
}

signOut.addEventListener("click", () => {
  token.clear();
  announce("Signed out.");
  route();
});
document.addEventListener("signed-out", () => {
  if (!token.get() || tabs.hidden) return;
  token.clear();
  leave.abort();
  showSignIn("The token is valid no longer.");
});
window.addEventListener("hashchange", () => {
  announce("");
  route();
});
route();
