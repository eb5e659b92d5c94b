// Tag filters: which events of a channel a subscriber wants.
/** The tag has this value. */
export const eq = (key, val) => ({ key, cmp: "eq", val });
/** The tag has another value, or is missing. */
export const neq = (key, val) => ({ key, cmp: "neq", val });
/** The tag has one of these values (at least one, at most 128). */
export const oneOf = (key, vals) => ({ key, cmp: "in", vals });
/** The tag has none of these values, or is missing. */
export const noneOf = (key, vals) => ({ key, cmp: "nin", vals });
/** The tag is there. */
export const exists = (key) => ({ key, cmp: "ex" });
/** The tag is missing. */
export const missing = (key) => ({ key, cmp: "nex" });
export const startsWith = (key, val) => ({ key, cmp: "sw", val });
export const endsWith = (key, val) => ({ key, cmp: "ew", val });
export const contains = (key, val) => ({ key, cmp: "ct", val });
/** Greater: both are numbers. The same goes for the other three; anything but a number never matches. */
export const gt = (key, val) => ({ key, cmp: "gt", val });
export const gte = (key, val) => ({ key, cmp: "gte", val });
export const lt = (key, val) => ({ key, cmp: "lt", val });
export const lte = (key, val) => ({ key, cmp: "lte", val });
/** All of them match. */
export const and = (...nodes) => ({ op: "and", nodes });
/** At least one of them matches. */
export const or = (...nodes) => ({ op: "or", nodes });
/** It does not match. */
export const not = (node) => ({ op: "not", nodes: [node] });
