// Reading deltas and writing what they restore.

/** A delta that does not restore anything: cut off, damaged, or made for another base. */
export class InvalidDelta extends Error {
  override readonly name = "InvalidDelta";
}

/** Longer than any frame: a damaged length is found out before it takes memory. */
const BYTES_MAX = 1 << 26;

/** Takes bytes from the front; what is not there makes the delta invalid. */
export class Source {
  #place = 0;

  constructor(readonly bytes: Uint8Array) {}

  get left(): number {
    return this.bytes.length - this.#place;
  }

  byte(): number {
    return this.take(1)[0]!;
  }

  take(count: number): Uint8Array {
    if (count > this.left) throw new InvalidDelta("the delta ends early");
    return this.bytes.subarray(this.#place, (this.#place += count));
  }
}

/** What is being restored: so many bytes, no more and no less. */
export class Target {
  readonly bytes: Uint8Array;
  length = 0;

  constructor(size: number) {
    if (size > BYTES_MAX) throw new InvalidDelta("the result is too long");
    this.bytes = new Uint8Array(size);
  }

  /** Room for so many more bytes. */
  room(count: number): Uint8Array {
    if (count > this.bytes.length - this.length) throw new InvalidDelta("the result is too long");
    return this.bytes.subarray(this.length, (this.length += count));
  }

  append(bytes: Uint8Array): void {
    this.room(bytes.length).set(bytes);
  }

  finish(): Uint8Array {
    if (this.length < this.bytes.length) throw new InvalidDelta("the result is too short");
    return this.bytes;
  }
}

/** Standard base64, as `atob` has it. */
export function fromBase64(text: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    throw new InvalidDelta("no base64");
  }
}

/** How many bytes a text takes in UTF-8. */
export function utf8Length(text: string): number {
  let bytes = text.length;
  for (let place = 0; place < text.length; place++) {
    const unit = text.charCodeAt(place);
    // Each half of a surrogate pair stands for two of its four bytes.
    if (unit > 0x7f) bytes += unit > 0x7ff && (unit < 0xd800 || unit > 0xdfff) ? 2 : 1;
  }
  return bytes;
}
