//! The gateway: REST in, gRPC out.
//!
//! The way of one publish: `router` → [`signed`] (whose request is it, who signed it) → `body` (JSON
//! to an event) → `events` → `control_planes` → `response`. Reads go through `channels` instead, and
//! `users` throws users out.

pub mod config;
mod running;

mod gateway;
mod router;

mod content;
pub mod signed;

mod body;
mod call;
mod channels;
mod control_planes;
mod events;
mod health;
mod in_flight;
mod info;
mod metrics;
mod response;
mod users;

pub use gateway::{Clock, Gateway};
pub use running::{Running, caller, start};
