// How much deltas save, channel by channel.

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
export class Traffic {
  readonly #channels = new Map<string, { -readonly [Name in keyof ChannelTraffic]: number }>();

  /** An event came. */
  count(channel: string, bytes: FrameBytes, delta: boolean): void {
    const counts = this.#of(channel);
    counts.events += 1;
    counts.deltas += Number(delta);
    counts.bytesReceived += bytes.received;
    counts.bytesInFull += bytes.full;
    if (counts.bytesInFull > 0) counts.saved = 1 - counts.bytesReceived / counts.bytesInFull;
  }

  /** An event was lost. */
  lose(channel: string, bytes: number): void {
    const counts = this.#of(channel);
    counts.lost += 1;
    counts.bytesReceived += bytes;
  }

  forget(channel: string): void {
    this.#channels.delete(channel);
  }

  /** The counts of now, by channel. */
  now(): ReadonlyMap<string, ChannelTraffic> {
    return new Map(Array.from(this.#channels, ([channel, counts]) => [channel, { ...counts }]));
  }

  #of(channel: string) {
    const none = { events: 0, deltas: 0, lost: 0, bytesReceived: 0, bytesInFull: 0, saved: 0 };
    const counts = this.#channels.get(channel) ?? none;
    this.#channels.set(channel, counts);
    return counts;
  }
}
