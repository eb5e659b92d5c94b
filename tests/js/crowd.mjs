// Many stock pusher-js clients behind one address, and what each of them notices of what goes on there.
//
//   node crowd.mjs --port 6001 --clients 500 --members 50 [--key app-key] [--secret app-secret]
//
// All are in the channel "hall"; the first `members` of them are in "presence-hall" as well.
// Lines: {"type":"ready"} when everybody has their channels, and all members know each other. Any line on stdin is answered with
// {"type":"told","downs":[ms],"out":[client],"flaps":[…],"errors":[…]}   downs: each time that a client was without
// its channel; out: who is without it at the end; flaps: members who came or went after "ready".
// Ends when stdin does.

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
    port: { type: "string" },
    clients: { type: "string" },
    members: { type: "string" },
  },
});
const clients = Number(options.clients);
const members = Number(options.members);

const out = new Map();
const downs = [];
const flaps = [];
const errors = [];
let ready = false;
let awaited = clients + members;

function authorize(user) {
  return ({ socketId, channelName }, callback) => {
    const channel_data = JSON.stringify({ user_id: user });
    const hmac = createHmac("sha256", options.secret);
    const signature = hmac.update(`${socketId}:${channelName}:${channel_data}`).digest("hex");
    callback(null, { auth: `${options.key}:${signature}`, channel_data });
  };
}

function arrived() {
  awaited -= 1;
  if (awaited === 0) {
    ready = true;
    say({ type: "ready" });
  }
}

function open(number) {
  const user = `user-${number}`;
  const pusher = new Pusher(options.key, {
    cluster: "",
    wsHost: options.host,
    wsPort: Number(options.port),
    forceTLS: false,
    enabledTransports: ["ws"],
    enableStats: false,
    channelAuthorization: { customHandler: authorize(user) },
  });
  pusher.connection.bind("state_change", ({ previous, current }) => {
    if (previous === "connected" && current !== "connected") out.set(number, performance.now());
  });
  pusher.connection.bind("error", (error) => {
    const { code } = error?.data ?? error?.error?.data ?? {};
    // 4200 is what a node says that is about to end.
    if (ready && code !== 4200) errors.push(describe(error));
  });
  let known = false;
  pusher.subscribe("hall").bind("pusher:subscription_succeeded", () => {
    if (!known) arrived();
    known = true;
    if (out.has(number)) downs.push(performance.now() - out.get(number));
    out.delete(number);
  });
  if (number >= members) return;
  let entered = false;
  const hall = pusher.subscribe("presence-hall");
  // In is who knows everybody: joins are on their way to some when the last one has entered.
  const look = () => {
    if (!entered && hall.members.count === members) {
      entered = true;
      arrived();
    }
  };
  hall.bind("pusher:subscription_succeeded", look);
  for (const event of ["pusher:member_added", "pusher:member_removed"]) {
    hall.bind(event, ({ id }) => {
      if (ready) flaps.push({ event, id, seen_by: user });
      look();
    });
  }
}

for (let number = 0; number < clients; number += 1) open(number);

createInterface({ input: process.stdin })
  .on("line", () => say({ type: "told", downs, out: [...out.keys()], flaps, errors: errors.slice(0, 20) }))
  .on("close", () => process.exit());
