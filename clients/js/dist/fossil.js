// The delta format of Fossil: copies from a base, literal bytes, and a checksum of the result.
import { InvalidDelta, Source, Target } from "./bytes.js";
const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";
const VALUES = new Map(Array.from(DIGITS, (digit, value) => [digit.charCodeAt(0), value]));
const [NEWLINE, COMMA, COPY, INSERT, END] = [..."\n,@:;"].map((sign) => sign.charCodeAt(0));
/** What `delta` makes of `base`; throws {@link InvalidDelta} where it was made for another one. */
export function applyFossil(base, delta) {
    const source = new Source(delta);
    const target = new Target(numberBefore(source, NEWLINE));
    for (;;) {
        const { value: count, sign } = number(source);
        if (sign === COPY) {
            const offset = numberBefore(source, COMMA);
            if (offset + count > base.length)
                throw new InvalidDelta("a copy leaves the base");
            target.append(base.subarray(offset, offset + count));
        }
        else if (sign === INSERT) {
            target.append(source.take(count));
        }
        else if (sign === END) {
            const restored = target.finish();
            if (source.left > 0)
                throw new InvalidDelta("something follows the end");
            if (sum(restored) !== count)
                throw new InvalidDelta("the checksum is wrong");
            return restored;
        }
        else {
            throw new InvalidDelta("no such operator");
        }
    }
}
/** A number in base 64, and the sign behind it. */
function number(source) {
    let value = 0;
    for (let digits = 0;; digits++) {
        const sign = source.byte();
        const digit = VALUES.get(sign);
        if (digit === undefined) {
            if (digits === 0)
                throw new InvalidDelta("a number was due");
            return { value, sign };
        }
        value = value * 64 + digit;
        if (value > 0xffff_ffff)
            throw new InvalidDelta("a number is too large");
    }
}
function numberBefore(source, expected) {
    const { value, sign } = number(source);
    if (sign !== expected)
        throw new InvalidDelta("another sign was due");
    return value;
}
/** The sum of all 32-bit words, the last one filled up with zeros. */
export function sum(bytes) {
    let sum = 0;
    bytes.forEach((byte, place) => (sum = (sum + (byte << (24 - 8 * (place & 3)))) | 0));
    return sum >>> 0;
}
