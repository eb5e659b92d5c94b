//! Temporary: what e2e-ws works on, apart from what others work on.
#![allow(clippy::unwrap_used, reason = "all of this is tests")]
mod presence;
mod stage;
mod users;
mod cache;
mod client_events;
mod counts;
mod webhooks;
