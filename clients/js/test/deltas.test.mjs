// Frames in, frames out: what is kept, what is lost, when a resync is due.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createDelta } from "fossil-delta";
import { applyCompact, parseCompact } from "../dist/compact.js";
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

/** A compact frame that replaces the last digits of a text by others; numbers are as far apart as they say. */
function compact(n, base, { sum, edits, name = base, target = text(n) } = {}) {
  const all = bytes(target);
  const words = Array.from({ length: Math.ceil(all.length / 4) }, (_, word) =>
    [0, 1, 2, 3].reduce((value, place) => value * 256 + (all[4 * word + place] ?? 0), 0));
  const total = words.reduce((total, word) => (total + word) % 2 ** 32, 0);
  const check = sum ?? ((total >>> 16) ^ total) & 0xffff;
  const distance = [];
  for (let rest = n - base; rest > 0 || distance.length === 0; rest >>>= 7) distance.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
  const nameBytes = Array.from({ length: Math.max(2, distance.length) }, (_, place) => Math.floor(name / 256 ** place) % 256);
  return Uint8Array.from([...distance, ...nameBytes, check % 256, check >> 8, ...(edits ?? edit(text(base), target))]);
}

/** All but what both begin with is put in. */
function edit(base, target) {
  const [from, to] = [bytes(base), bytes(target)];
  let same = 0;
  while (from[same] === to[same]) same++;
  const [putIn, replaced] = [to.length - same, from.length - same];
  const length = (value) => (value < 128 ? [value] : [(value % 128) + 128, ...length(value >> 7)]);
  const more = replaced < putIn ? 2 * (putIn - replaced) - 1 : 2 * (replaced - putIn);
  const long = [putIn, more].filter((value) => value >= 15).flatMap((value) => length(value - 15));
  return [...length(same), (Math.min(putIn, 15) << 4) | Math.min(more, 15), ...long, ...to.subarray(same)];
}

test("a chain of compact frames behind a marked one", () => {
  const deltas = new Deltas();
  read(deltas, marked(7));
  assert.equal(read(deltas, compact(8, 7)), text(8));
  assert.equal(read(deltas, compact(9, 8).buffer), text(9));
  const { bytes: counted, delta } = deltas.receive(compact(300, 9));
  assert.deepEqual([counted, delta], [{ received: compact(300, 9).length, full: bytes(text(300)).length }, true]);
  // A shorter and a longer one, further away.
  assert.equal(read(deltas, compact(40_000, 300, { target: "short" })), "short");
  assert.equal(read(deltas, compact(40_001, 40_000, { target: text(1), edits: edit("short", text(1)) })), text(1));
});

test("the compact frame of the format's description", () => {
  const frame = parseCompact(Uint8Array.of(0x01, 0xc1, 0xcf, 0xf2, 0x57, 0x0b, 0x20, 0x32, 0x35));
  assert.deepEqual([frame.distance, frame.name, frame.nameBytes], [1, 7_000_001 % 65_536, 2]);
  assert.deepEqual(applyCompact(bytes('{"price":1.10}'), frame), bytes('{"price":1.25}'));
});

test("compact frames find their channel and key by number", () => {
  const deltas = new Deltas();
  const other = (n) => text(n, "price", "other");
  read(deltas, marked(70_000, "BTC"));
  read(deltas, marked(70_001, "ETH"));
  read(deltas, marked(70_002, undefined, other(70_002)));
  assert.equal(read(deltas, compact(70_003, 70_000)), text(70_003));
  assert.equal(read(deltas, compact(70_004, 70_001)), text(70_004));
  assert.equal(read(deltas, compact(70_005, 70_002, { target: other(70_005), edits: edit(other(70_002), other(70_005)) })), other(70_005));
  // The later one of two whose numbers end alike, and with a longer name the earlier one.
  read(deltas, marked(70_003 + 65_536, undefined, text(70_003 + 65_536, "price", "third")));
  const far = 70_003 + 65_536;
  const third = (n) => text(n, "price", "third");
  assert.equal(read(deltas, compact(far + 1, far, { target: third(far + 1), edits: edit(third(far), third(far + 1)) })), third(far + 1));
  assert.equal(read(deltas, compact(far + 2, 70_003)), text(far + 2));
  assert.equal(read(deltas, compact(9, 8)), "internal");
  assert.equal(read(deltas, new Uint8Array()), "internal");
});

const brokenCompact = {
  "another sum": { sum: 5 },
  "a copy behind the base": { edits: [0xff, 0x7f] },
  "a jump before the base": { edits: [0, 0x0f, 0x80, 0x01, 0, 0] },
  "edits that end early": { edits: [0, 0x50, 1] },
  "a length without end": { edits: [0xff, 0xff, 0xff, 0xff, 0xff] },
};

for (const [what, damage] of Object.entries(brokenCompact)) {
  test(`a compact frame with ${what}: one resync is asked for, and a full frame ends it`, () => {
    const deltas = new Deltas();
    read(deltas, marked(7, "BTC"));
    read(deltas, marked(8, "ETH"));
    assert.deepEqual(read(deltas, compact(9, 7, damage)), { resync: true });
    // On their way when the server was asked: built on the one that is lost, and on another key's.
    assert.deepEqual(read(deltas, compact(10, 9)), { resync: false });
    assert.deepEqual(read(deltas, compact(11, 10)), { resync: false });
    assert.deepEqual(read(deltas, compact(12, 8)), { resync: false });
    assert.equal(read(deltas, marked(20, "BTC")), text(20));
    assert.equal(read(deltas, compact(21, 20)), text(21));
  });
}

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
  deltas.forget("market");
  assert.deepEqual(read(deltas, compact(8, 7)), { resync: true });
});

test("keys that are used do not give way to ever new ones", () => {
  const deltas = new Deltas();
  read(deltas, marked(1, "first"));
  read(deltas, marked(2, "used"));
  for (let n = 3; n < 24_000; n++) {
    read(deltas, marked(n, `key-${n}`));
    if (n % 10_000 === 0) read(deltas, marked(n, "used"));
  }
  assert.equal(read(deltas, delta(24_000, 20_000, { conflation_key: "used" })), text(24_000));
  assert.deepEqual(read(deltas, delta(24_001, 1, { conflation_key: "first" })), { resync: true });
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
