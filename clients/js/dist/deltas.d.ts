import { InvalidDelta } from "./bytes.js";
export { InvalidDelta };
/** How deltas are written: by Carillon in a few bytes, or as other servers write them too. */
export type Algorithm = "compact" | "fossil" | "xdelta3";
/** All algorithms that can be read, the preferred one first. */
export declare const ALGORITHMS: readonly Algorithm[];
/** What a frame turned out to be. */
export type Received = 
/** `text` is the frame that a client without deltas would have received. */
{
    kind: "frame";
    text: string;
    bytes: FrameBytes;
    delta: boolean;
}
/** Meant for this class alone. */
 | {
    kind: "internal";
}
/** An event is lost. `resync`: nobody has said so yet; send `pusher:delta_sync_error`. */
 | {
    kind: "lost";
    channel: string;
    bytes: number;
    reason: InvalidDelta;
    resync: boolean;
};
/** Bytes of a frame's payload as it came, and of the same frame's in full. */
export interface FrameBytes {
    received: number;
    full: number;
}
/** The deltas of one connection. Begin with a new one whenever you connect. */
export declare class Deltas {
    #private;
    /** Takes a frame exactly as it was received: a text, or the bytes of a binary one. */
    receive(frame: string | ArrayBuffer | Uint8Array): Received;
    /** Drops what is known of a channel: it was left. */
    forget(channel: string): void;
}
