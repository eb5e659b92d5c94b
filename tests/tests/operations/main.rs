//! What operators look at: metrics, traces, logs, the console.

#![allow(clippy::unwrap_used, reason = "all of this is tests")]

mod bounds;
mod console;
mod inspector;
mod logs;
mod metrics;
mod monitoring;
mod scrape;
mod traces;
