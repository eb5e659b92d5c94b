//! The manifests and the images: what they say is true of the real programs, and what they describe
//! runs, one network namespace per pod.

#![allow(clippy::unwrap_used, reason = "all of this is tests")]

mod container;
mod contract;
mod firewall;
mod image;
mod ingress;
mod machine;
mod manifests;
mod names;
mod pod;
mod policy;
mod probes;
mod rollout;
mod secrets;
mod traffic;
mod workload;
mod world;
