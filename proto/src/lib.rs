//! The words on the wire, and what every plane does alike.
//!
//! * [`v1`] and [`internal`] are generated from the `.proto` files and committed; [`convert`] is the
//!   only place that speaks both them and the words of `model`.
//! * [`stamp`] orders the events of a channel over changes of its owner.
//! * [`status`] maps a refusal to a gRPC status and back.
//! * [`link`] is how one plane calls another: over TCP, or in the same process.
//! * [`replicas`] finds all control planes and says which of them live.
//! * [`watch`] keeps a gateway's or node's settings current.
//! * [`plane`] is what each program does alike: read its configuration, listen, answer probes.

pub mod chance;
pub mod convert;
pub mod link;
pub mod plane;
pub mod replicas;
pub mod stamp;
pub mod status;
pub mod watch;

pub use carillon::{internal::v1 as internal, v1};

#[allow(
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::disallowed_methods,
    clippy::too_many_lines,
    clippy::unwrap_used,
    clippy::use_self,
    clippy::wildcard_enum_match_arm,
    clippy::str_to_string,
    clippy::large_futures,
    reason = "generated code"
)]
mod carillon {
    pub mod v1 {
        include!("generated/carillon.v1.rs");
    }
    pub mod internal {
        pub mod v1 {
            include!("generated/carillon.internal.v1.rs");
        }
    }
}

/// All `.proto` files, with comments, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.bin");
