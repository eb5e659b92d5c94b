//! What there is to be told: clients that talk, and visitors who come and go.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tests::{client::Client, rest::Credentials};
use tokio::{task::JoinHandle, time::interval};
use tokio_util::sync::CancellationToken;

use super::receiver::News;
use crate::seat::{ROOM, Seat, Told};

const TALKERS: usize = 4;
/// Events of each talker.
const EVERY: Duration = Duration::from_millis(20);
/// Between two visitors.
const VISIT_EVERY: Duration = Duration::from_millis(100);

/// All who talk, come and go.
pub(crate) struct Talk {
    talkers: Vec<JoinHandle<usize>>,
    visitors: JoinHandle<usize>,
}

/// What they did.
pub(crate) struct Said {
    talkers: Vec<usize>,
    visitors: usize,
}

impl Talk {
    pub(crate) async fn start(nodes: &[SocketAddr], ended: &CancellationToken) -> Self {
        let mut talkers = Vec::new();
        for talker in 0..TALKERS {
            let node = nodes[talker % nodes.len()];
            let mut client = Client::connect(node, &Credentials::default()).await;
            let channel = channel(talker);
            client.subscribe(&channel).await;
            talkers.push(tokio::spawn(talk(client, channel, ended.clone())));
        }
        let visitors = tokio::spawn(visit(nodes.to_vec(), ended.clone()));
        Self { talkers, visitors }
    }

    pub(crate) async fn ended(self) -> Said {
        let mut talkers = Vec::new();
        for talker in self.talkers {
            talkers.push(talker.await.unwrap());
        }
        Said { talkers, visitors: self.visitors.await.unwrap() }
    }
}

fn channel(talker: usize) -> String {
    format!("private-talk-{talker}")
}

async fn talk(mut client: Client, channel: String, ended: CancellationToken) -> usize {
    let (mut said, mut pace) = (0, interval(EVERY));
    while !ended.is_cancelled() {
        pace.tick().await;
        client.trigger(&channel, "client-said", json!(said)).await;
        said += 1;
    }
    client.expect_nothing().await;
    said
}

/// One after the other, at all nodes in turn.
async fn visit(nodes: Vec<SocketAddr>, ended: CancellationToken) -> usize {
    let (mut visitors, mut pace) = (0, interval(VISIT_EVERY));
    while !ended.is_cancelled() {
        pace.tick().await;
        let node = nodes[visitors % nodes.len()];
        let mut seat = Seat::take(node, &format!("visitor-{visitors}")).await.unwrap();
        seat.join().await;
        assert_eq!(seat.next().await, Told::Roster);
        seat.close().await;
        visitors += 1;
    }
    visitors
}

impl Said {
    /// How many events that makes: who has come has gone too.
    pub(crate) fn events(&self) -> usize {
        self.talkers.iter().sum::<usize>() + 2 * self.visitors
    }

    /// All of it was told, each once, in its order.
    pub(crate) fn check(&self, news: &News) {
        for (talker, said) in self.talkers.iter().enumerate() {
            let told = told(&news["/clients"], "client_event", &channel(talker), "data");
            let said: Vec<_> = (0..*said).map(|number| number.to_string()).collect();
            assert_eq!(told, said, "what talker {talker} has said");
        }
        let visitors: Vec<_> =
            (0..self.visitors).map(|number| format!("visitor-{number}")).collect();
        let members = &news["/members"];
        assert_eq!(told(members, "member_added", ROOM, "user_id"), visitors);
        // Visitors who follow upon each other leave different nodes: only who has gone is sure.
        let gone: BTreeSet<_> =
            told(members, "member_removed", ROOM, "user_id").into_iter().collect();
        assert_eq!(gone, visitors.iter().cloned().collect());
        let place = |kind: &str, visitor: &str| {
            let is = |event: &Value| event["name"] == kind && event["user_id"] == visitor;
            members.iter().position(is)
        };
        for visitor in &visitors {
            assert!(place("member_added", visitor) < place("member_removed", visitor), "{visitor}");
        }
        let all: usize = news.values().map(Vec::len).sum();
        assert_eq!(all, self.events(), "nothing else was told");
    }
}

/// One field of the events of one kind in one channel.
fn told(events: &[Value], kind: &str, channel: &str, field: &str) -> Vec<String> {
    let those = events.iter().filter(|event| event["name"] == kind && event["channel"] == channel);
    those.map(|event| event[field].as_str().unwrap_or_default().to_owned()).collect()
}
