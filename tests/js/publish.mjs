// The official server SDK for Node: publishes, and reports each answer.
//
//   node publish.mjs --host 127.0.0.1 --port 6001 --channels a,b [--data TEXT | --json '{"a":1}']
//                    [--event greeting] [--socket-id 1.2] [--info subscription_count] [--batch]
//
// Lines: {"type":"answer","status","body"} {"type":"error","error":{"status","body",…}}
// Exit code 0: the server took it; 1: it did not.

import { parseArgs } from "node:util";
import Pusher from "pusher";
import { describe, say } from "./lines.mjs";

const { values: options } = parseArgs({
  options: {
    "app-id": { type: "string", default: "app-id" },
    key: { type: "string", default: "app-key" },
    secret: { type: "string", default: "app-secret" },
    host: { type: "string", default: "127.0.0.1" },
    port: { type: "string", default: "6001" },
    channels: { type: "string", default: "room" },
    event: { type: "string", default: "greeting" },
    data: { type: "string", default: "hello" },
    json: { type: "string" },
    "socket-id": { type: "string" },
    info: { type: "string" },
    batch: { type: "boolean", default: false },
    tls: { type: "boolean", default: false },
  },
});

const pusher = new Pusher({
  appId: options["app-id"],
  key: options.key,
  secret: options.secret,
  host: options.host,
  port: options.port,
  useTLS: options.tls,
});

const channels = options.channels.split(",");
const data = options.json === undefined ? options.data : JSON.parse(options.json);
const extra = {};
if (options["socket-id"] !== undefined) extra.socket_id = options["socket-id"];
if (options.info !== undefined) extra.info = options.info;

function publish() {
  if (!options.batch) {
    return pusher.trigger(channels.length === 1 ? channels[0] : channels, options.event, data, extra);
  }
  const name = options.event;
  return pusher.triggerBatch(channels.map((channel) => ({ channel, name, data, ...extra })));
}

try {
  const response = await publish();
  say({ type: "answer", status: response.status, body: await response.json() });
} catch (error) {
  say({ type: "error", error: describe(error) });
  process.exitCode = 1;
}
