/** A `Pusher`, whichever of its builds it is from. */
export interface StockPusher {
    readonly connection: StockConnection;
    channel(name: string): StockChannel | undefined;
    subscribe(name: string): StockChannel;
    unsubscribe(name: string): void;
    send_event(event: string, data: unknown, channel?: string): boolean;
}
export interface StockConnection {
    readonly state: string;
    bind(event: string, callback: (data: any) => void): unknown;
    emit(event: string, data?: unknown): unknown;
    /** There while connected. */
    readonly connection?: (Emitter & {
        readonly transport?: Emitter | null;
    }) | null;
}
export interface StockChannel {
    readonly name: string;
    subscribed: boolean;
    /** Asks for authorization where that is needed, then sends `pusher:subscribe`. */
    subscribe(): void;
}
/**
 * One WebSocket, its transport, emits a `message` for each frame, with the text in `data`. The
 * connection reads it and emits a `message` in turn, with `event`, `channel` and parsed `data`.
 */
export interface Emitter {
    /** The transport's: a `WebSocket`, or in Node what looks like one. */
    readonly socket?: object | null;
    emit(event: string, data?: unknown, metadata?: unknown): unknown;
}
