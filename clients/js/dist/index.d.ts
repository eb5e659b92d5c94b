export { withCarillon, type Carillon, type CarillonOptions, type Delta, type SubscribeOptions, type WithCarillon, } from "./carillon.js";
export type { Algorithm } from "./deltas.js";
export * from "./filter.js";
export type { ChannelTraffic } from "./traffic.js";
