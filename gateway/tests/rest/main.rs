//! A running gateway over real sockets, with a control plane that records what it is asked.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod client;
mod control_plane;
mod fixture;

mod batch;
mod channels;
mod events;
mod failover;
mod limits;
mod overload;
mod processes;
mod routes;
mod signing;
mod terminate;
