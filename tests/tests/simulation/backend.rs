//! A backend that publishes through a gateway of its own, and asks questions at the end.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, body::Body};
use bytes::Bytes;
use gateway::Gateway;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use md5::{Digest as _, Md5};
use model::SHARDS;
use proto::{
    internal::{FollowRequest, ShardEpoch, peer_service_client::PeerServiceClient},
    plane::serve::Peer,
    replicas::{Caller, Replicas},
};
use serde_json::{Value, json};
use tests::{
    chance::Chance,
    chaos::history::{Attempt, Key, RestView},
    rest::Credentials,
};
use tokio::{sync::watch, time::timeout};
use tower::ServiceExt as _;

use crate::{
    network,
    recorder::{CHANNELS, Recorder, now},
    settings,
};

/// The time on all walls: nothing here depends on it.
const WALL_CLOCK: u64 = 1_800_000_000;
/// Longer than a gateway lets a call wait.
const ANSWER_MAX: Duration = Duration::from_secs(12);
/// A repeat of the same event under its key.
const ATTEMPTS_MAX: u32 = 3;

/// One backend with its gateway.
#[derive(Clone, Debug)]
pub(crate) struct Backend {
    /// Its number.
    pub number: u32,
    /// All control planes.
    pub control_planes: &'static [&'static str],
    /// What happens by chance.
    pub chance: Chance,
    /// Writes down what it does.
    pub recorder: Recorder,
}

impl Backend {
    /// Publishes until the hush; then looks at what there is to see.
    pub(crate) async fn live(self) -> turmoil::Result {
        let (_told, apps) = watch::channel(Some(settings::apps()));
        let boot_id = Bytes::from(vec![self.number as u8; 16]);
        let caller = Caller { node_id: String::new(), boot_id };
        let replicas = Replicas::start(network::seeds(self.control_planes)?, caller);
        let options = gateway::config::Options { requests_per_address: 0, ..Default::default() };
        let router = Gateway::with_clock(options, apps, replicas, || WALL_CLOCK).router();
        let mut chance = self.chance.clone();
        // With two at once a backend's events may pass each other.
        let publishers = [2 * self.number, 2 * self.number + 1].map(|number| Publisher {
            number,
            router: router.clone(),
            chance: chance.fork(),
            recorder: self.recorder.clone(),
        });
        let [one, other] = publishers.map(|publisher| tokio::spawn(publisher.publish()));
        one.await?;
        other.await?;
        // What lingers is over: views are exact.
        tokio::time::sleep(Duration::from_secs(3)).await;
        for (channel, name) in CHANNELS.iter().enumerate() {
            self.look(&router, channel as u32, name).await;
        }
        if self.number == 0 {
            self.look_at_owners().await?;
        }
        Ok(())
    }

    async fn look(&self, router: &Router, channel: u32, name: &str) {
        let is_presence = name.starts_with("presence-");
        let wanted =
            if is_presence { "subscription_count,user_count" } else { "subscription_count" };
        let one = ask(router, &format!("channels/{name}"), &[("info", wanted)]).await;
        let mut view = RestView {
            app: 0,
            gateway: self.number as usize,
            channel,
            users: None,
            user_count: one["user_count"].as_u64(),
            subscription_count: Some(one["subscription_count"].as_u64().unwrap_or(0)),
        };
        if is_presence {
            view.user_count = Some(view.user_count.unwrap_or(0));
            let listed = ask(router, &format!("channels/{name}/users"), &[]).await;
            let users = listed["users"].as_array().cloned().unwrap_or_default();
            let number = |user: &Value| user["id"].as_str()?.parse().ok();
            view.users = Some(users.iter().filter_map(number).collect());
        }
        self.recorder.record().history.views.push(view);
    }

    /// Every shard has one owner.
    async fn look_at_owners(&self) -> anyhow::Result<()> {
        let mut holders = vec![0_usize; usize::from(SHARDS)];
        let mut wrong = Vec::new();
        for name in self.control_planes {
            let mut told = self.holdings(name).await;
            // What was cut may have taken the connection with it.
            for _ in 0..2 {
                if told.is_err() {
                    told = self.holdings(name).await;
                }
            }
            match told {
                Ok(held) => held.iter().for_each(|held| holders[held.shard as usize] += 1),
                Err(status) => wrong.push(format!("{name}: {status}")),
            }
        }
        let without = holders.iter().enumerate().filter(|(_, holders)| **holders != 1);
        wrong.extend(without.map(|(shard, holders)| format!("shard {shard}: {holders} owners")));
        self.recorder.record().ownership = Some(wrong);
        Ok(())
    }

    async fn holdings(&self, name: &str) -> anyhow::Result<Vec<ShardEpoch>> {
        let link = network::seeds(self.control_planes)?.connect(&network::address(name))?;
        let mut peer = PeerServiceClient::new(link);
        let mut states = peer.follow(FollowRequest { caller: None }).await?.into_inner();
        let state = states.message().await?.unwrap_or_default();
        Ok(state.holdings.unwrap_or_default().shards)
    }
}

/// Publishes one event after the other.
struct Publisher {
    number: u32,
    router: Router,
    chance: Chance,
    recorder: Recorder,
}

impl Publisher {
    async fn publish(mut self) {
        let mut is_proven = false;
        for sequence in 0.. {
            tokio::time::sleep(self.chance.pause(Duration::from_millis(200))).await;
            if self.recorder.is_hushed() {
                return;
            }
            let (is_calm, channel) = (self.recorder.is_calm(), self.chance.below(CHANNELS.len()));
            let is_answered =
                self.publish_one(Key { publisher: self.number, sequence }, channel).await;
            if is_calm && is_answered && !is_proven {
                is_proven = true;
                self.recorder.probe(format!("publisher {}", self.number));
            }
        }
    }

    /// Publishers of an odd number try again under a key.
    async fn publish_one(&self, key: Key, channel: usize) -> bool {
        let Key { publisher, sequence } = key;
        let data = format!("{publisher}:{sequence}:");
        let mut event = json!({ "name": "e", "channel": CHANNELS[channel], "data": data });
        let with_key = publisher % 2 == 1;
        if with_key {
            event["idempotency_key"] = json!(data);
        }
        for _ in 0..if with_key { ATTEMPTS_MAX } else { 1 } {
            let start = now();
            let called = call(&self.router, Method::POST, ("events", &[]), event.to_string());
            let answer = timeout(ANSWER_MAX, called).await;
            let status = answer.map_or(0, |(status, _)| status);
            let (channel, end) = (channel as u32, now());
            self.recorder.attempt(Attempt {
                key,
                app: 0,
                channel,
                start,
                end,
                status,
                excluded: None,
            });
            if status == 200 {
                return true;
            }
        }
        false
    }
}

async fn ask(router: &Router, path: &str, parameters: &[(&str, &str)]) -> Value {
    let (status, answer) = call(router, Method::GET, (path, parameters), String::new()).await;
    if status == 200 { answer } else { json!({ "subscription_count": u64::from(status) }) }
}

/// Calls the gateway as its listener would.
async fn call(
    router: &Router,
    method: Method,
    (path, parameters): (&str, &[(&str, &str)]),
    body: String,
) -> (u16, Value) {
    let credentials = Credentials::default();
    let path = format!("/apps/{}/{path}", credentials.app_id);
    let mut query = vec![
        format!("auth_key={}", credentials.key),
        format!("auth_timestamp={WALL_CLOCK}"),
        "auth_version=1.0".to_owned(),
    ];
    query.extend(parameters.iter().map(|(name, value)| format!("{name}={value}")));
    if method == Method::POST {
        query.push(format!("body_md5={}", hex::encode(Md5::digest(&body))));
    }
    query.sort();
    let query = query.join("&");
    let signature = credentials.sign(&format!("{method}\n{path}\n{query}"));
    let peer = Peer { address: SocketAddr::from(([127, 0, 0, 1], 1)), encrypted: false };
    let request = Request::builder()
        .method(method)
        .uri(format!("{path}?{query}&auth_signature={signature}"))
        .header("content-type", "application/json")
        .extension(peer)
        .body(Body::from(body))
        .expect("nothing in it is odd");
    let answer = router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.expect("it is whole").to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}
