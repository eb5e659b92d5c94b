//! Security between planes: who may connect, who may call what, and what is left in the audit log.

#![allow(clippy::unwrap_used, reason = "this is a test, helpers and all")]

mod authority;
mod planes;

mod clear_text;
mod handshakes;
mod reload;
mod roles;
