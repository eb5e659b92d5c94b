/** The last message of one key of one channel. */
export interface Base {
    readonly channel: string;
    readonly key: string;
    readonly number: number;
    /** Missing where it could not be restored, or where its channel was left. */
    text?: Uint8Array;
}
/** All bases of one connection. */
export declare class Bases {
    #private;
    of(channel: string, key: string): Base | undefined;
    /** The latest one whose number ends with these bytes. */
    named(name: number, bytes: number): Base | undefined;
    /** The last message of a key from here on. */
    keep(base: Base): void;
    /** Nothing of a channel can be built on. What it is and was called is known: more may be on its way. */
    lose(channel: string): void;
}
