// Laravel Echo as a Laravel app's page sets it up for a server of its own, one Echo per user, told
// what to do by JSON lines on stdin.
//
//   node echo.mjs --port 6001 --key app-key --backend http://127.0.0.1:7001
//
// Orders: {"user":"ann","do":"open"|"signin"}   {"user","do":"channel"|"private"|"encryptedPrivate"|"join","channel"}
//         {"user","do":"whisper","channel","data"} {"user","do":"leave","channel"}
// Lines:  {"user","at","event","data"}   at: the channel's name without its prefix, "user" or "connection"
// Ends when stdin does.

import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import Echo from "laravel-echo";
import Pusher from "pusher-js";
import { say } from "./lines.mjs";

const { values: options } = parseArgs({
  options: {
    key: { type: "string", default: "app-key" },
    host: { type: "string", default: "127.0.0.1" },
    port: { type: "string", default: "6001" },
    backend: { type: "string" },
  },
});

const echoes = new Map();
const entered = new Map();

function enter(user, kind, at) {
  const tell = (event) => (data) => say({ user, at, event, data });
  const channel = echoes.get(user)[kind](at);
  entered.set(`${user} ${at}`, channel);
  channel.subscribed(tell("subscribed")).error(tell("error"));
  // A class of Laravel's default namespace, and a name given by broadcastAs.
  channel.listen("OrderShipped", tell("OrderShipped")).listen(".order.paid", tell(".order.paid"));
  channel.notification(tell("notification"));
  if (kind !== "channel") channel.listenForWhisper("typing", tell("whisper"));
  if (kind === "join") channel.here(tell("here")).joining(tell("joining")).leaving(tell("leaving"));
}

const orders = {
  open(user) {
    const echo = new Echo({
      broadcaster: "reverb",
      Pusher,
      key: options.key,
      wsHost: options.host,
      wsPort: Number(options.port),
      forceTLS: false,
      enabledTransports: ["ws", "wss"],
      bearerToken: user,
      auth: { headers: {} },
      authEndpoint: `${options.backend}/auth`,
      userAuthentication: { endpoint: `${options.backend}/user-auth`, headers: {} },
    });
    echoes.set(user, echo);
    echo.connector.onConnectionChange((status) =>
      say({ user, at: "connection", event: status, data: echo.socketId() }),
    );
  },
  async signin(user) {
    const { connector } = echoes.get(user);
    connector.pusher.user.bind_global((event, data) => say({ user, at: "user", event, data }));
    connector.signin();
    await connector.pusher.user.signinDonePromise;
    say({ user, at: "user", event: "signed in", data: connector.pusher.user.user_data });
  },
  channel: (user, { channel }) => enter(user, "channel", channel),
  private: (user, { channel }) => enter(user, "private", channel),
  encryptedPrivate: (user, { channel }) => enter(user, "encryptedPrivate", channel),
  join: (user, { channel }) => enter(user, "join", channel),
  whisper: (user, { channel, data }) => entered.get(`${user} ${channel}`).whisper("typing", data),
  leave: (user, { channel }) => echoes.get(user).leave(channel),
};

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const { user, do: verb, ...order } = JSON.parse(line);
    orders[verb](user, order);
  })
  .on("close", () => process.exit());
