//! The gateway: REST in, gRPC out.
//!
//! The way of one publish: `router` → [`signed`] (whose request is it, who signed it) → `body` (JSON
//! to an event) → `events` → `control_planes` → `response`.

pub mod config;
mod running;

mod gateway;
mod router;

mod address;
mod address_limit;
mod content;
pub mod signed;

mod body;
mod control_planes;
mod events;
mod health;
mod metrics;
mod response;

pub use gateway::{Clock, Gateway};
pub use running::{Running, start};
