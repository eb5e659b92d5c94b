// Teaches a stock pusher-js tag filters and delta compression.
//
// Three methods of the instance are wrapped: `send_event`, through which every `pusher:subscribe`
// goes, also those of a reconnect; `subscribe` and `unsubscribe`, to know what is wished for. And
// the transport of each connection, where deltas are undone before pusher-js sees the frame: so
// handlers get what they would get without deltas, in the same way.
import { ALGORITHMS, Deltas } from "./deltas.js";
import { Traffic } from "./traffic.js";
/** Adds filters and deltas to a pusher-js instance: the same one is returned. */
export function withCarillon(pusher, options = {}) {
    if ("carillon" in pusher)
        throw new Error("withCarillon was called for this instance before");
    Object.defineProperty(pusher, "carillon", { value: new Carillon(pusher, options) });
    return pusher;
}
/** What is added to one instance of pusher-js. */
export class Carillon {
    #pusher;
    #send;
    #algorithms;
    #wishes = new Map();
    /** What the server was asked for on this connection, by channel. */
    #asked = new Map();
    #traffic = new Traffic();
    #transport;
    /** Whether binary frames can be read. */
    #binary = false;
    #deltas = new Deltas();
    /** The frame that pusher-js is about to read. */
    #current;
    /** Use {@link withCarillon}. */
    constructor(pusher, { delta = false }) {
        this.#pusher = pusher;
        this.#algorithms = delta === true ? ALGORITHMS : delta ? [delta] : [];
        this.#send = pusher.send_event.bind(pusher);
        this.#wrap(pusher);
        // "connected" would be too late: pusher-js subscribes to its channels when that is told.
        pusher.connection.bind("state_change", ({ current }) => {
            if (current === "connected")
                this.#connected();
        });
        if (pusher.connection.state === "connected")
            this.#connected();
    }
    /** By channel, what came and what deltas have saved since it was subscribed to. */
    stats() {
        return this.#traffic.now();
    }
    #wrap(pusher) {
        const [subscribe, unsubscribe] = [pusher.subscribe.bind(pusher), pusher.unsubscribe.bind(pusher)];
        pusher.send_event = (event, data, channel) => {
            if (event === "pusher:subscribe")
                data = this.#subscribing(data);
            if (event === "pusher:unsubscribe")
                this.#left(data.channel);
            return this.#send(event, data, channel);
        };
        pusher.subscribe = (name, options) => {
            if (options)
                this.#wishes.set(name, options);
            const channel = subscribe(name);
            this.#askAgain(channel);
            return channel;
        };
        pusher.unsubscribe = (name) => {
            this.#wishes.delete(name);
            this.#traffic.forget(name);
            unsubscribe(name);
        };
    }
    /** A new connection, or the one there was when this began: nothing is known on either side. */
    #connected() {
        this.#asked.clear();
        if (!this.#listen() || this.#algorithms.length === 0)
            return;
        const readable = this.#algorithms.filter((algorithm) => algorithm !== "compact" || this.#binary);
        const algorithms = readable.length > 0 ? readable : STOCK;
        this.#send("pusher:enable_delta_compression", { algorithms });
    }
    /** Undoes deltas on this connection; whether it can. */
    #listen() {
        const { connection } = this.#pusher.connection;
        const transport = connection?.transport;
        if (typeof connection?.emit !== "function" || typeof transport?.emit !== "function") {
            this.#transport = undefined;
            this.#fail("this pusher-js does not show its frames: there will be no deltas");
            return false;
        }
        if (transport === this.#transport)
            return true;
        const deltas = new Deltas();
        [this.#transport, this.#deltas] = [transport, deltas];
        this.#binary = readsBinary(transport);
        before(transport, (message, emit) => {
            if (!isFrame(message.data))
                return emit(message);
            return this.#received(deltas.receive(message.data), (data) => emit({ data }));
        });
        before(connection, (event, emit) => {
            this.#count(event);
            return emit(event);
        });
        return true;
    }
    #received(received, pass) {
        switch (received.kind) {
            case "frame":
                this.#current = received;
                pass(received.text);
                this.#current = undefined;
                break;
            case "lost":
                this.#lost(received);
                break;
            case "internal":
                break;
        }
    }
    #lost({ channel, bytes, reason, resync }) {
        // Deltas may still be on their way when a channel is left.
        if (!this.#pusher.channel(channel))
            return this.#deltas.forget(channel);
        this.#traffic.lose(channel, bytes);
        if (!resync)
            return;
        this.#send("pusher:delta_sync_error", { channel });
        this.#fail(`an event was lost: ${reason.message}`, channel);
    }
    #fail(message, channel) {
        this.#pusher.connection.emit("error", { type: "DeltaError", error: new Error(message), channel });
    }
    #count({ event, channel }) {
        const current = this.#current;
        if (!current || channel === undefined || event.startsWith("pusher"))
            return;
        this.#traffic.count(channel, current.bytes, current.delta);
    }
    #subscribing(data) {
        const wishes = this.#wished(data.channel);
        this.#asked.set(data.channel, JSON.stringify(wishes));
        return { ...data, ...wishes };
    }
    #left(channel) {
        this.#asked.delete(channel);
        this.#deltas.forget(channel);
    }
    #wished(channel) {
        const { filter, delta } = this.#wishes.get(channel) ?? {};
        const readable = delta !== undefined && this.#transport !== undefined;
        return { ...(filter && { filter }), ...(readable && { delta: this.#asWritten(delta) }) };
    }
    /** Compact where that is possible and nothing else was wished for. */
    #asWritten(delta) {
        if (delta !== true && delta !== "compact")
            return delta;
        return this.#binary ? "compact" : true;
    }
    /** pusher-js asks once; where the wishes have changed since then it is made to ask again. */
    #askAgain(channel) {
        const asked = this.#asked.get(channel.name);
        if (asked === undefined || asked === JSON.stringify(this.#wished(channel.name)))
            return;
        channel.subscribed = false;
        channel.subscribe();
    }
}
/** What every client reads. */
const STOCK = ALGORITHMS.filter((algorithm) => algorithm !== "compact");
function isFrame(data) {
    return typeof data === "string" || data instanceof ArrayBuffer || data instanceof Uint8Array;
}
/** Has binary frames come as bytes and not as a `Blob`, which can only be read later; whether they do. */
function readsBinary({ socket }) {
    if (!socket)
        return false;
    socket.binaryType = "arraybuffer";
    return true;
}
/** Comes before all who listen to the messages of this emitter. */
function before(emitter, listen) {
    const emit = emitter.emit.bind(emitter);
    emitter.emit = (event, data, metadata) => event === "message" ? listen(data, (message) => emit(event, message)) : emit(event, data, metadata);
}
