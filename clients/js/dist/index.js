export { withCarillon, } from "./carillon.js";
export * from "./filter.js";
