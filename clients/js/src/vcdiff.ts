// The delta format VCDIFF (RFC 3284) as "xdelta3" means it here: the default code table, a source
// and no checksum. Whatever else the format has is refused, not guessed.

import { InvalidDelta, Source, Target } from "./bytes.js";

const HEADER = [0xd6, 0xc3, 0xc4, 0, 0];
const NEAR = 4;
const SAME = 3;

interface Instruction {
  readonly kind: "run" | "add" | "copy";
  /** 0: it stands behind the code. */
  readonly size: number;
  readonly mode: number;
}

/** What `delta` makes of `base`; throws {@link InvalidDelta} where it cannot have been made for it. */
export function applyVcdiff(base: Uint8Array, delta: Uint8Array): Uint8Array {
  const source = new Source(delta);
  if (HEADER.some((byte) => source.byte() !== byte)) throw new InvalidDelta("another header");
  const windows: Uint8Array[] = [];
  while (source.left > 0) {
    const indicator = source.byte();
    if (indicator > 1) throw new InvalidDelta("a kind of window that is not allowed");
    const segment = indicator === 1 ? segmentOf(base, source) : new Uint8Array();
    windows.push(window(segment, new Source(source.take(integer(source)))));
  }
  if (windows.length === 1) return windows[0]!;
  const target = new Target(windows.reduce((bytes, { length }) => bytes + length, 0));
  windows.forEach((bytes) => target.append(bytes));
  return target.finish();
}

function segmentOf(base: Uint8Array, source: Source): Uint8Array {
  const [size, from] = [integer(source), integer(source)];
  if (from + size > base.length) throw new InvalidDelta("the source leaves the base");
  return base.subarray(from, from + size);
}

/** One window: its instructions, the bytes that they add, and the addresses that they copy from. */
function window(segment: Uint8Array, source: Source): Uint8Array {
  const target = new Target(integer(source));
  if (source.byte() !== 0) throw new InvalidDelta("compressed sections");
  const sizes = [integer(source), integer(source), integer(source)] as const;
  const [data, codes, places] = sizes.map((size) => new Source(source.take(size))) as [Source, Source, Source];
  const addresses = new Addresses(places);
  while (codes.left > 0) {
    for (const { kind, size: known, mode } of CODES[codes.byte()]!) {
      const size = known || integer(codes);
      if (kind === "add") target.append(data.take(size));
      else if (kind === "run") target.room(size).fill(data.byte());
      else copy(segment, target, addresses.read(mode, segment.length + target.length), size);
    }
  }
  if (source.left + data.left + places.left > 0) throw new InvalidDelta("something is left over");
  return target.finish();
}

/** Copies from the segment and the target, as if one followed the other; it may overlap itself. */
function copy(segment: Uint8Array, target: Target, address: number, size: number): void {
  if (address >= segment.length + target.length) throw new InvalidDelta("an address lies ahead");
  const room = target.room(size);
  if (address + size <= segment.length) return room.set(segment.subarray(address, address + size));
  for (let place = 0; place < size; place++) {
    const from = address + place;
    room[place] = from < segment.length ? segment[from]! : target.bytes[from - segment.length]!;
  }
}

/** Addresses are written short where they are close to earlier ones. */
class Addresses {
  readonly #near = new Uint32Array(NEAR);
  readonly #same = new Uint32Array(SAME * 256);
  #next = 0;

  constructor(readonly source: Source) {}

  read(mode: number, here: number): number {
    const address = this.#decode(mode, here);
    if (address < 0) throw new InvalidDelta("an address is negative");
    this.#near[this.#next] = address;
    this.#next = (this.#next + 1) % NEAR;
    this.#same[address % this.#same.length] = address;
    return address;
  }

  #decode(mode: number, here: number): number {
    if (mode === 0) return integer(this.source);
    if (mode === 1) return here - integer(this.source);
    if (mode < 2 + NEAR) return this.#near[mode - 2]! + integer(this.source);
    return this.#same[(mode - 2 - NEAR) * 256 + this.source.byte()]!;
  }
}

/** Seven bits per byte, the most significant ones first. */
function integer(source: Source): number {
  for (let value = 0; ; ) {
    const byte = source.byte();
    value = value * 128 + (byte & 0x7f);
    if (value > 0xffff_ffff) throw new InvalidDelta("a number is too large");
    if (byte < 0x80) return value;
  }
}

/** The default code table (section 5.6): each code stands for one or two instructions. */
const CODES: readonly (readonly Instruction[])[] = codeTable();

function codeTable(): Instruction[][] {
  const add = (size: number): Instruction => ({ kind: "add", size, mode: 0 });
  const copyOf = (size: number, mode: number): Instruction => ({ kind: "copy", size, mode });
  const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, n) => from + n);
  const modes = range(0, 1 + NEAR + SAME);
  const most = (mode: number) => (mode < 2 + NEAR ? 6 : 4);
  return [
    [{ kind: "run", size: 0, mode: 0 }],
    ...range(0, 17).map((size) => [add(size)]),
    ...modes.flatMap((mode) => [0, ...range(4, 18)].map((size) => [copyOf(size, mode)])),
    ...modes.flatMap((mode) =>
      range(1, 4).flatMap((added) => range(4, most(mode)).map((size) => [add(added), copyOf(size, mode)])),
    ),
    ...modes.map((mode) => [copyOf(4, mode), add(1)]),
  ];
}
