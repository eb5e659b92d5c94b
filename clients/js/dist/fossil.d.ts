/** What `delta` makes of `base`; throws {@link InvalidDelta} where it was made for another one. */
export declare function applyFossil(base: Uint8Array, delta: Uint8Array): Uint8Array;
/** The sum of all 32-bit words, the last one filled up with zeros. */
export declare function sum(bytes: Uint8Array): number;
