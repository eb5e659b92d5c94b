// pusher-js in several tabs, each a client of its own, told what to do by JSON lines on stdin.
//
//   node tabs.mjs --port 6001 --key app-key --backend http://127.0.0.1:7001
//
// Orders: {"tab":"ann","do":"open","form":{"user":"ann"}}   form: what its auth requests carry besides
//         carillon: with clients/js and these options of it; then "subscribe" may have "options" too
//         {"tab","do":"subscribe"|"unsubscribe"|"members","channel"} {"tab","do":"signin"|"close"}
//         {"tab","do":"trigger","channel","event","data"} {"tab","do":"stats"}
//         {"tab","do":"damage"}   the next delta, on its way in
// Lines:  {"tab","at","event","data","user_id"?}   at: a channel's name, "connection", "user" or "watchlist"
// Ends when stdin does.

import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import Pusher from "pusher-js";
import { withCarillon } from "../../clients/js/dist/index.js";
import { describe, say } from "./lines.mjs";

const { values: options } = parseArgs({
  options: {
    key: { type: "string", default: "app-key" },
    host: { type: "string", default: "127.0.0.1" },
    port: { type: "string", default: "6001" },
    backend: { type: "string" },
  },
});

const tabs = new Map();

// The client event that these tests use: metadata is given to callbacks of one event only.
const CLIENT_EVENT = "client-typing";

const orders = {
  open(tab, { form, carillon }) {
    const stock = new Pusher(options.key, {
      cluster: "",
      wsHost: options.host,
      wsPort: Number(options.port),
      forceTLS: false,
      enabledTransports: ["ws"],
      enableStats: false,
      channelAuthorization: { endpoint: `${options.backend}/auth`, transport: "ajax", params: form },
      userAuthentication: { endpoint: `${options.backend}/user-auth`, transport: "ajax", params: form },
    });
    const pusher = carillon ? withCarillon(stock, carillon) : stock;
    tabs.set(tab, pusher);
    const tell = (at, event, data) => say({ tab, at, event, data });
    const { connection, user } = pusher;
    connection.bind("connected", () => tell("connection", "connected", connection.socket_id));
    connection.bind("disconnected", () => tell("connection", "disconnected"));
    connection.bind("error", (error) => {
      tell("connection", "error", error?.data ?? error?.error?.data ?? describe(error));
    });
    user.bind_global((event, data) => tell("user", event, data));
    // Also where the library signs in again by itself.
    connection.bind("message", ({ event }) => {
      if (event === "pusher:signin_success") tell("user", "signed in", user.user_data);
    });
    user.watchlist.bind_global((event, { user_ids }) => tell("watchlist", event, user_ids));
  },
  subscribe(tab, { channel: at, options }) {
    const known = tabs.get(tab).channel(at);
    const channel = tabs.get(tab).subscribe(at, options);
    if (channel === known) return;
    channel.bind_global((event, data) => {
      if (event !== CLIENT_EVENT) say({ tab, at, event, data: plain(data) });
    });
    channel.bind(CLIENT_EVENT, (data, metadata) =>
      say({ tab, at, event: CLIENT_EVENT, data, user_id: metadata?.user_id }),
    );
  },
  unsubscribe: (tab, { channel }) => tabs.get(tab).unsubscribe(channel),
  members(tab, { channel: at }) {
    say({ tab, at, event: "members", data: plain(tabs.get(tab).channel(at).members) });
  },
  trigger: (tab, { channel, event, data }) => tabs.get(tab).channel(channel).trigger(event, data),
  stats(tab) {
    say({ tab, at: "stats", data: Object.fromEntries(tabs.get(tab).carillon.stats()) });
  },
  damage(tab) {
    const { socket } = tabs.get(tab).connection.connection.transport;
    const { onmessage } = socket;
    socket.onmessage = ({ data }) => {
      const binary = typeof data !== "string";
      const damaged = binary ? data.map((byte, place) => (place === 3 ? ~byte : byte)) : data.replace(/("delta":".{8})./, "$1/");
      if (binary || damaged !== data) socket.onmessage = onmessage;
      onmessage({ data: damaged });
    };
  },
  signin: (tab) => tabs.get(tab).signin(),
  close: (tab) => tabs.get(tab).disconnect(),
};

// Of a presence channel's members only what its users are meant to read.
function plain(data) {
  if (typeof data?.setMyID !== "function") return data;
  const { me, count, members } = data;
  return { me, count, members };
}

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const { tab, do: verb, ...order } = JSON.parse(line);
    orders[verb](tab, order);
  })
  .on("close", () => process.exit());
