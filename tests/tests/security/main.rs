//! Security between planes: who may connect, who may call what, and what is left in the audit log.

#![allow(clippy::unwrap_used, reason = "this is a test, helpers and all")]

mod authority;
mod planes;

mod audit;
mod clear_text;
mod etcd;
mod handshakes;
mod programs;
mod reload;
mod roles;
