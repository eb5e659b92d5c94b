/** What `delta` makes of `base`; throws {@link InvalidDelta} where it cannot have been made for it. */
export declare function applyVcdiff(base: Uint8Array, delta: Uint8Array): Uint8Array;
