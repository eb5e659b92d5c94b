//! `clients/js` teaches pusher-js filters and deltas; nothing else about it changes.

use serde_json::{Value, json};
use tests::rest::{self, Credentials};

use super::{
    browser::open,
    in_both_layouts,
    libraries::{Backend, Tabs},
    planes::{Layout, Planes, account, address},
};

mod package;

in_both_layouts![
    handlers_see_no_difference,
    other_wishes_replace_the_first_ones,
    a_damaged_delta_costs_one_event,
    filters_and_deltas_survive_a_crash,
    it_works_in_a_page,
];

const MARKET: &str = "market";
const SUCCEEDED: &str = "pusher:subscription_succeeded";

/// A backend that publishes prices, and tabs of pusher-js.
struct Market {
    planes: Planes,
    tabs: Tabs,
    backend: rest::Backend,
    node: Backend,
}

impl Market {
    async fn start(layout: Layout, settings: Value) -> Self {
        let planes = Planes::start(layout, settings).await;
        let node = Backend::node(&planes).await;
        let tabs = Tabs::new(&planes, &node);
        let backend = rest::Backend::new(address(planes.rest), account());
        Self { planes, tabs, backend, node }
    }

    /// Opens a tab with these options of the client; `null`: with a stock pusher-js.
    async fn open(&mut self, tab: &str, carillon: Value) {
        let order = json!({ "do": "open", "form": { "user": tab }, "carillon": carillon });
        self.tabs.tell(tab, order).await;
        self.tabs.connected(tab).await;
    }

    async fn subscribe(&mut self, tab: &str, channel: &str, options: Value) {
        self.ask(tab, channel, options).await;
        self.expect(tab, channel, SUCCEEDED, json!({})).await;
    }

    async fn ask(&mut self, tab: &str, channel: &str, options: Value) {
        let order = json!({ "do": "subscribe", "channel": channel, "options": options });
        self.tabs.tell(tab, order).await;
    }

    async fn publish(&self, channel: &str, n: u32, delta: Option<bool>) {
        let mut event = json!({ "name": "price", "channel": channel, "data": price(n).to_string(),
            "tags": { "asset": asset(n), "n": n.to_string() } });
        if let Some(delta) = delta {
            event["delta"] = json!(delta);
        }
        let answer = self.backend.publish(&event).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// What comes next on the channel, but for confirmations of deltas.
    async fn expect(&mut self, tab: &str, channel: &str, event: &str, data: Value) {
        loop {
            let next = self.tabs.next(tab, channel).await;
            if next["event"] != "pusher:delta_compression_enabled" {
                assert_eq!(
                    (&next["event"], &next["data"]),
                    (&json!(event), &data),
                    "{tab}: {next}"
                );
                return;
            }
        }
    }

    async fn expect_price(&mut self, tab: &str, channel: &str, n: u32) {
        self.expect(tab, channel, "price", price(n)).await;
    }

    /// Publishes these prices; all of them reach the tab.
    async fn prices(&mut self, tab: &str, channel: &str, range: std::ops::Range<u32>) {
        for n in range {
            self.publish(channel, n, None).await;
            self.expect_price(tab, channel, n).await;
        }
    }

    async fn stats(&mut self, tab: &str, channel: &str) -> Value {
        self.tabs.tell(tab, json!({ "do": "stats" })).await;
        self.tabs.next(tab, "stats").await["data"][channel].clone()
    }
}

fn asset(n: u32) -> &'static str {
    ["BTC", "ETH", "Zürich ë"][n as usize % 3]
}

/// Data of about 400 bytes of which little changes.
fn price(n: u32) -> Value {
    json!({ "asset": asset(n), "n": n, "price": 50_000.10 + f64::from(n), "note": "日本 \"ü\" 🚀",
        "venues": ["coinbase", "kraken", "bitstamp"], "text": "one and the same text, ".repeat(12) })
}

fn only(asset: &str) -> Value {
    json!({ "key": "asset", "cmp": "eq", "val": asset })
}

async fn handlers_see_no_difference(layout: Layout) {
    let keyed =
        json!({ "channel_delta_compression": { "market-*": { "conflation_key": "asset" } } });
    let mut market = Market::start(layout, keyed).await;
    let tabs = [
        ("stock", Value::Null, Value::Null),
        ("all", json!({ "delta": true }), Value::Null),
        ("xdelta3", json!({ "delta": "xdelta3" }), Value::Null),
        ("one", json!({}), json!({ "delta": "fossil" })),
        ("filtered", json!({ "delta": true }), json!({ "filter": only("ETH") })),
        ("neither", json!({ "delta": true }), json!({ "delta": false })),
    ];
    let channels = [MARKET, "market-keyed", "private-market"];
    for (tab, carillon, options) in tabs.clone() {
        market.open(tab, carillon).await;
        for channel in channels {
            market.subscribe(tab, channel, options.clone()).await;
        }
    }
    for n in 0..40 {
        for channel in channels {
            market.publish(channel, n, (n % 7 == 3).then_some(false)).await;
            for (tab, ..) in &tabs {
                if *tab != "filtered" || asset(n) == "ETH" {
                    market.expect_price(tab, channel, n).await;
                }
            }
        }
    }
    for (tab, carillon, _) in tabs {
        for channel in channels.into_iter().filter(|_| !carillon.is_null()) {
            let stats = market.stats(tab, channel).await;
            let [events, deltas] = ["events", "deltas"].map(|name| stats[name].as_u64().unwrap());
            assert_eq!(events, if tab == "filtered" { 13 } else { 40 }, "{tab}: {stats}");
            assert_eq!(stats["lost"], 0, "{tab}: {stats}");
            let saved = stats["saved"].as_f64().unwrap();
            match tab {
                "neither" => assert!(deltas == 0 && saved == 0.0, "{stats}"),
                "filtered" => assert!(deltas >= 8, "{channel}: {stats}"),
                _ => assert!(deltas >= 28 && saved > 0.4, "{tab} {channel}: {stats}"),
            }
        }
    }
}

async fn other_wishes_replace_the_first_ones(layout: Layout) {
    let mut market = Market::start(layout, json!({})).await;
    market.open("ann", json!({ "delta": true })).await;
    let ann = "ann";
    for channel in [MARKET, "private-market"] {
        market.subscribe(ann, channel, json!({ "filter": only("BTC") })).await;
        for n in 0..6 {
            market.publish(channel, n, None).await;
        }
        market.expect_price(ann, channel, 0).await;
        market.expect_price(ann, channel, 3).await;
        // Another filter, without leaving the channel. The same one again asks nobody.
        market.subscribe(ann, channel, json!({ "filter": only("ETH") })).await;
        market.ask(ann, channel, json!({ "filter": only("ETH") })).await;
        market.ask(ann, channel, Value::Null).await;
        for n in 6..12 {
            market.publish(channel, n, None).await;
        }
        market.expect_price(ann, channel, 7).await;
        market.expect_price(ann, channel, 10).await;
        market.subscribe(ann, channel, json!({})).await;
        market.prices(ann, channel, 12..15).await;
    }
    // Who has left and comes back has no wishes any more, even where pusher-js, which had not heard
    // of the first subscription yet, thinks that it was never gone.
    market.ask(ann, MARKET, json!({ "filter": only("ETH") })).await;
    market.tabs.unsubscribe(ann, MARKET).await;
    market.ask(ann, MARKET, Value::Null).await;
    market.expect(ann, MARKET, SUCCEEDED, json!({})).await;
    market.expect(ann, MARKET, SUCCEEDED, json!({})).await;
    market.prices(ann, MARKET, 15..20).await;
}

async fn a_damaged_delta_costs_one_event(layout: Layout) {
    let mut market = Market::start(layout, json!({})).await;
    let ann = "ann";
    market.open(ann, json!({ "delta": true })).await;
    for channel in [MARKET, "other"] {
        market.subscribe(ann, channel, Value::Null).await;
        market.prices(ann, channel, 0..3).await;
    }
    market.tabs.tell(ann, json!({ "do": "damage" })).await;
    // The order takes another way than the event: ask for something that comes back.
    market.stats(ann, MARKET).await;
    market.publish(MARKET, 3, None).await;
    let error = market.tabs.next(ann, "connection").await;
    assert_eq!(error["event"], "error", "{error}");
    // The request for full frames is on its way: what is answered behind it came behind it.
    market.subscribe(ann, "sync", Value::Null).await;
    assert_eq!(market.stats(ann, MARKET).await["lost"], 1);
    market.publish(MARKET, 4, None).await;
    market.expect_price(ann, MARKET, 4).await;
    market.prices(ann, MARKET, 5..10).await;
    market.prices(ann, "other", 3..6).await;
    let stats = market.stats(ann, MARKET).await;
    assert_eq!((&stats["lost"], &stats["events"]), (&json!(1), &json!(9)), "{stats}");
    assert_eq!(stats["deltas"], 2 + 5, "one full frame, then deltas again: {stats}");
    assert_eq!(market.stats(ann, "other").await["lost"], 0);
}

async fn filters_and_deltas_survive_a_crash(layout: Layout) {
    let mut market = Market::start(layout, json!({})).await;
    let ann = "ann";
    market.open(ann, json!({ "delta": true })).await;
    market.subscribe(ann, MARKET, Value::Null).await;
    let filtered = "private-market";
    market.subscribe(ann, filtered, json!({ "filter": only("ETH"), "delta": "xdelta3" })).await;
    market.prices(ann, MARKET, 0..5).await;

    market.planes.restart_sockets().await;
    market.tabs.connected(ann).await;
    market.expect(ann, MARKET, SUCCEEDED, json!({})).await;
    market.expect(ann, filtered, SUCCEEDED, json!({})).await;
    market.node.subscriptions(filtered, 1).await;
    market.prices(ann, MARKET, 5..15).await;
    for n in 0..9 {
        market.publish(filtered, n, None).await;
    }
    for n in [1, 4, 7] {
        market.expect_price(ann, filtered, n).await;
    }
    let stats = market.stats(ann, MARKET).await;
    assert_eq!((&stats["deltas"], &stats["lost"]), (&json!(4 + 9), &json!(0)), "{stats}");
    let stats = market.stats(ann, filtered).await;
    assert_eq!((&stats["events"], &stats["lost"]), (&json!(3), &json!(0)), "{stats}");
    // The second one may come in full: more than the last base is kept once somebody needs it.
    assert!(stats["deltas"].as_u64().unwrap() >= 1, "{stats}");
}

async fn it_works_in_a_page(layout: Layout) {
    let market = Market::start(layout, json!({})).await;
    let (key, port) = (account().key, market.planes.sockets);
    let url = format!("{}/client-page?key={key}&port={port}&channel=market", market.node.url);
    let line = |n: u32, deltas: u32| format!("price {n} 日本 \"ü\" 🚀 deltas: {deltas} lost: 0");
    // The second one in full: more than the last base is kept once somebody needs it.
    let lines = [line(0, 0), line(3, 0), line(6, 1)];
    let mut page = open(&url, &["subscribed", &lines[0], &lines[1], &lines[2]]);
    page.take(&json!({ "type": "text", "text": "subscribed" })).await;
    for n in 0..8 {
        market.publish(MARKET, n, None).await;
    }
    let (lines, well) = page.finish().await;
    assert!(well, "{lines:?}");
}

/// The page of a first start reads deltas, and says what they have saved.
#[tokio::test]
async fn the_page_of_the_all_in_one_shows_bytes_saved() {
    let planes = Planes::start(Layout::OneProcess, json!({})).await;
    let place = address(planes.rest);
    let backend = rest::Backend::new(place, Credentials::default());
    let events: Vec<_> = (0..20)
        .map(|n| json!({ "event": "price", "channel": "my-channel", "data": price(n).to_string() }))
        .collect();
    let bytes: usize = events.iter().map(|event| event.to_string().len()).sum();
    let in_full = format!("{},{:03} B", bytes / 1_000, bytes % 1_000);
    let waiting = "Subscribed to my-channel";
    let texts = [waiting, &in_full, "/^19$/", r"/^[5-9]\d\.\d %$/", &price(19).to_string()];
    let mut page = open(&format!("http://{place}"), &texts);
    page.take(&json!({ "type": "text", "text": waiting })).await;
    for event in events {
        backend.publish_text("my-channel", "price", event["data"].as_str().unwrap()).await;
    }
    let (lines, well) = page.finish().await;
    assert!(well, "{in_full}: {lines:?}");
}
