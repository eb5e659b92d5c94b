//! Whole scenarios: real programs, real sockets, one module per subject.

#![allow(clippy::unwrap_used, reason = "all of this is tests")]

mod auth;
mod limits;
mod publish;
