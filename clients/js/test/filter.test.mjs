// What the filter functions write is what the server reads.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as carillon from "../dist/index.js";

const { and, contains, endsWith, eq, exists, gt, gte, lt, lte, missing, neq, noneOf, not, oneOf, or, startsWith } = carillon;

test("conditions", () => {
  assert.deepEqual(eq("type", "goal"), { key: "type", cmp: "eq", val: "goal" });
  assert.deepEqual(neq("type", true), { key: "type", cmp: "neq", val: true });
  assert.deepEqual(oneOf("type", ["goal", "shot"]), { key: "type", cmp: "in", vals: ["goal", "shot"] });
  assert.deepEqual(noneOf("minute", [1, 2]), { key: "minute", cmp: "nin", vals: [1, 2] });
  assert.deepEqual(exists("xg"), { key: "xg", cmp: "ex" });
  assert.deepEqual(missing("xg"), { key: "xg", cmp: "nex" });
  const written = [startsWith, endsWith, contains, gt, gte, lt, lte].map((make) => make("k", "v").cmp);
  assert.deepEqual(written, ["sw", "ew", "ct", "gt", "gte", "lt", "lte"]);
});

test("branches", () => {
  const [a, b] = [eq("a", 1), exists("b")];
  assert.deepEqual(and(a, b), { op: "and", nodes: [a, b] });
  assert.deepEqual(or(a, not(b)), { op: "or", nodes: [a, { op: "not", nodes: [b] }] });
});
