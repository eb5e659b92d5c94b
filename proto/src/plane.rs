//! What each program does alike, in the order in which it does it: read its configuration, say what
//! it does, listen, answer probes.

pub mod config;
pub mod log;
pub mod operations;
pub mod reflection;
pub mod serve;
pub mod shutdown;
pub mod tls;
