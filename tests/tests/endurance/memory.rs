//! What is over leaves nothing behind: neither publishes nor subscriptions.

use serde_json::json;
use tests::fleet::{Fleet, Order};
use tokio::time::sleep;

use crate::size::{say, size};

mod cycles;
mod publishes;

/// Resident memory of each plane.
struct Memory(Vec<(String, u64)>);

impl Memory {
    fn of(fleet: &Fleet) -> Self {
        Self(fleet.resident_kib())
    }

    /// What each plane has, where that is more.
    fn keep_most(&mut self, fleet: &Fleet) {
        for ((_, most), (_, now)) in self.0.iter_mut().zip(fleet.resident_kib()) {
            *most = now.max(*most);
        }
    }

    /// No plane has become larger than `most` KiB allow, which may depend on what it had.
    fn check_growth(&self, fleet: &Fleet, most: impl Fn(u64) -> u64) {
        let now = fleet.resident_kib();
        let pairs = || self.0.iter().zip(&now);
        pairs().for_each(|((plane, before), (_, now))| {
            say(&format!("{plane}: {before} to {now} KiB"))
        });
        for ((plane, before), (_, now)) in pairs() {
            assert!(*now <= before + most(*before), "{plane}: {before} KiB before, {now} after");
        }
    }
}

async fn fleet() -> Fleet {
    let app = json!({ "features": { "subscription_count_events": false } });
    let app = serde_json::from_value(app).unwrap();
    Fleet::start(Order { gateways: 1, nodes: 2, app, ..Order::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishes_to_channels_without_subscribers_leave_nothing_behind() {
    let publishes = size(200_000, 5_000_000);
    let fleet = fleet().await;
    publishes::over_rest(&fleet, 0..publishes / 100).await;
    publishes::over_grpc(&fleet, 0..publishes / 10).await;
    let before = Memory::of(&fleet);
    publishes::over_rest(&fleet, 0..publishes / 50).await;
    publishes::over_grpc(&fleet, publishes / 10..publishes).await;
    before.check_growth(&fleet, |_| 20 << 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_that_are_over_leave_nothing_behind() {
    let cycles = size(10_000, 100_000);
    let fleet = fleet().await;
    // The heap keeps the size that the lingering ones made it: the second time it has to do for as
    // many others.
    // An allocator that gives memory back now and then has more or less of it: twice is measured.
    let mut before = Memory::of(&fleet);
    for round in 0..2 {
        cycles::run(&fleet, round * cycles..(round + 1) * cycles).await;
        sleep(cycles::FORGOTTEN).await;
        before.keep_most(&fleet);
    }
    cycles::run(&fleet, 2 * cycles..3 * cycles).await;
    sleep(cycles::FORGOTTEN).await;
    before.check_growth(&fleet, |before| before / 10 + (4 << 10));
}
