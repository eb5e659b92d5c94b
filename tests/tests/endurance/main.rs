//! The figures that the complete contract has to show: long, under load, with parts killed meanwhile.
//!
//! Each is there in two sizes: what `cargo test` runs takes a minute and a half in all, and
//! `ENDURANCE=full` has the sizes of the contract.

#![allow(clippy::unwrap_used, reason = "all of this is tests")]

mod drain;
mod memory;
mod noisy;
mod overload;
mod presence;
mod rate;
mod seat;
mod size;
mod webhooks;
