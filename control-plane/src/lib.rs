//! The control plane: app settings and limits; admits, orders and dispatches events.
//!
//! The way of one event: [`dispatch`] (from a gateway) or [`events`] (from a backend) →
//! [`publisher`] → [`admission`] → [`shards`] → [`node`] → the stream to the node, and back through
//! [`ack`].

pub mod config;
mod control_plane;
mod running;

pub mod settings;

pub mod dispatch;
pub mod events;
pub mod publisher;
pub mod reads;

pub mod admission;
pub mod callers;
pub mod content;
pub mod credentials;
pub mod idempotency;
pub mod rate_limit;

pub mod ack;
pub mod fair_queue;
pub mod node;
pub mod nodes;
pub mod shards;

pub mod ownership;
pub mod replicas;

pub mod webhooks;

pub mod console;
pub mod inquiries;

pub mod metrics;
pub mod rpc;
pub mod tap;

pub use control_plane::{Cluster, ControlPlane};
pub use running::{Running, settings as open_settings, start, when_loaded};
