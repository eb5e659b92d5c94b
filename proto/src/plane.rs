//! What each program does alike, in the order in which it does it: read its configuration, say what
//! it does, listen, tell callers apart, answer probes.

pub mod address;
pub mod address_limit;
pub mod config;
pub mod log;
pub mod metrics;
pub mod operations;
pub mod reflection;
pub mod serve;
pub mod shutdown;
pub mod tls;
pub mod traces;
