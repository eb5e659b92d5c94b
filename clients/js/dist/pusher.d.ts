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
    readonly connection?: {
        readonly transport?: Transport | null;
    } | null;
}
export interface StockChannel {
    readonly name: string;
    subscribed: boolean;
    /** Asks for authorization where that is needed, then sends `pusher:subscribe`. */
    subscribe(): void;
}
/** One WebSocket. It emits a `message` for each frame, with the text in `data`. */
export interface Transport {
    emit(event: string, data?: unknown, metadata?: unknown): unknown;
}
