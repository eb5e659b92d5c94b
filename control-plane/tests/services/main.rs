//! What gateways and backends call, answered by a control plane with one node attached.

#![allow(clippy::unwrap_used, reason = "this is a test, helpers and all")]

mod fixture;

mod batches;
mod keys;
mod limits;
mod reads;
mod users;
