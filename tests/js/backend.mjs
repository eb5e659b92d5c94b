// An app's backend on the official server SDK for Node: signs what its users' clients ask for, takes
// webhooks, shows a page with pusher-js in it, and calls the server on order.
//
//   node backend.mjs --listen 7001 --port 6001 --app-id app-id --key app-key --secret app-secret
//
// Serves: POST /auth and /user-auth as pusher-js calls them (user: the form's, or the bearer token),
//         POST /webhooks, GET /page and /pusher.js, the same with clients/js: /client-page and /client/…
// Orders: {"call":"trigger","args":["room","greeting",{"a":1}]}   any method of the SDK
// Lines:  {"type":"listening"} {"type":"answer","status","body"} {"type":"answer","error"}
//         {"type":"webhook","valid","events","key","signature","body"}
// Ends when stdin does.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { parseArgs } from "node:util";
import Pusher from "pusher";
import { describe, say } from "./lines.mjs";

const { values: options } = parseArgs({
  options: {
    listen: { type: "string" },
    "app-id": { type: "string", default: "app-id" },
    key: { type: "string", default: "app-key" },
    secret: { type: "string", default: "app-secret" },
    host: { type: "string", default: "127.0.0.1" },
    port: { type: "string", default: "6001" },
  },
});

const account = {
  appId: options["app-id"],
  key: options.key,
  secret: options.secret,
  host: options.host,
  port: options.port,
  useTLS: false,
  encryptionMasterKeyBase64: Buffer.alloc(32, "master").toString("base64"),
};
const pusher = new Pusher(account);
const forger = new Pusher({ ...account, secret: "guessed" });

function form(request, body) {
  const [, token] = request.headers.authorization?.split(" ") ?? [];
  return { user: token, ...Object.fromEntries(new URLSearchParams(body)) };
}

// form.forged: signed with another secret; form.nameless: the user is the one that has signed in.
function authorize({ socket_id, channel_name, user, name, forged, nameless }) {
  const identity = { user_id: user, user_info: { name: name ?? user } };
  const data = channel_name.startsWith("presence-") && !nameless ? identity : undefined;
  return (forged ? forger : pusher).authorizeChannel(socket_id, channel_name, data);
}

function authenticate({ socket_id, user, name, watchlist }) {
  const user_info = { name: name ?? user };
  return pusher.authenticateUser(socket_id, { id: user, user_info, watchlist: watchlist?.split(",") });
}

function take({ headers }, rawBody) {
  const webhook = pusher.webhook({ headers, rawBody });
  const valid = webhook.isValid();
  say({
    type: "webhook",
    valid,
    events: valid ? webhook.getEvents() : [],
    key: headers["x-pusher-key"],
    signature: headers["x-pusher-signature"],
    body: rawBody,
  });
  return {};
}

const file = (path) => readFile(new URL(path, import.meta.url));
const routes = {
  "POST /auth": (request, body) => authorize(form(request, body)),
  "POST /user-auth": (request, body) => authenticate(form(request, body)),
  "POST /webhooks": take,
  "GET /page": () => file("page.html"),
  "GET /pusher.js": () => file("node_modules/pusher-js/dist/web/pusher.min.js"),
  "GET /client-page": () => file("client.html"),
};

function routeOf(method, pathname) {
  const [, client] = pathname.match(/^\/client\/(\w+\.js)$/) ?? [];
  return client ? () => file(`../../clients/js/dist/${client}`) : routes[`${method} ${pathname}`];
}

async function answer(request, response) {
  const { pathname } = new URL(request.url, "http://backend");
  const route = routeOf(request.method, pathname);
  const body = await text(request);
  if (!route) return response.writeHead(404).end();
  if (form(request, body).channel_name?.includes("forbidden")) return response.writeHead(403).end();
  const given = await route(request, body);
  const type = pathname.endsWith("page") ? "text/html" : "text/javascript";
  if (Buffer.isBuffer(given)) return response.setHeader("content-type", type).end(given);
  response.setHeader("content-type", "application/json").end(JSON.stringify(given));
}

async function call({ call, args }) {
  try {
    const response = await pusher[call](...args);
    say({ type: "answer", status: response.status, body: await response.json() });
  } catch (error) {
    say({ type: "answer", error: describe(error) });
  }
}

createServer(answer).listen(Number(options.listen), "127.0.0.1", () => say({ type: "listening" }));
createInterface({ input: process.stdin })
  .on("line", (line) => call(JSON.parse(line)))
  .on("close", () => process.exit());
