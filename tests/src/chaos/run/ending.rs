//! The end of a run: does all work again, what does REST say, and what is the verdict.

use std::{fs, time::Duration};

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::Run;
use crate::{
    arena::credentials,
    chaos::{
        artifact,
        history::{At, History, Probe, RestView},
        lane::{self, say},
        measures::Spread,
        verdicts::{Verdict, judge},
    },
    client::{Client, Incoming},
    rest::Backend,
};

/// Who does not work by then does not work.
const PROBE_MAX: Duration = Duration::from_secs(15);
const PROBE_PAUSE: Duration = Duration::from_millis(50);

impl Run {
    /// The faults ended at `since`: from every gateway to every node a new subscriber gets an event.
    pub async fn probe(&mut self, since: At) {
        let mut probing = Vec::new();
        for (number, node) in self.arena.nodes().into_iter().enumerate() {
            for (gateway, backend) in self.backends(0, 0).into_iter().enumerate() {
                let channel = format!("probe-{gateway}-{number}");
                let what = format!("a publish through gateway {gateway} reaches node {number}");
                probing.push((what, tokio::spawn(reaches(backend, node, channel))));
            }
        }
        for (what, probe) in probing {
            let worked = probe.await.unwrap_or(false);
            let took = worked.then(|| self.scene.now() - since);
            self.history.probes.push(Probe { what, took });
        }
    }

    /// Asks every gateway who is in these channels, now that nothing changes.
    pub async fn view(&mut self, app: u8, channels: &[u32]) {
        for (gateway, backend) in self.backends(app, 0).into_iter().enumerate() {
            for channel in channels {
                let view = view(&backend, &self.scene.name(*channel)).await;
                let (users, user_count, subscription_count) = view;
                let channel = *channel;
                let view =
                    RestView { app, gateway, channel, users, user_count, subscription_count };
                self.history.views.push(view);
            }
        }
    }

    /// All listeners tell. What a scenario wants to measure it can measure then.
    pub async fn told(&mut self) -> &History {
        self.scene.published.cancel();
        self.scene.over.cancel();
        let mut last = Vec::new();
        while let Some(seen) = self.listeners.join_next().await {
            let seen = seen.expect("listeners end well");
            self.history.sockets.extend(seen.sockets.iter().cloned());
            self.absences.extend(&seen.absences);
            last.push(seen);
        }
        let intrusions = (&mut self.intruder).await;
        self.history.intrusions = intrusions.expect("the stranger ends well");
        self.history.channels = self.scene.names();
        self.history.sockets.sort_by_key(|socket| socket.number);
        &self.history
    }

    /// How long listeners were away, each time.
    #[must_use]
    pub fn absences(&self) -> Spread {
        Spread::of(self.absences.clone())
    }

    /// Judges, keeps, and fails where a verdict is bad.
    pub async fn finish(mut self) {
        let (attempts, frames) = (self.history.attempts.len(), self.history.frames());
        self.measure("publishes", json!(attempts));
        self.measure("frames", json!(frames));
        let verdicts = judge(&self.history);
        let faults: Vec<_> = verdicts.iter().filter(|verdict| verdict.faults > 0).collect();
        let record = json!({
            "scenario": self.name,
            "seed": self.seed,
            "replay": lane::replay(self.name, self.seed),
            "passed": faults.is_empty(),
            "versions": artifact::versions(),
            "arena": artifact::order(self.arena.order(), self.arena.can_be_cut()),
            "timeline": artifact::timeline(&self.history.plan),
            "measures": self.measures,
            "verdicts": artifact::verdicts(&verdicts),
            "vitals": {
                "before": artifact::vitals(&self.before),
                "after": artifact::vitals(&self.arena.vitals()),
            },
            "counters": artifact::counters(&self.arena.counters().await),
        });
        let path = self.folder.join("run.json");
        let text = serde_json::to_string_pretty(&record).expect("JSON can be written");
        fs::write(&path, text).expect("the artifact can be written");
        if !faults.is_empty() || lane::keeps_histories() {
            let spilt = artifact::spill(&self.history, &self.folder.join("history.jsonl"));
            spilt.expect("the history can be written");
        }
        say(&format!("{}: {}", self.name, path.display()));
        assert!(faults.is_empty(), "{}: {faults:#?}", self.name);
    }
}

/// Whether an event reaches a new subscriber, if need be at the second or third time.
async fn reaches(backend: Backend, node: std::net::SocketAddr, channel: String) -> bool {
    let began = Instant::now();
    while began.elapsed() < PROBE_MAX {
        let tried = tokio::time::timeout(Duration::from_secs(3), reach(&backend, node, &channel));
        if tried.await.ok().flatten().is_some() {
            return true;
        }
        sleep(PROBE_PAUSE).await;
    }
    false
}

async fn reach(backend: &Backend, node: std::net::SocketAddr, channel: &str) -> Option<()> {
    let path = format!("/app/{}?protocol=7", credentials(0).key);
    let mut client = Client::try_open(node, &path, None).await.ok()?;
    let is = |next: Incoming, event: &str| {
        matches!(next, Incoming::Frame(frame) if frame["event"] == event).then_some(())
    };
    is(client.next().await, "pusher:connection_established")?;
    client.ask_for(channel).await;
    is(client.next().await, "pusher_internal:subscription_succeeded")?;
    let event = json!({ "name": "probe", "channel": channel, "data": "?" });
    let answer = backend.call(event.to_string()).try_send().await?;
    (answer.status == 200).then_some(())?;
    is(client.next().await, "probe")
}

/// Users, their number and the number of subscriptions, as far as REST tells them of this channel.
async fn view(backend: &Backend, channel: &str) -> (Option<Vec<u32>>, Option<u64>, Option<u64>) {
    let is_presence = channel.starts_with("presence-");
    let info = if is_presence { "user_count,subscription_count" } else { "subscription_count" };
    let counts = backend.get(&format!("channels/{channel}")).set("info", info).send().await.json();
    let users = if is_presence {
        let listed = backend.get(&format!("channels/{channel}/users")).send().await.json();
        let users = listed["users"].as_array().cloned().unwrap_or_default();
        let ids = users.iter().filter_map(|user| user["id"].as_str()?.parse().ok());
        Some(ids.collect())
    } else {
        None
    };
    (users, counts["user_count"].as_u64(), counts["subscription_count"].as_u64())
}

/// A verdict in one line.
impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} of {} wrong", self.rule, self.faults, self.checked)
    }
}
