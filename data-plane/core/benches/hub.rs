//! What an event costs in the core. Run with `cargo bench -p data-plane-core`.

use std::{hint::black_box, time::Instant};

use data_plane_core::{
    Event, Filter, Hub, SocketKey, Subscription, Terms,
    delta::{DeltaWriter, Numbers, Published},
    frame,
};
use model::{AppId, ChannelName, SocketId, Tags};

fn main() {
    deliver();
    deliver_filtered();
    encode();
    subscribe();
    parse();
}

fn deliver() {
    for sockets in [1, 1_000, 10_000] {
        let hub = hub(sockets);
        let mut outboxes = vec![0_u64; sockets as usize];
        let stranger = Some(SocketId { left: 0, right: 0 });
        for (name, excluded) in [("deliver", None), ("deliver, one excluded", stranger)] {
            measure(&format!("{name}, {sockets} subscribers"), || {
                hub.deliver("app", black_box("market"), excluded, |key| {
                    outboxes[key.index as usize] += 1;
                })
            });
        }
    }
    measure("deliver, no such channel", || {
        Hub::default().deliver("app", black_box("market"), None, |_| {})
    });
}

/// 100,000 subscribers with 10,000 equality filters, of which an event's ten tags match few.
fn deliver_filtered() {
    const SOCKETS: u32 = 100_000;
    const FILTERS: u32 = 10_000;
    const MATCHES: u32 = 10;
    let (app, market) = (AppId::parse("app").expect("an app id"), ChannelName::trusted("market"));
    let mut hub = Hub::default();
    for index in 0..SOCKETS {
        let number = index % FILTERS;
        // Ten keys, so that one event can match ten equality filters.
        let text = format!(r#"{{"key":"key-{}","cmp":"eq","val":"{number}"}}"#, number % MATCHES);
        let filter = Some(Filter::parse(&text).expect("a filter"));
        let id = SocketId { left: u64::from(index) + 1, right: 1 };
        let key = SocketKey { index, generation: 0 };
        let terms = Terms { filter, delta: None };
        hub.subscribe(&app, &market, Subscription { key, id, terms, deltas: None });
    }
    hub.confirm(&app, &market, &mut Vec::new());
    let mut writer = DeltaWriter::new(|_, _, _| {});
    let mut outboxes = vec![0_u64; SOCKETS as usize];
    let text = frame::event("price", "market", "x", None).into();
    let numbers = Numbers::new(0);
    for matches in [0, 1, MATCHES] {
        let tag = |n: u32| (format!("key-{n}"), (n + 500 * MATCHES).to_string());
        let mut tags: Tags = (0..matches).map(tag).collect();
        let other = |n: u32| (format!("key-{n}"), "of no filter".to_owned());
        tags.extend((matches..MATCHES).map(other));
        let shared = &numbers.next();
        let published =
            Published { name: "price", data: "x", tags: None, delta: None, text: &text, shared };
        let event = Event { published, tags: Some(&tags) };
        let mut deliver = || {
            hub.deliver_event(
                ("app", "market"),
                (black_box(&event), None),
                &mut writer,
                |key, _| {
                    outboxes[key.index as usize] += 1;
                },
            )
        };
        assert_eq!(deliver(), matches * SOCKETS / FILTERS);
        measure(&format!("deliver, 10000 filters, {matches} match"), deliver);
    }
}

fn encode() {
    let json = r#"{"asset":"BTC","price":61234.5,"volume":12,"at":"2026-02-03T04:05:06Z"},"#;
    let quoted: String = json.chars().cycle().take(256).collect();
    let plain = "The quick brown fox jumps over the lazy dog. ".repeat(6)[..256].to_owned();
    for (name, data) in [("256 B of JSON", &quoted), ("256 B of prose", &plain)] {
        measure(&format!("frame::event, {name}"), || {
            frame::event("price", "market", black_box(data), None)
        });
        let mut buffer = Vec::new();
        measure(&format!("frame::event_into, {name}"), || {
            buffer.clear();
            frame::event_into(&mut buffer, "price", "market", black_box(data), None);
        });
        measure(&format!("  serde_json, {name}"), || serde_json::to_string(black_box(data)));
    }
}

fn subscribe() {
    let mut hub = hub(10_000);
    let app = AppId::parse("app").expect("an app id");
    let market = ChannelName::trusted("market");
    let id = SocketId { left: 1, right: 1 };
    let key = SocketKey { index: 5_000, generation: 0 };
    measure("unsubscribe and subscribe, 10000 subscribers", || {
        hub.unsubscribe(&app, &market, key);
        hub.subscribe(&app, &market, Subscription::plain(key, id))
    });
}

fn parse() {
    let ping = r#"{"event":"pusher:ping","data":{}}"#;
    measure("frame::parse, ping", || frame::parse(black_box(ping)).is_ok());
    let subscribe = r#"{"event":"pusher:subscribe","data":{"auth":"","channel":"market"}}"#;
    measure("frame::parse, subscribe", || frame::parse(black_box(subscribe)).is_ok());
}

fn hub(sockets: u32) -> Hub {
    let mut hub = Hub::default();
    let app = AppId::parse("app").expect("an app id");
    let market = ChannelName::trusted("market");
    for index in 0..sockets {
        let id = SocketId { left: u64::from(index) + 1, right: 1 };
        let key = SocketKey { index, generation: 0 };
        hub.subscribe(&app, &market, Subscription::plain(key, id));
    }
    hub.confirm(&app, &market, &mut Vec::new());
    hub
}

/// Prints the best of several rounds: what the code costs when nothing disturbs it.
#[allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench reads the clock and reports on standard output"
)]
fn measure<T>(name: &str, mut work: impl FnMut() -> T) {
    const ROUND_NANOS: u128 = 20_000_000;
    let started = Instant::now();
    let mut probes = 0_u128;
    while started.elapsed().as_nanos() < ROUND_NANOS {
        black_box(work());
        probes += 1;
    }
    let best = (0..10)
        .map(|_| {
            let started = Instant::now();
            (0..probes).for_each(|_| drop(black_box(work())));
            started.elapsed().as_nanos() as f64 / probes as f64
        })
        .fold(f64::INFINITY, f64::min);
    println!("{name:<48} {best:>12.1} ns");
}
