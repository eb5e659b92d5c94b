// How much deltas save, channel by channel.
/** Counts per channel. */
export class Traffic {
    #channels = new Map();
    /** An event came. */
    count(channel, bytes, delta) {
        const counts = this.#of(channel);
        counts.events += 1;
        counts.deltas += Number(delta);
        counts.bytesReceived += bytes.received;
        counts.bytesInFull += bytes.full;
        if (counts.bytesInFull > 0)
            counts.saved = 1 - counts.bytesReceived / counts.bytesInFull;
    }
    /** An event was lost. */
    lose(channel, bytes) {
        const counts = this.#of(channel);
        counts.lost += 1;
        counts.bytesReceived += bytes;
    }
    forget(channel) {
        this.#channels.delete(channel);
    }
    /** The counts of now, by channel. */
    now() {
        return new Map(Array.from(this.#channels, ([channel, counts]) => [channel, { ...counts }]));
    }
    #of(channel) {
        const none = { events: 0, deltas: 0, lost: 0, bytesReceived: 0, bytesInFull: 0, saved: 0 };
        const counts = this.#channels.get(channel) ?? none;
        this.#channels.set(channel, counts);
        return counts;
    }
}
