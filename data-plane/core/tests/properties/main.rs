//! Properties of the core: against naive models, and for every input.

#[path = "../decoder/decoder.rs"]
mod decoder;
mod delta;
mod filter;
mod frame;
mod hub;
mod wheel;
