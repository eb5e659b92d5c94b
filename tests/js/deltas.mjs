// The official decoders as referees: do deltas restore what they were made of?
//
//   node deltas.mjs < cases.jsonl
//
// Lines in: {"base","delta","target","algorithm"}; the first three in base64, algorithm fossil or xdelta3.
// Lines out: {"type":"wrong","line","algorithm","error"?} per case that does not decode to its target, then
//            {"type":"done","cases","wrong"}.
// Exit code 0: all cases decode; 1: one did not, or there was none.

import { createInterface } from "node:readline";
import vcdiff from "@ably/vcdiff-decoder";
import { applyDelta } from "fossil-delta";
import { describe, say } from "./lines.mjs";

const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));

const decoders = {
  fossil: (base, delta) => applyDelta(base, delta),
  xdelta3: (base, delta) => vcdiff.decode(delta, base),
};

let cases = 0;
let wrong = 0;
for await (const line of createInterface({ input: process.stdin })) {
  const { base, delta, target, algorithm } = JSON.parse(line);
  cases += 1;
  try {
    const decoded = Buffer.from(decoders[algorithm](bytes(base), bytes(delta)));
    if (decoded.equals(Buffer.from(target, "base64"))) continue;
    say({ type: "wrong", line: cases, algorithm });
  } catch (error) {
    say({ type: "wrong", line: cases, algorithm, error: describe(error) });
  }
  wrong += 1;
}
say({ type: "done", cases, wrong });
process.exitCode = cases > 0 && wrong === 0 ? 0 : 1;
