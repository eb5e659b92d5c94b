/** What `delta` makes of `base`; throws {@link InvalidDelta} where it was made for another one. */
export declare function applyFossil(base: Uint8Array, delta: Uint8Array): Uint8Array;
