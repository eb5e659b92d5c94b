import { Source } from "./bytes.js";
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
export declare function parseCompact(frame: Uint8Array): CompactFrame;
/** What a frame makes of its base; throws {@link InvalidDelta} where it was made for another one. */
export declare function applyCompact(base: Uint8Array, { edits: source, check }: CompactFrame): Uint8Array;
