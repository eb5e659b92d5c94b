// What the page asks the server. The token stays in this tab.

const KEY = "carillon-admin-token";

export const token = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => sessionStorage.setItem(KEY, value),
  clear: () => sessionStorage.removeItem(KEY),
};

/** Why the server refused; `field` says what is at fault. */
export class Refusal extends Error {
  constructor(status, { error, code, field }) {
    super(error ?? `The server answered with ${status}.`);
    Object.assign(this, { status, code, field: field ?? "" });
  }
}

/** Calls the server with JSON; throws a Refusal. */
export async function call(method, path, body) {
  const response = await ask(method, path, body);
  return response.json();
}

async function ask(method, path, body, signal) {
  const headers = { authorization: `Bearer ${token.get()}` };
  if (body !== undefined) headers["content-type"] = "application/json";
  const text = body === undefined ? undefined : JSON.stringify(body);
  const response = await fetch(`api${path}`, { method, headers, body: text, signal, cache: "no-store" });
  if (response.ok) return response;
  const refusal = new Refusal(response.status, await response.json().catch(() => ({})));
  if (refusal.status === 401) document.dispatchEvent(new Event("signed-out"));
  throw refusal;
}

/** The path of an app; a query is given as an object. */
export function appPath(app, rest = "", query = {}) {
  const parameters = new URLSearchParams(query).toString();
  return `/apps/${encodeURIComponent(app)}${rest}${parameters && `?${parameters}`}`;
}

/**
 * Follows the events of a channel until the signal: `seen` gets each, `begun` is called at the start, `unheard` gets the
 * names of control planes of which nothing is seen.
 */
export async function follow(app, channel, { begun, seen, unheard, signal }) {
  const response = await ask("GET", appPath(app, "/events", { channel }), undefined, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const messages = (rest + value).split("\n\n");
    rest = messages.pop();
    for (const message of messages) {
      if (message.startsWith(": following")) begun();
      if (message.startsWith("event: unheard\n")) unheard(JSON.parse(message.slice(message.indexOf("data: ") + "data: ".length)));
      if (message.startsWith("data: ")) seen(JSON.parse(message.slice("data: ".length)));
    }
  }
}

/** All apps, a page after the other. */
export async function allApps() {
  const apps = [];
  let page_token = "";
  do {
    const page = await call("GET", `/apps?${new URLSearchParams({ page_size: 1000, page_token })}`);
    apps.push(...page.apps);
    page_token = page.next_page_token;
  } while (page_token);
  return apps;
}
