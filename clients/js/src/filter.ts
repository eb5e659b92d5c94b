// Tag filters: which events of a channel a subscriber wants.

/** What a tag is compared with. Tags are strings; numbers and booleans are compared as they are written. */
export type Scalar = string | number | boolean;

/** A condition on one tag. */
export type Condition =
  | { key: string; cmp: "eq" | "neq" | "sw" | "ew" | "ct" | "gt" | "gte" | "lt" | "lte"; val: Scalar }
  | { key: string; cmp: "in" | "nin"; vals: readonly Scalar[] }
  | { key: string; cmp: "ex" | "nex" };

/** Several filters in one. */
export type Branch =
  | { op: "and" | "or"; nodes: readonly [Filter, ...Filter[]] }
  | { op: "not"; nodes: readonly [Filter] };

/** A condition, or several: at most 128 nodes, 16 levels deep. The server refuses what is beyond. */
export type Filter = Condition | Branch;

/** The tag has this value. */
export const eq = (key: string, val: Scalar): Filter => ({ key, cmp: "eq", val });

/** The tag has another value, or is missing. */
export const neq = (key: string, val: Scalar): Filter => ({ key, cmp: "neq", val });

/** The tag has one of these values (at least one, at most 128). */
export const oneOf = (key: string, vals: readonly Scalar[]): Filter => ({ key, cmp: "in", vals });

/** The tag has none of these values, or is missing. */
export const noneOf = (key: string, vals: readonly Scalar[]): Filter => ({ key, cmp: "nin", vals });

/** The tag is there. */
export const exists = (key: string): Filter => ({ key, cmp: "ex" });

/** The tag is missing. */
export const missing = (key: string): Filter => ({ key, cmp: "nex" });

export const startsWith = (key: string, val: Scalar): Filter => ({ key, cmp: "sw", val });
export const endsWith = (key: string, val: Scalar): Filter => ({ key, cmp: "ew", val });
export const contains = (key: string, val: Scalar): Filter => ({ key, cmp: "ct", val });

/** Greater: both are numbers. The same goes for the other three; anything but a number never matches. */
export const gt = (key: string, val: Scalar): Filter => ({ key, cmp: "gt", val });
export const gte = (key: string, val: Scalar): Filter => ({ key, cmp: "gte", val });
export const lt = (key: string, val: Scalar): Filter => ({ key, cmp: "lt", val });
export const lte = (key: string, val: Scalar): Filter => ({ key, cmp: "lte", val });

/** All of them match. */
export const and = (...nodes: [Filter, ...Filter[]]): Filter => ({ op: "and", nodes });

/** At least one of them matches. */
export const or = (...nodes: [Filter, ...Filter[]]): Filter => ({ op: "or", nodes });

/** It does not match. */
export const not = (node: Filter): Filter => ({ op: "not", nodes: [node] });
