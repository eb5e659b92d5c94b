//! What the gate costs per event: `cargo bench -p data-plane --bench gate`.

#![allow(clippy::print_stdout, reason = "this is what it is for")]

use data_plane::{gate::Gate, metrics::NodeMetrics};
use proto::{
    convert,
    internal::{Claim, DispatchedEvent, ShardEpoch},
};
use tokio::time::Instant;

const EVENTS: u64 = 1_000_000;
/// A message from a control plane has about so many where it matters.
const PER_MESSAGE: u64 = 8;

fn event(number: u64) -> DispatchedEvent {
    DispatchedEvent {
        shard: (number % 1_024) as u32,
        epoch: 1,
        owner: 1,
        message_id: convert::id_bytes(u128::from(number) << 64 | 7),
        app_id: "app-id".into(),
        channel: format!("room-{}", number % 1_000),
        name: "new-message".into(),
        data: vec![b'x'; 200].into(),
        ..DispatchedEvent::default()
    }
}

/// Nanoseconds per event; every message settles the one before where `several`.
fn measure(several: bool) -> f64 {
    let began = Instant::now();
    let mut gate = Gate::new(began.into_std(), NodeMetrics::default());
    gate.set_several(several);
    let claim = Claim { round: 1, shards: vec![ShardEpoch { shard: 1, epoch: 1, owner: 1 }] };
    gate.claim(1, &claim, began.into_std());
    let events: Vec<_> = (0..EVENTS).map(event).collect();
    let began = Instant::now();
    let now = began.into_std();
    for (position, event) in (1..).zip(&events) {
        let passage = gate.pass(1, event, (position, now));
        std::hint::black_box(passage);
        if position % PER_MESSAGE == 0 {
            gate.settle(1, position.saturating_sub(PER_MESSAGE));
        }
        if position % 1_000 == 0 {
            gate.expire(now);
        }
    }
    began.elapsed().as_nanos() as f64 / EVENTS as f64
}

fn main() {
    println!("one control plane:      {:.0} ns per event", measure(false));
    println!("several control planes: {:.0} ns per event", measure(true));
}
