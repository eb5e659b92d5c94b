import type { FrameBytes } from "./deltas.js";
/** What has come on one channel since it was subscribed to. */
export interface ChannelTraffic {
    /** Events that reached the application. */
    readonly events: number;
    /** How many of them came as deltas. */
    readonly deltas: number;
    /** Events whose delta could not be undone. */
    readonly lost: number;
    /** Bytes of the frames as they came. */
    readonly bytesReceived: number;
    /** Bytes of the same frames in full. */
    readonly bytesInFull: number;
    /** The part of the bytes that did not have to come, 0 to 1. */
    readonly saved: number;
}
/** Counts per channel. */
export declare class Traffic {
    #private;
    /** An event came. */
    count(channel: string, bytes: FrameBytes, delta: boolean): void;
    /** An event was lost. */
    lose(channel: string, bytes: number): void;
    forget(channel: string): void;
    /** The counts of now, by channel. */
    now(): ReadonlyMap<string, ChannelTraffic>;
}
