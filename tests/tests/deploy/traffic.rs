//! Browsers and a backend at the ingress, and an account of who must have been told what.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tests::{
    client::{Client, Incoming},
    rest::{Backend, Credentials},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, interval, sleep},
};
use tokio_util::sync::CancellationToken;

const CHANNEL: &str = "news";
/// A publish is on its way while a node closes: by the clock here, a close is seen this much late.
const SEEN_LATE: Duration = Duration::from_millis(500);

/// One publish, and when it was begun and answered.
#[derive(Clone, Copy, Debug)]
struct Published {
    number: u64,
    begun: Instant,
    answered: Instant,
}

/// One connection's life: from the confirmation of its subscription to its end.
#[derive(Debug)]
struct Visit {
    browser: usize,
    subscribed: Instant,
    closed: Instant,
    heard: Vec<u64>,
}

/// What goes on until it is stopped.
#[derive(Debug)]
pub(crate) struct Traffic {
    stop: CancellationToken,
    publishing: JoinHandle<Vec<Published>>,
    browsing: Vec<JoinHandle<Vec<Visit>>>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) published: usize,
    /// Connections, one after the other, of all browsers.
    pub(crate) visits: usize,
    /// Events that they were told.
    pub(crate) heard: usize,
    /// What must not be: one line each.
    pub(crate) faults: Vec<String>,
}

impl Traffic {
    /// Starts browsers that stay subscribed, then a backend that publishes.
    pub(crate) async fn start(ingress: SocketAddr, browsers: usize) -> Self {
        let stop = CancellationToken::new();
        let mut browsing = Vec::new();
        for browser in 0..browsers {
            let arrived = Arc::new(tokio::sync::Notify::new());
            let task = browse(ingress, browser, Arc::clone(&arrived), stop.clone());
            browsing.push(tokio::spawn(task));
            tests::soon("a browser is subscribed", arrived.notified()).await;
        }
        let publishing = tokio::spawn(publish(ingress, stop.clone()));
        Self { stop, publishing, browsing }
    }

    /// Stops publishing, lets the last event arrive, and counts.
    pub(crate) async fn stop(self) -> Account {
        self.stop.cancel();
        let published = self.publishing.await.expect("every publish is answered with 200");
        let mut visits = Vec::new();
        for browser in self.browsing {
            visits.extend(browser.await.expect("a browser is sent away with 4200 only"));
        }
        Account::of(&published, &visits)
    }
}

impl Account {
    fn of(published: &[Published], visits: &[Visit]) -> Self {
        let mut faults = Vec::new();
        for visit in visits {
            if visit.heard.windows(2).any(|pair| pair[0] >= pair[1]) {
                faults.push(format!("browser {} heard out of order or twice", visit.browser));
            }
            let during = published.iter().filter(|event| {
                event.begun > visit.subscribed && event.answered + SEEN_LATE < visit.closed
            });
            for event in during.filter(|event| visit.heard.binary_search(&event.number).is_err()) {
                faults.push(format!("browser {} missed {}", visit.browser, event.number));
            }
        }
        let heard = visits.iter().map(|visit| visit.heard.len()).sum();
        Self { published: published.len(), visits: visits.len(), heard, faults }
    }
}

/// One publish every 40 ms, each over a connection of its own, as short-lived backends do.
async fn publish(ingress: SocketAddr, stop: CancellationToken) -> Vec<Published> {
    let mut published = Vec::new();
    let mut ticks = interval(Duration::from_millis(40));
    while !stop.is_cancelled() {
        ticks.tick().await;
        let number = published.len() as u64;
        let begun = Instant::now();
        let backend = Backend::new(ingress, Credentials::default());
        let event = json!({ "name": "item", "channel": CHANNEL, "data": number.to_string() });
        let answer = backend.publish(&event).await;
        assert_eq!(answer.status, 200, "publish {number}: {}", answer.text);
        published.push(Published { number, begun, answered: Instant::now() });
    }
    sleep(2 * SEEN_LATE).await;
    published
}

/// Subscribes, listens, and comes back at once when sent away.
async fn browse(
    ingress: SocketAddr,
    browser: usize,
    arrived: Arc<tokio::sync::Notify>,
    stop: CancellationToken,
) -> Vec<Visit> {
    let mut visits = Vec::new();
    loop {
        let mut client = Client::connect(ingress, &Credentials::default()).await;
        client.subscribe(CHANNEL).await;
        let subscribed = Instant::now();
        arrived.notify_one();
        let mut heard = Vec::new();
        let ended = loop {
            let next = tokio::select! {
                next = client.next() => next,
                () = last_words(&stop) => break true,
            };
            match next {
                Incoming::Frame(frame) => heard.extend(item(&frame)),
                Incoming::Close(4200, _) => break false,
                other => panic!("browser {browser}: {other:?}"),
            }
        };
        visits.push(Visit { browser, subscribed, closed: Instant::now(), heard });
        if ended {
            return visits;
        }
    }
}

/// When everything that was published before the stop has arrived.
async fn last_words(stop: &CancellationToken) {
    stop.cancelled().await;
    sleep(2 * SEEN_LATE).await;
}

fn item(frame: &Value) -> Option<u64> {
    (frame["event"] == "item").then(|| frame["data"].as_str()?.parse().ok()).flatten()
}

#[tokio::test]
async fn an_account_names_what_was_missed_and_what_came_twice() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let event = |number| Published { number, begun: at(number), answered: at(number) };
    let published: Vec<_> = (0..10).map(event).collect();
    let visit = |heard: &[u64]| Visit {
        browser: 7,
        subscribed: at(2),
        closed: at(6),
        heard: heard.to_owned(),
    };
    assert_eq!(Account::of(&published, &[visit(&[3, 4, 5])]).faults, [""; 0]);
    assert_eq!(Account::of(&published, &[visit(&[3, 5])]).faults, ["browser 7 missed 4"]);
    let twice = Account::of(&published, &[visit(&[3, 3, 4, 5])]).faults;
    assert_eq!(twice, ["browser 7 heard out of order or twice"]);
}
