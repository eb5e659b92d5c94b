// pusher-js as an app's page uses it: subscribes, and reports what happens until it saw --count events.
//
//   node subscribe.mjs --key app-key --host 127.0.0.1 --port 6001 --channels a,private-b
//                      [--secret app-secret] [--count 1] [--timeout-ms 10000] [--tls]
//
// Lines: {"type":"state","previous","current"} {"type":"connected","socket_id"}
//        {"type":"subscribed","channel"} {"type":"event","channel","event","data"}
//        {"type":"error","channel"?,"error"} {"type":"timeout","seen"}
// A line "unsubscribe CHANNEL", "subscribe CHANNEL" or "disconnect" on stdin is obeyed.
// Exit code 0: the events came (or --count was 0 and stdin ended); 1: they did not.

import { createHmac } from "node:crypto";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import Pusher from "pusher-js";
import { describe, say } from "./lines.mjs";

const { values: options } = parseArgs({
  options: {
    key: { type: "string", default: "app-key" },
    secret: { type: "string", default: "app-secret" },
    host: { type: "string", default: "127.0.0.1" },
    port: { type: "string", default: "6001" },
    channels: { type: "string" },
    count: { type: "string", default: "1" },
    "timeout-ms": { type: "string", default: "10000" },
    tls: { type: "boolean", default: false },
  },
});

// Stands for the app's own auth endpoint.
function authorize({ socketId, channelName }, callback) {
  const signature = createHmac("sha256", options.secret)
    .update(`${socketId}:${channelName}`)
    .digest("hex");
  callback(null, { auth: `${options.key}:${signature}` });
}

const pusher = new Pusher(options.key, {
  cluster: "",
  wsHost: options.host,
  wsPort: Number(options.port),
  wssPort: Number(options.port),
  forceTLS: options.tls,
  enabledTransports: ["ws", "wss"],
  enableStats: false,
  channelAuthorization: { customHandler: authorize },
});

const wanted = Number(options.count);
let seen = 0;

function finish(code) {
  pusher.disconnect();
  process.exitCode = code;
  // Lets stdout drain before the process goes.
  process.stdout.write("", () => process.exit());
}

function subscribe(name) {
  const channel = pusher.subscribe(name);
  channel.bind_global((event, data) => {
    if (event === "pusher:subscription_succeeded") return say({ type: "subscribed", channel: name });
    if (event === "pusher:subscription_error")
      return say({ type: "error", channel: name, error: data });
    say({ type: "event", channel: name, event, data });
    seen += 1;
    if (seen === wanted) finish(0);
  });
}

pusher.connection.bind("state_change", ({ previous, current }) =>
  say({ type: "state", previous, current }),
);
pusher.connection.bind("connected", () =>
  say({ type: "connected", socket_id: pusher.connection.socket_id }),
);
pusher.connection.bind("error", (error) =>
  say({ type: "error", error: error?.data ?? error?.error?.data ?? describe(error) }),
);

const orders = {
  subscribe,
  unsubscribe: (name) => pusher.unsubscribe(name),
  disconnect: () => finish(0),
};
createInterface({ input: process.stdin })
  .on("line", (line) => {
    const [order, name] = line.split(" ");
    orders[order]?.(name);
  })
  .on("close", () => {
    if (wanted === 0) finish(0);
  });

setTimeout(() => {
  say({ type: "timeout", seen });
  finish(1);
}, Number(options["timeout-ms"]));

options.channels?.split(",").forEach(subscribe);
