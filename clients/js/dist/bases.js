// What deltas are undone with: of each channel and conflation key the last text, and its number.
/** More than a server keeps; only so that a stream of ever new keys ends somewhere. */
const KEPT_MAX = 20_000;
const NAME_END = 0x1_0000;
/** All bases of one connection. */
export class Bases {
    /** By channel and key, the one used longest ago first. */
    #bases = new Map();
    /** By the last 16 bits of the number, the latest one at the end. */
    #named = new Map();
    of(channel, key) {
        return this.#bases.get(place(channel, key));
    }
    /** The latest one whose number ends with these bytes. */
    named(name, bytes) {
        const named = this.#named.get(name % NAME_END) ?? [];
        return named.filter(({ number }) => number % 256 ** bytes === name).at(-1);
    }
    /** The last message of a key from here on. */
    keep(base) {
        this.#drop(place(base.channel, base.key));
        this.#bases.set(place(base.channel, base.key), base);
        const named = this.#named.get(base.number % NAME_END);
        if (named)
            named.push(base);
        else
            this.#named.set(base.number % NAME_END, [base]);
        if (this.#bases.size > KEPT_MAX)
            this.#drop(this.#bases.keys().next().value);
    }
    /** Nothing of a channel can be built on. What it is and was called is known: more may be on its way. */
    lose(channel) {
        for (const base of this.#bases.values())
            if (base.channel === channel)
                delete base.text;
    }
    #drop(place) {
        const base = this.#bases.get(place);
        if (!base)
            return;
        this.#bases.delete(place);
        const others = this.#named.get(base.number % NAME_END).filter((other) => other !== base);
        if (others.length > 0)
            this.#named.set(base.number % NAME_END, others);
        else
            this.#named.delete(base.number % NAME_END);
    }
}
/** No name of a channel has a space. */
function place(channel, key) {
    return `${channel} ${key}`;
}
