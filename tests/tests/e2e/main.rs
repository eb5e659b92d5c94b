//! Whole scenarios: real programs, real sockets, one module per subject.

#![allow(clippy::unwrap_used, reason = "all of this is tests")]

mod admin;
mod all_in_one;
mod auth;
mod cache;
mod client_events;
mod connection;
mod counts;
mod grpc;
mod hostile;
mod idle;
mod limits;
mod links;
mod order;
mod presence;
mod publish;
mod race;
mod sdk;
mod settings;
mod stage;
mod subscribe;
mod users;
mod webhooks;
