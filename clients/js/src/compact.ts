// Compact frames: deltas of Carillon's own, in binary frames of a few bytes. README.md has the format.

import { InvalidDelta, Source, Target } from "./bytes.js";
import { sum } from "./fossil.js";

/** A name of a base has at least so many bytes. */
const NAME_BYTES_MIN = 2;
/** In half a byte: the length goes on behind it. */
const LONG = 15;

/** What a frame says of itself. */
export interface CompactFrame {
  /** By how much its number is larger than its base's. */
  readonly distance: number;
  /** The last bytes of the base's number, and how many these are. */
  readonly name: number;
  readonly nameBytes: number;
  readonly check: number;
  readonly edits: Source;
}

export function parseCompact(frame: Uint8Array): CompactFrame {
  const source = new Source(frame);
  const distance = length(source);
  const nameBytes = Math.max(frame.length - source.left, NAME_BYTES_MIN);
  return { distance, name: integer(source, nameBytes), nameBytes, check: integer(source, 2), edits: source };
}

/** What a frame makes of its base; throws {@link InvalidDelta} where it was made for another one. */
export function applyCompact(base: Uint8Array, { edits: source, check }: CompactFrame): Uint8Array {
  const pieces: Uint8Array[] = [];
  let place = 0;
  while (source.left > 0) {
    const copied = length(source);
    pieces.push(part(base, place, place + copied));
    const lengths = source.byte();
    const putIn = half(source, lengths >> 4);
    const more = half(source, lengths & 15);
    pieces.push(source.take(putIn));
    place += copied + putIn + (more % 2 === 1 ? -(more + 1) / 2 : more / 2);
  }
  pieces.push(part(base, place, base.length));
  const target = new Target(pieces.reduce((bytes, { length }) => bytes + length, 0));
  pieces.forEach((piece) => target.append(piece));
  const restored = target.finish();
  const words = sum(restored);
  if (((words >>> 16) ^ (words & 0xffff)) !== check) throw new InvalidDelta("the sum is wrong");
  return restored;
}

function part(base: Uint8Array, from: number, end: number): Uint8Array {
  if (from < 0 || from > end || end > base.length) throw new InvalidDelta("an edit leaves the base");
  return base.subarray(from, end);
}

function half(source: Source, short: number): number {
  return short === LONG ? LONG + length(source) : short;
}

/** Seven bits per byte, the least significant ones first. */
function length(source: Source): number {
  let value = 0;
  for (let factor = 1; factor < 2 ** 28; factor *= 128) {
    const byte = source.byte();
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return value;
  }
  throw new InvalidDelta("a length is too long");
}

/** So many bytes, the least significant one first. */
function integer(source: Source, bytes: number): number {
  return source.take(bytes).reduceRight((value, byte) => value * 256 + byte, 0);
}
