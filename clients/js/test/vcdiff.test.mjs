// The VCDIFF decoder against Ably's, on random deltas that use every code, mode and kind of window.

import assert from "node:assert/strict";
import { test } from "node:test";
import reference from "@ably/vcdiff-decoder";
import { InvalidDelta } from "../dist/deltas.js";
import { applyVcdiff } from "../dist/vcdiff.js";
import { bytes, pairs, random } from "./series.mjs";

/** The default code table, written down here once more: [kind, size, mode] once or twice per code. */
function codes() {
  const table = [[["run", 0, 0]]];
  for (let size = 0; size <= 17; size++) table.push([["add", size, 0]]);
  for (let mode = 0; mode < 9; mode++) {
    for (const size of [0, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]) table.push([["copy", size, mode]]);
  }
  for (let mode = 0; mode < 9; mode++) {
    for (let add = 1; add <= 4; add++) {
      for (let size = 4; size <= (mode < 6 ? 6 : 4); size++) table.push([["add", add, 0], ["copy", size, mode]]);
    }
  }
  for (let mode = 0; mode < 9; mode++) table.push([["copy", 4, mode], ["add", 1, 0]]);
  assert.equal(table.length, 256);
  return table;
}

const CODES = codes();

function integer(value) {
  const digits = [value & 0x7f];
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) digits.unshift((rest & 0x7f) | 0x80);
  return digits;
}

/** Addresses as the writer of a delta keeps them. */
class Addresses {
  near = [0, 0, 0, 0];
  same = new Array(768).fill(0);
  next = 0;

  /** Some address that this mode can express, and how it is written; undefined: there is none. */
  pick(mode, here, below) {
    if (here === 0) return undefined;
    let [address, written] = [below(here), []];
    if (mode === 0) written = integer(address);
    else if (mode === 1) written = integer(here - address);
    else if (mode < 6) {
      const near = this.near[mode - 2];
      if (near >= here) return undefined;
      address = near + below(here - near);
      written = integer(address - near);
    } else {
      const place = below(256);
      address = this.same[(mode - 6) * 256 + place];
      if (address >= here) return undefined;
      written = [place];
    }
    this.near[this.next] = address;
    this.next = (this.next + 1) % 4;
    this.same[address % 768] = address;
    return written;
  }
}

function window(segment, from, below, used) {
  const [data, instructions, places] = [[], [], []];
  const addresses = new Addresses();
  let size = 0;
  for (let step = 0; step < 40; step++) {
    const code = below(256);
    const parts = [];
    let [here, possible] = [segment + size, true];
    const saved = { near: [...addresses.near], same: [...addresses.same], next: addresses.next };
    for (const [kind, known, mode] of CODES[code]) {
      const length = known || 1 + below(200);
      const address = kind === "copy" ? addresses.pick(mode, here, below) : [];
      if (address === undefined) possible = false;
      else parts.push({ kind, length, known, address });
      here += length;
    }
    if (!possible) {
      Object.assign(addresses, saved);
      continue;
    }
    used.add(code);
    instructions.push(code);
    for (const { kind, length, known, address } of parts) {
      if (!known) instructions.push(...integer(length));
      if (kind === "add") data.push(...Array.from({ length }, () => 32 + below(90)));
      if (kind === "run") data.push(32 + below(90));
      places.push(...address);
      size += length;
    }
  }
  const body = [...integer(size), 0, ...[data, instructions, places].flatMap(({ length }) => integer(length)), ...data, ...instructions, ...places];
  const source = segment > 0 ? [1, ...integer(segment), ...integer(from)] : [0];
  return [...source, ...integer(body.length), ...body];
}

test("random deltas are read as the reference reads them", () => {
  const [below, used] = [random(12), new Set()];
  for (const [base] of pairs(500)) {
    const from = below(base.length + 1);
    const segment = base.length - from > 0 ? 1 + below(base.length - from) : 0;
    const windows = [window(segment, from, below, used)];
    if (below(3) === 0) windows.push(window(0, 0, below, used));
    const delta = Uint8Array.from([0xd6, 0xc3, 0xc4, 0, 0, ...windows.flat()]);
    assert.deepEqual(applyVcdiff(base, delta), Uint8Array.from(reference.decode(delta, base)));
  }
  assert.equal(used.size, 256);
});

const price = (price, last) =>
  bytes(`{"event":"price","channel":"market","data":"{\\"asset\\":\\"BTC\\",\\"price\\":${price},\\"volume\\":1234,\\"exchange\\":\\"coinbase\\",\\"ts\\":170000000${last}}"}`);
const example = Uint8Array.from(Buffer.from("1sPEAAABgRAAF4EQAAkGAjEwLjI1Mn0ifRNMBhM7BQBR", "base64"));

test("the example of the format's description", () => {
  assert.deepEqual(applyVcdiff(price("50000.10", 1), example), price("50010.25", 2));
});

test("a checksum, other windows and other headers are refused, not guessed", () => {
  for (const [place, value] of [[5, 5], [5, 2], [5, 3], [4, 1], [4, 4], [3, 0x53], [0, 0], [12, 1]]) {
    const other = example.slice();
    other[place] = value;
    assert.throws(() => applyVcdiff(price("50000.10", 1), other), InvalidDelta, `${place}`);
  }
});

test("what is cut off or too long is refused", () => {
  const base = price("50000.10", 1);
  // The first five bytes alone are a delta without windows.
  for (let end = 0; end < example.length; end++) {
    if (end !== 5) assert.throws(() => applyVcdiff(base, example.subarray(0, end)), InvalidDelta, `${end}`);
  }
  assert.throws(() => applyVcdiff(base, Uint8Array.from([...example, 1])), InvalidDelta);
  assert.throws(() => applyVcdiff(base.subarray(1), example), InvalidDelta);
});

test("damage never leads to anything but a result or a refusal", () => {
  const base = price("50000.10", 1);
  for (let place = 0; place < example.length; place++) {
    for (let value = 0; value < 256; value++) {
      const damaged = example.slice();
      damaged[place] = value;
      try {
        applyVcdiff(base, damaged);
      } catch (error) {
        assert.ok(error instanceof InvalidDelta, `${place} ${value}: ${error.stack}`);
      }
    }
  }
});
