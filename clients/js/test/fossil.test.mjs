// The Fossil decoder against the library that Sockudo's client uses, and against damage.

import assert from "node:assert/strict";
import { test } from "node:test";
import { applyDelta, createDelta } from "fossil-delta";
import { InvalidDelta } from "../dist/deltas.js";
import { applyFossil } from "../dist/fossil.js";
import { bytes, pairs } from "./series.mjs";

test("deltas of the reference library restore their targets", () => {
  let copies = 0;
  for (const [base, target] of pairs(2_000)) {
    const delta = createDelta(base, target);
    copies += delta.length < target.length ? 1 : 0;
    assert.deepEqual(applyFossil(base, delta), target);
  }
  assert.ok(copies > 500, "the series has something in common");
});

test("the examples of the format's description", () => {
  const price = (price, last) =>
    bytes(`{"event":"price","channel":"market","data":"{\\"asset\\":\\"BTC\\",\\"price\\":${price},\\"volume\\":1234,\\"exchange\\":\\"coinbase\\",\\"ts\\":170000000${last}}"}`);
  const delta = '2G\n1C@0,5:10.25w@1H,4:2}"}21OoV5;';
  assert.deepEqual(applyFossil(price("50000.10", 1), bytes(delta)), price("50010.25", 2));
  assert.deepEqual(applyFossil(bytes("abc"), bytes("4\n4:abcd1XObD_;")), bytes("abcd"));
  assert.deepEqual(applyFossil(bytes("x"), bytes("0\n0:0;")), bytes(""));
});

test("every damaged byte is noticed, or changes nothing", () => {
  const [base, target] = [bytes("the quick brown fox jumps over ".repeat(4)), bytes("the quick red fox jumps over ".repeat(4))];
  const delta = Uint8Array.from(createDelta(base, target));
  let refused = 0;
  for (let place = 0; place < delta.length; place++) {
    for (const bit of [1, 2, 4, 8, 16, 32, 64, 128]) {
      const damaged = delta.slice();
      damaged[place] ^= bit;
      try {
        assert.deepEqual(applyFossil(base, damaged), target);
      } catch (error) {
        assert.ok(error instanceof InvalidDelta, `${error}`);
        refused += 1;
      }
    }
  }
  assert.ok(refused > delta.length * 7, "nearly all damage matters");
});

test("what is cut off, or made for another base, is refused", () => {
  const [base, target] = [bytes("a line that is long enough to be copied\n".repeat(3)), bytes("a line that is long enough to be copied\n".repeat(4))];
  const delta = Uint8Array.from(createDelta(base, target));
  for (let end = 0; end < delta.length; end++) {
    assert.throws(() => applyFossil(base, delta.subarray(0, end)), InvalidDelta);
  }
  for (const other of [base.subarray(0, 20), base.toReversed()]) {
    assert.throws(() => applyFossil(other, delta), InvalidDelta);
    assert.throws(() => applyDelta(other, delta));
  }
  for (const wrong of ["~~~~~~~\n0;", "zzzzz\n0:0;", "1\n1:a0;", "1\n2:ab0;", "1\n1;", "\n0;", "0\n0;x"]) {
    assert.throws(() => applyFossil(base, bytes(wrong)), InvalidDelta, wrong);
  }
});
