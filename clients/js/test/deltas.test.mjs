// Frames in, frames out: what is kept, what is lost, when a resync is due.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createDelta } from "fossil-delta";
import { Deltas } from "../dist/deltas.js";
import { Traffic } from "../dist/traffic.js";
import { bytes } from "./series.mjs";

const text = (n, event = "price", channel = "market") =>
  JSON.stringify({ event, channel, data: JSON.stringify({ asset: "Zürich ~\u007f\u0080\u07ff\u0800 日本 🚀", ts: 1_700_000_000 + n }) });

const marked = (n, key, frame = text(n)) =>
  `${frame.slice(0, -1)},"__delta_seq":${n}${key === undefined ? "" : `,"__conflation_key":"${key}"`}}`;

function delta(n, base, more = {}) {
  const made = Buffer.from(createDelta(bytes(text(base)), bytes(text(n)))).toString("base64");
  const data = { event: "price", delta: made, seq: n, algorithm: "fossil", base_index: base, ...more };
  return JSON.stringify({ event: "pusher:delta", channel: "market", data });
}

const read = (deltas, frame) => {
  const { kind, text, resync } = deltas.receive(frame);
  return kind === "frame" ? text : kind === "lost" ? { resync } : kind;
};

test("a chain of deltas behind a marked frame", () => {
  const deltas = new Deltas();
  assert.equal(read(deltas, marked(7)), text(7));
  assert.equal(read(deltas, delta(8, 7)), text(8));
  // Neither a frame without a number nor another channel's touches the base.
  assert.equal(read(deltas, text(99)), text(99));
  assert.equal(read(deltas, marked(8, undefined, text(1, "price", "other"))), text(1, "price", "other"));
  assert.equal(read(deltas, delta(12, 8)), text(12));
});

test("each conflation key has its own base", () => {
  const deltas = new Deltas();
  for (const [n, key] of [[1, "BTC"], [2, "ETH"], [3, ""]]) assert.equal(read(deltas, marked(n, key)), text(n));
  for (const [n, base, key] of [[4, 1, "BTC"], [5, 2, "ETH"], [6, 3, ""], [7, 4, "BTC"]]) {
    assert.equal(read(deltas, delta(n, base, { conflation_key: key })), text(n));
  }
});

test("bytes are those of UTF-8", () => {
  const { bytes: counted } = new Deltas().receive(marked(7));
  assert.deepEqual(counted, { received: Buffer.byteLength(marked(7)), full: Buffer.byteLength(text(7)) });
  const plain = new Deltas().receive(text(7)).bytes;
  assert.deepEqual(plain, { received: Buffer.byteLength(text(7)), full: Buffer.byteLength(text(7)) });
});

test("data in the frame may look like anything", () => {
  const deltas = new Deltas();
  const quotes = { marker: '{"__delta_seq":5,"x":1}', event: "pusher:delta" };
  const tricky = JSON.stringify({ event: "e", channel: "market", data: JSON.stringify(quotes) });
  assert.equal(read(deltas, tricky), tricky);
  assert.equal(read(deltas, marked(1, undefined, tricky)), tricky);
  for (const odd of ["", "[]", "null", "no JSON", '"pusher:delta"', '{"__delta_seq":1}', '{"event":"x","a":"pusher:delta"}']) {
    assert.equal(read(deltas, odd), odd);
  }
});

const broken = {
  "a base that is not there": () => delta(9, 6),
  "another checksum": () => delta(8, 7, { delta: Buffer.from("4\n4:abcd1XObD1;").toString("base64") }),
  "no base64": () => delta(8, 7, { delta: "?" }),
  "no delta": () => delta(8, 7, { delta: undefined }),
  "no text": () => delta(8, 7, { delta: Buffer.from(createDelta(bytes(text(7)), Uint8Array.of(0xff, 0xfe))).toString("base64") }),
  "another frame, which VCDIFF does not notice": () =>
    delta(8, 7, { algorithm: "xdelta3", delta: Buffer.from([0xd6, 0xc3, 0xc4, 0, 0, 0, 8, 2, 0, 2, 1, 0, 0x7b, 0x7d, 3]).toString("base64") }),
  "an unknown algorithm": () => delta(8, 7, { algorithm: "gzip" }),
  "no data": () => '{"event":"pusher:delta","channel":"market"}',
};

for (const [what, frame] of Object.entries(broken)) {
  test(`${what}: one resync is asked for, and a full frame ends it`, () => {
    const deltas = new Deltas();
    read(deltas, marked(7));
    assert.deepEqual(read(deltas, frame()), { resync: true });
    // On their way when the server was asked: useless, and nothing to ask about again.
    assert.deepEqual(read(deltas, delta(9, 8)), { resync: false });
    assert.deepEqual(read(deltas, delta(8, 7)), { resync: false });
    assert.equal(read(deltas, marked(20)), text(20));
    assert.equal(read(deltas, delta(21, 20)), text(21));
    assert.deepEqual(read(deltas, delta(30, 29)), { resync: true });
  });
}

test("the checksum test is about the checksum", () => {
  const good = new Deltas();
  read(good, marked(7));
  assert.equal(read(good, delta(8, 7, { delta: Buffer.from("4\n4:abcd1XObD_;").toString("base64") })), "abcd");
});

test("bases that the server sends at once", () => {
  const deltas = new Deltas();
  const states = { BTC: [{ content: text(3), seq: 3 }, { content: text(4), seq: 4 }], ETH: [] };
  const sync = { event: "pusher:delta_cache_sync", channel: "market", data: { conflation_key: "asset", states } };
  assert.equal(read(deltas, JSON.stringify(sync)), "internal");
  assert.equal(read(deltas, delta(5, 4, { conflation_key: "BTC" })), text(5));
  assert.deepEqual(read(deltas, delta(6, 4, { conflation_key: "ETH" })), { resync: true });
});

test("frames without an algorithm have the confirmed one", () => {
  const deltas = new Deltas();
  const confirmation = '{"event":"pusher:delta_compression_enabled","data":{"enabled":true,"algorithm":"gzip"}}';
  assert.equal(read(deltas, confirmation), confirmation);
  read(deltas, marked(7));
  assert.deepEqual(read(deltas, delta(8, 7, { algorithm: undefined })), { resync: true });
});

test("a channel that was left is forgotten", () => {
  const deltas = new Deltas();
  read(deltas, marked(7));
  deltas.forget("market");
  assert.deepEqual(read(deltas, delta(8, 7)), { resync: true });
});

test("keys that are used do not give way to ever new ones", () => {
  const deltas = new Deltas();
  read(deltas, marked(1, "first"));
  read(deltas, marked(2, "used"));
  for (let n = 3; n < 12_000; n++) {
    read(deltas, marked(n, `key-${n}`));
    if (n % 5_000 === 0) read(deltas, marked(n, "used"));
  }
  assert.equal(read(deltas, delta(12_000, 10_000, { conflation_key: "used" })), text(12_000));
  assert.deepEqual(read(deltas, delta(12_001, 1, { conflation_key: "first" })), { resync: true });
});

test("traffic is counted by channel", () => {
  const traffic = new Traffic();
  traffic.count("a", { received: 100, full: 100 }, false);
  traffic.count("a", { received: 20, full: 100 }, true);
  traffic.lose("b", 5);
  const [a, b] = ["a", "b"].map((channel) => traffic.now().get(channel));
  assert.deepEqual(a, { events: 2, deltas: 1, lost: 0, bytesReceived: 120, bytesInFull: 200, saved: 0.4 });
  assert.deepEqual(b, { events: 0, deltas: 0, lost: 1, bytesReceived: 5, bytesInFull: 0, saved: 0 });
});
