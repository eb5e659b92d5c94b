//! Clusters that are broken under load, and what their clients see of that.
//!
//! Each scenario is there in two sizes: what `cargo test` runs takes under five minutes in all, and
//! `CHAOS=long` has the sizes of the contract. Of release programs:
//! `CHAOS=long cargo test --release -p tests --test chaos -- --nocapture kill_control_plane`.
//! `CHAOS_SEED` repeats what happened by chance. Each run leaves `target/chaos/<scenario>-<seed>/`.

#![allow(clippy::unwrap_used, reason = "all of this is tests")]

mod bugs;
mod cost;
mod crowd;
mod etcd_down;
mod kill_control_plane;
mod lying_watch;
mod node_killed;
mod node_overflows;
mod node_stopped;
mod race;
mod restart_control_planes;
mod rolling_nodes;
mod rolling_planes;
mod slow_readers;
mod split;
mod stop_control_plane;
mod storm;
