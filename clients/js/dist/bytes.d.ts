/** A delta that does not restore anything: cut off, damaged, or made for another base. */
export declare class InvalidDelta extends Error {
    readonly name = "InvalidDelta";
}
/** Takes bytes from the front; what is not there makes the delta invalid. */
export declare class Source {
    #private;
    readonly bytes: Uint8Array;
    constructor(bytes: Uint8Array);
    get left(): number;
    byte(): number;
    take(count: number): Uint8Array;
}
/** What is being restored: so many bytes, no more and no less. */
export declare class Target {
    readonly bytes: Uint8Array;
    length: number;
    constructor(size: number);
    /** Room for so many more bytes. */
    room(count: number): Uint8Array;
    append(bytes: Uint8Array): void;
    finish(): Uint8Array;
}
/** Standard base64, as `atob` has it. */
export declare function fromBase64(text: string): Uint8Array;
/** How many bytes a text takes in UTF-8. */
export declare function utf8Length(text: string): number;
