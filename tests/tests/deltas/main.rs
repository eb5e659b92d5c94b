//! Tag filters and deltas, from the publisher to a client that decodes what it gets.
//!
//! `matrix` publishes 10,000 messages; `DELTA_MESSAGES=100000` in the environment makes it as many.

#![allow(clippy::unwrap_used, reason = "all of this is tests")]

#[path = "../../../data-plane/core/tests/decoder/decoder.rs"]
mod decoder;
mod reader;

mod bases;
mod cached;
mod confirmations;
mod filters;
mod invalid;
mod markers;
mod plain;
mod settings;
mod tags;

mod matrix;
