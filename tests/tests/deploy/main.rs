//! The manifests and the images: what they say is true of the real programs, and what they describe
//! runs, one network namespace per pod.

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
