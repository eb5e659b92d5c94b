// Undoes delta compression, frame by frame. Knows nothing of pusher-js: any WebSocket will do.

import { InvalidDelta, fromBase64, utf8Length } from "./bytes.js";
import { applyFossil } from "./fossil.js";
import { applyVcdiff } from "./vcdiff.js";

export { InvalidDelta };

/** How deltas are written. */
export type Algorithm = "fossil" | "xdelta3";

/** All algorithms that can be read, the preferred one first. */
export const ALGORITHMS: readonly Algorithm[] = ["fossil", "xdelta3"];

/** What a frame turned out to be. */
export type Received =
  /** `text` is the frame that a client without deltas would have received. */
  | { kind: "frame"; text: string; bytes: FrameBytes; delta: boolean }
  /** Meant for this class alone. */
  | { kind: "internal" }
  /** An event is lost. `resync`: nobody has said so yet; send `pusher:delta_sync_error`. */
  | { kind: "lost"; channel: string; bytes: number; reason: InvalidDelta; resync: boolean };

/** Bytes of a frame as it came, and of the same frame in full. */
export interface FrameBytes {
  received: number;
  full: number;
}

interface Frame {
  event?: unknown;
  channel?: unknown;
  data?: unknown;
  __delta_seq?: unknown;
  __conflation_key?: unknown;
}

interface DeltaFrame {
  event: string;
  delta: string;
  seq: number;
  base_index?: number;
  algorithm?: string;
  conflation_key?: string;
}

/** The text that a key's next delta builds on, and its number. */
interface Base {
  sequence: number;
  text: Uint8Array;
}

interface ChannelState {
  /** The last message of each conflation key, the key used longest ago first. */
  bases: Map<string, Base>;
  /** The server was asked to begin anew: until it does there is nothing to be done with deltas. */
  resyncing: boolean;
}

/** More than a server keeps; only so that a stream of ever new keys ends somewhere. */
const KEYS_MAX = 10_000;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The deltas of one connection. Begin with a new one whenever you connect. */
export class Deltas {
  readonly #channels = new Map<string, ChannelState>();
  #fallback = "fossil";

  /** Takes the text of a frame exactly as it was received. */
  receive(text: string): Received {
    if (text.includes('"__delta_seq":')) return this.#marked(text);
    if (!text.includes('"pusher:delta')) return plain(text);
    const frame = parse(text);
    if (frame.event === "pusher:delta") return this.#delta(text, frame);
    if (frame.event === "pusher:delta_cache_sync") return this.#sync(frame);
    if (frame.event === "pusher:delta_compression_enabled") this.#confirmed(frame);
    return plain(text);
  }

  /** Drops what is known of a channel: it was left. */
  forget(channel: string): void {
    this.#channels.delete(channel);
  }

  /** A full frame with a number: the next delta will build on it. */
  #marked(text: string): Received {
    const { channel, __delta_seq: sequence, __conflation_key: key } = parse(text);
    if (typeof channel !== "string" || typeof sequence !== "number") return plain(text);
    const full = withoutMarkers(text);
    const base = encoder.encode(full);
    const state = this.#state(channel);
    state.resyncing = false;
    keep(state, typeof key === "string" ? key : "", { sequence, text: base });
    const bytes = { received: utf8Length(text), full: base.length };
    return { kind: "frame", text: full, bytes, delta: false };
  }

  #delta(raw: string, { channel, data }: Frame): Received {
    if (typeof channel !== "string") return { kind: "internal" };
    const bytes = utf8Length(raw);
    const state = this.#state(channel);
    try {
      const { text, size } = this.#restore(state, channel, object(data) as unknown as DeltaFrame);
      return { kind: "frame", text, bytes: { received: bytes, full: size }, delta: true };
    } catch (reason) {
      if (!(reason instanceof InvalidDelta)) throw reason;
      // The server will do the same, so nothing may be built on what is here.
      state.bases.clear();
      const resync = !state.resyncing;
      state.resyncing = true;
      return { kind: "lost", channel, bytes, reason, resync };
    }
  }

  #restore(state: ChannelState, channel: string, delta: DeltaFrame): { text: string; size: number } {
    const key = delta.conflation_key ?? "";
    const base = state.bases.get(key);
    if (!base || base.sequence !== (delta.base_index ?? base.sequence)) {
      throw new InvalidDelta(`message ${delta.base_index} is not known`);
    }
    const algorithm = delta.algorithm ?? this.#fallback;
    const bytes = applied(algorithm, base.text, fromBase64(delta.delta));
    const text = decoded(bytes);
    // Fossil has a checksum. VCDIFF has none, so see at least whether this makes sense.
    if (algorithm !== "fossil") {
      const restored = parse(text);
      if (restored.event !== delta.event || restored.channel !== channel) {
        throw new InvalidDelta("this is another frame");
      }
    }
    keep(state, key, { sequence: delta.seq, text: bytes });
    return { text, size: bytes.length };
  }

  /** Replaces all bases of a channel. Some servers send it behind a subscription. */
  #sync({ channel, data }: Frame): Received {
    if (typeof channel !== "string") return { kind: "internal" };
    this.forget(channel);
    const state = this.#state(channel);
    for (const [key, messages] of Object.entries(object(object(data).states))) {
      const last = Array.isArray(messages) ? messages.at(-1) : undefined;
      if (last) keep(state, key, { sequence: last.seq, text: encoder.encode(last.content) });
    }
    return { kind: "internal" };
  }

  /** The algorithm of frames that do not name it. */
  #confirmed({ data }: Frame): void {
    const { algorithm } = object(data);
    if (typeof algorithm === "string") this.#fallback = algorithm;
  }

  #state(channel: string): ChannelState {
    let state = this.#channels.get(channel);
    if (!state) this.#channels.set(channel, (state = { bases: new Map(), resyncing: false }));
    return state;
  }
}

function plain(text: string): Received {
  const bytes = utf8Length(text);
  return { kind: "frame", text, bytes: { received: bytes, full: bytes }, delta: false };
}

/** `text` where it is no JSON: that is for others to complain about. */
function parse(text: string): Frame {
  try {
    return object(JSON.parse(text));
  } catch {
    return {};
  }
}

/** An object, be it as it stands or within a string; an empty one for anything else. */
function object(value: unknown): Record<string, unknown> {
  const given = typeof value === "string" ? parse(value) : value;
  return typeof given === "object" && given !== null ? (given as Record<string, unknown>) : {};
}

/** The four replacements that define the base of a delta (they also take what is not at the end). */
function withoutMarkers(frame: string): string {
  return frame
    .replace(/,"__delta_seq":\d+/g, "")
    .replace(/"__delta_seq":\d+,/g, "")
    .replace(/,"__conflation_key":"[^"]*"/g, "")
    .replace(/"__conflation_key":"[^"]*",/g, "");
}

function applied(algorithm: string, base: Uint8Array, delta: Uint8Array): Uint8Array {
  if (algorithm === "fossil") return applyFossil(base, delta);
  if (algorithm === "xdelta3" || algorithm === "vcdiff") return applyVcdiff(base, delta);
  throw new InvalidDelta(`no such algorithm: ${algorithm}`);
}

function decoded(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new InvalidDelta("the result is no text");
  }
}

function keep({ bases }: ChannelState, key: string, base: Base): void {
  // Anew at the end, so that the first one is always the one used longest ago.
  bases.delete(key);
  bases.set(key, base);
  if (bases.size > KEYS_MAX) bases.delete(bases.keys().next().value!);
}
