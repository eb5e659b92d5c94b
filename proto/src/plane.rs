//! What each program does alike, in the order in which it does it: read its configuration, say what
//! it does, listen, tell callers apart, trust other planes, answer probes.

pub mod address;
pub mod address_limit;
pub mod authorize;
pub(crate) mod complaints;
pub mod config;
pub mod descriptors;
mod failure;
mod followed;
mod handshakes;
pub mod identity;
pub mod internal_tls;
pub mod log;
pub mod metrics;
pub mod mtls;
pub mod operations;
pub mod reflection;
pub mod serve;
pub mod shutdown;
pub mod tls;
mod told;
pub mod traces;
