// Undoes delta compression, frame by frame. Knows nothing of pusher-js: any WebSocket will do.
import { Bases } from "./bases.js";
import { InvalidDelta, fromBase64, utf8Length } from "./bytes.js";
import { applyCompact, parseCompact } from "./compact.js";
import { applyFossil } from "./fossil.js";
import { applyVcdiff } from "./vcdiff.js";
export { InvalidDelta };
/** All algorithms that can be read, the preferred one first. */
export const ALGORITHMS = ["compact", "fossil", "xdelta3"];
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** The deltas of one connection. Begin with a new one whenever you connect. */
export class Deltas {
    #bases = new Bases();
    /** Channels of which the server was asked to begin anew: until it does, deltas are of no use. */
    #resyncing = new Set();
    #fallback = "fossil";
    /** Takes a frame exactly as it was received: a text, or the bytes of a binary one. */
    receive(frame) {
        if (typeof frame !== "string") {
            return this.#compact(frame instanceof ArrayBuffer ? new Uint8Array(frame) : frame);
        }
        if (frame.includes('"__delta_seq":'))
            return this.#marked(frame);
        if (!frame.includes('"pusher:delta'))
            return plain(frame);
        const parsed = parse(frame);
        if (parsed.event === "pusher:delta")
            return this.#delta(frame, parsed);
        if (parsed.event === "pusher:delta_cache_sync")
            return this.#sync(parsed);
        if (parsed.event === "pusher:delta_compression_enabled")
            this.#confirmed(parsed);
        return plain(frame);
    }
    /** Drops what is known of a channel: it was left. */
    forget(channel) {
        this.#bases.lose(channel);
        this.#resyncing.delete(channel);
    }
    /** A full frame with a number: the next delta will build on it. */
    #marked(text) {
        const { channel, __delta_seq: number, __conflation_key: key } = parse(text);
        if (typeof channel !== "string" || typeof number !== "number")
            return plain(text);
        const full = withoutMarkers(text);
        const base = encoder.encode(full);
        this.#resyncing.delete(channel);
        this.#bases.keep({ channel, key: typeof key === "string" ? key : "", number, text: base });
        const bytes = { received: utf8Length(text), full: base.length };
        return { kind: "frame", text: full, bytes, delta: false };
    }
    #delta(raw, { channel, data }) {
        if (typeof channel !== "string")
            return { kind: "internal" };
        return this.#received(channel, utf8Length(raw), () => this.#restore(channel, object(data)));
    }
    /** What a delta restores, or that it does not. */
    #received(channel, bytes, restore) {
        try {
            const base = restore();
            const text = decoded(base.text);
            this.#bases.keep(base);
            return { kind: "frame", text, bytes: { received: bytes, full: base.text.length }, delta: true };
        }
        catch (reason) {
            if (!(reason instanceof InvalidDelta))
                throw reason;
            // The server will do the same, so nothing may be built on what is here.
            this.#bases.lose(channel);
            const resync = !this.#resyncing.has(channel);
            this.#resyncing.add(channel);
            return { kind: "lost", channel, bytes, reason, resync };
        }
    }
    #restore(channel, delta) {
        const key = delta.conflation_key ?? "";
        const base = this.#bases.of(channel, key);
        if (!base?.text || base.number !== (delta.base_index ?? base.number)) {
            throw new InvalidDelta(`message ${delta.base_index} is not known`);
        }
        const algorithm = delta.algorithm ?? this.#fallback;
        const text = applied(algorithm, base.text, fromBase64(delta.delta));
        // Fossil has a checksum. VCDIFF has none, so see at least whether this makes sense.
        if (algorithm !== "fossil") {
            const restored = parse(decoded(text));
            if (restored.event !== delta.event || restored.channel !== channel) {
                throw new InvalidDelta("this is another frame");
            }
        }
        return { channel, key, number: delta.seq, text };
    }
    #compact(bytes) {
        let frame;
        try {
            frame = parseCompact(bytes);
        }
        catch {
            return { kind: "internal" };
        }
        const base = this.#bases.named(frame.name, frame.nameBytes);
        // A server names nothing that it has not sent on this connection.
        if (!base)
            return { kind: "internal" };
        const { channel, key } = base;
        const number = base.number + frame.distance;
        const received = this.#received(channel, bytes.length, () => {
            if (!base.text)
                throw new InvalidDelta(`message ${base.number} is not known`);
            return { channel, key, number, text: applyCompact(base.text, frame) };
        });
        // What builds on this one is on its way.
        if (received.kind === "lost")
            this.#bases.keep({ channel, key, number });
        return received;
    }
    /** Replaces all bases of a channel. Some servers send it behind a subscription. */
    #sync({ channel, data }) {
        if (typeof channel !== "string")
            return { kind: "internal" };
        this.forget(channel);
        for (const [key, messages] of Object.entries(object(object(data).states))) {
            const last = Array.isArray(messages) ? messages.at(-1) : undefined;
            if (last)
                this.#bases.keep({ channel, key, number: last.seq, text: encoder.encode(last.content) });
        }
        return { kind: "internal" };
    }
    /** The algorithm of frames that do not name it. */
    #confirmed({ data }) {
        const { algorithm } = object(data);
        if (typeof algorithm === "string" && algorithm !== "compact")
            this.#fallback = algorithm;
    }
}
function plain(text) {
    const bytes = utf8Length(text);
    return { kind: "frame", text, bytes: { received: bytes, full: bytes }, delta: false };
}
/** `text` where it is no JSON: that is for others to complain about. */
function parse(text) {
    try {
        return object(JSON.parse(text));
    }
    catch {
        return {};
    }
}
/** An object, be it as it stands or within a string; an empty one for anything else. */
function object(value) {
    const given = typeof value === "string" ? parse(value) : value;
    return typeof given === "object" && given !== null ? given : {};
}
/** The four replacements that define the base of a delta (they also take what is not at the end). */
function withoutMarkers(frame) {
    return frame
        .replace(/,"__delta_seq":\d+/g, "")
        .replace(/"__delta_seq":\d+,/g, "")
        .replace(/,"__conflation_key":"[^"]*"/g, "")
        .replace(/"__conflation_key":"[^"]*",/g, "");
}
function applied(algorithm, base, delta) {
    if (algorithm === "fossil")
        return applyFossil(base, delta);
    if (algorithm === "xdelta3" || algorithm === "vcdiff")
        return applyVcdiff(base, delta);
    throw new InvalidDelta(`no such algorithm: ${algorithm}`);
}
function decoded(bytes) {
    try {
        return decoder.decode(bytes);
    }
    catch {
        throw new InvalidDelta("the result is no text");
    }
}
