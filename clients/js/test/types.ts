// Compiled, never run: the types of this package together with those of pusher-js.

import type { Channel, default as Pusher, PresenceChannel } from "pusher-js";
import type Encrypting from "pusher-js/with-encryption";
import { and, eq, not, oneOf, withCarillon, type Filter } from "../dist/index.js";

declare const stock: Pusher;
declare const encrypting: Encrypting;

const pusher = withCarillon(stock, { delta: true });
const channel: Channel = pusher.subscribe("market", { filter: eq("asset", "BTC"), delta: "fossil" });
channel.bind("price", () => pusher.carillon.stats().get("market")?.saved.toFixed(2));
const untouched: Channel = pusher.subscribe("market");
const same: Pusher = pusher;
const both: Pusher = withCarillon(encrypting);
const presence = pusher.subscribe("presence-room", { delta: false }) as PresenceChannel;
void [untouched, same, both, presence];

const written: Filter = { op: "not", nodes: [{ key: "xg", cmp: "gte", val: 0.8 }] };
and(written, not(oneOf("type", ["goal", "shot"])));

// @ts-expect-error: no such algorithm
pusher.subscribe("market", { delta: "gzip" });
// @ts-expect-error: one of how many?
and();
// @ts-expect-error: "in" needs several values
const several: Filter = { key: "type", cmp: "in", val: "goal" };
// @ts-expect-error: no such comparison
const like: Filter = { key: "type", cmp: "like", val: "goal" };
// @ts-expect-error: "not" has one child
const nothing: Filter = { op: "not", nodes: [] };
void [several, like, nothing];
// @ts-expect-error: not a pusher-js
withCarillon({});
