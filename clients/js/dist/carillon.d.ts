import { type Algorithm } from "./deltas.js";
import type { Filter } from "./filter.js";
import type { StockPusher } from "./pusher.js";
import { type ChannelTraffic } from "./traffic.js";
/** Deltas: yes, no, or yes and written like this. "compact" where frames cannot be binary is yes. */
export type Delta = boolean | Algorithm;
export interface CarillonOptions {
    /** For all channels that do not say themselves. Default: no. */
    delta?: Delta;
}
/** What a subscription asks for. */
export interface SubscribeOptions {
    /** Only events whose tags match. Default: all events. */
    filter?: Filter;
    /** Default: as the whole connection has it. */
    delta?: Delta;
}
/** A pusher-js instance that knows filters and deltas. */
export type WithCarillon<P extends StockPusher> = P & {
    /**
     * As pusher-js has it, with wishes. Other wishes for a channel that is subscribed to replace the
     * first ones, without leaving it: the server confirms again, and `pusher:subscription_succeeded`
     * comes again. Without `options` the wishes stay as they are.
     */
    subscribe(name: string, options?: SubscribeOptions): ReturnType<P["subscribe"]>;
    readonly carillon: Carillon;
};
/** Adds filters and deltas to a pusher-js instance: the same one is returned. */
export declare function withCarillon<P extends StockPusher>(pusher: P, options?: CarillonOptions): WithCarillon<P>;
/** What is added to one instance of pusher-js. */
export declare class Carillon {
    #private;
    /** Use {@link withCarillon}. */
    constructor(pusher: StockPusher, { delta }: CarillonOptions);
    /** By channel, what came and what deltas have saved since it was subscribed to. */
    stats(): ReadonlyMap<string, ChannelTraffic>;
}
