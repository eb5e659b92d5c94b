/** What a tag is compared with. Tags are strings; numbers and booleans are compared as they are written. */
export type Scalar = string | number | boolean;
/** A condition on one tag. */
export type Condition = {
    key: string;
    cmp: "eq" | "neq" | "sw" | "ew" | "ct" | "gt" | "gte" | "lt" | "lte";
    val: Scalar;
} | {
    key: string;
    cmp: "in" | "nin";
    vals: readonly Scalar[];
} | {
    key: string;
    cmp: "ex" | "nex";
};
/** Several filters in one. */
export type Branch = {
    op: "and" | "or";
    nodes: readonly [Filter, ...Filter[]];
} | {
    op: "not";
    nodes: readonly [Filter];
};
/** A condition, or several: at most 128 nodes, 16 levels deep. The server refuses what is beyond. */
export type Filter = Condition | Branch;
/** The tag has this value. */
export declare const eq: (key: string, val: Scalar) => Filter;
/** The tag has another value, or is missing. */
export declare const neq: (key: string, val: Scalar) => Filter;
/** The tag has one of these values (at least one, at most 128). */
export declare const oneOf: (key: string, vals: readonly Scalar[]) => Filter;
/** The tag has none of these values, or is missing. */
export declare const noneOf: (key: string, vals: readonly Scalar[]) => Filter;
/** The tag is there. */
export declare const exists: (key: string) => Filter;
/** The tag is missing. */
export declare const missing: (key: string) => Filter;
export declare const startsWith: (key: string, val: Scalar) => Filter;
export declare const endsWith: (key: string, val: Scalar) => Filter;
export declare const contains: (key: string, val: Scalar) => Filter;
/** Greater: both are numbers. The same goes for the other three; anything but a number never matches. */
export declare const gt: (key: string, val: Scalar) => Filter;
export declare const gte: (key: string, val: Scalar) => Filter;
export declare const lt: (key: string, val: Scalar) => Filter;
export declare const lte: (key: string, val: Scalar) => Filter;
/** All of them match. */
export declare const and: (...nodes: [Filter, ...Filter[]]) => Filter;
/** At least one of them matches. */
export declare const or: (...nodes: [Filter, ...Filter[]]) => Filter;
/** It does not match. */
export declare const not: (node: Filter) => Filter;
