//! A backend and a browser in one: it publishes the moment after it is subscribed.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tests::{
    arena::credentials,
    chaos::{
        history::{Attempt, End, Entry, Key, Socket, What},
        publisher::Publisher,
        scene::Scene,
    },
    rest::Backend,
};
use tokio::{
    net::TcpStream,
    time::{Duration, sleep, timeout},
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

/// An acknowledged event that has not come by then will not come.
const EVENT_MAX: Duration = Duration::from_secs(5);

/// One of those who race for trials.
pub(crate) struct Racer {
    pub(crate) number: u32,
    pub(crate) node: SocketAddr,
    pub(crate) backends: Vec<Backend>,
    /// How many trials there are, and how many have been taken.
    pub(crate) trials: usize,
    pub(crate) taken: Arc<AtomicUsize>,
}

/// What a racer has seen.
#[derive(Default)]
pub(crate) struct Race {
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) sockets: Vec<Socket>,
}

struct Track {
    stream: WebSocketStream<TcpStream>,
    log: Socket,
    scene: Arc<Scene>,
}

impl Racer {
    pub(crate) async fn run(self, scene: Arc<Scene>) -> Race {
        let mut race = Race::default();
        loop {
            let Some(mut track) = Track::open(self.node, &scene).await else {
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            let over = self.run_on(&mut track, &mut race.attempts).await;
            track.log.ended = (!over).then(|| (scene.now(), End::Lost));
            race.sockets.push(track.log);
            if over {
                return race;
            }
        }
    }

    /// Trials, until there are none left or the socket is lost; whether there are none left.
    async fn run_on(&self, track: &mut Track, attempts: &mut Vec<Attempt>) -> bool {
        loop {
            let trial = self.taken.fetch_add(1, Ordering::Relaxed);
            if trial >= self.trials {
                return true;
            }
            if self.trial(trial as u32, track, attempts).await.is_none() {
                return false;
            }
        }
    }

    async fn trial(
        &self,
        trial: u32,
        track: &mut Track,
        attempts: &mut Vec<Attempt>,
    ) -> Option<()> {
        let scene = Arc::clone(&track.scene);
        let name = format!("race-{trial}");
        let channel = scene.channel(&name);
        track.say("pusher:subscribe", &json!({ "channel": name })).await?;
        let confirmed = |entry: &Entry| entry.what == What::Subscribed && entry.channel == channel;
        timeout(EVENT_MAX, track.read_until(confirmed)).await.ok()??;
        let publisher = Publisher {
            number: self.number,
            app: 0,
            backends: self.backends.clone(),
            channels: vec![channel],
            every: Duration::ZERO,
            attempts_max: 1,
            bytes: 64,
        };
        if publisher.publish(&scene, trial, attempts).await {
            let event = What::Event(Key { publisher: self.number, sequence: trial });
            // Where it does not come, that is for the verdict.
            match timeout(EVENT_MAX, track.read_until(|entry| entry.what == event)).await {
                Ok(read) => read?,
                Err(_elapsed) => {}
            }
        }
        track.note(channel, What::Leaving);
        track.say("pusher:unsubscribe", &json!({ "channel": name })).await?;
        track.say("pusher:ping", &json!({})).await?;
        timeout(EVENT_MAX, track.read_until(|entry| entry.what == What::Left)).await.ok()??;
        track.note(channel, What::Left);
        Some(())
    }
}

impl Track {
    async fn open(node: SocketAddr, scene: &Arc<Scene>) -> Option<Self> {
        let tcp = TcpStream::connect(node).await.ok()?;
        tcp.set_nodelay(true).ok()?;
        let uri = format!("ws://{node}/app/{}?protocol=7", credentials(0).key);
        let (mut stream, _) = client_async(uri, tcp).await.ok()?;
        let _greeting = stream.next().await?.ok()?;
        let log = Socket {
            number: scene.next_socket(),
            app: 0,
            node: 0,
            user: None,
            opened: scene.now(),
            ended: None,
            entries: Vec::new(),
        };
        Some(Self { stream, log, scene: Arc::clone(scene) })
    }

    async fn say(&mut self, event: &str, data: &Value) -> Option<()> {
        let frame = json!({ "event": event, "data": data });
        self.stream.send(Message::text(frame.to_string())).await.ok()
    }

    /// Reads up to what is waited for. `None`: the socket is lost.
    async fn read_until(&mut self, is_it: impl Fn(&Entry) -> bool) -> Option<()> {
        loop {
            let message = self.stream.next().await?.ok()?;
            let Message::Text(text) = message else { continue };
            let frame: Value = serde_json::from_str(&text).unwrap_or_default();
            let channel = self.scene.channel(frame["channel"].as_str().unwrap_or_default());
            let what = match frame["event"].as_str().unwrap_or_default() {
                "pusher_internal:subscription_succeeded" => What::Subscribed,
                "e" => What::Event(key(frame["data"].as_str()?)?),
                // It is not kept: of which channel, the caller knows.
                "pusher:pong" => What::Left,
                // A close frame follows.
                "pusher:error" => continue,
                _ => What::Strange(text.as_str().into()),
            };
            let entry = Entry { at: self.scene.now(), channel, what };
            let found = is_it(&entry);
            if entry.what != What::Left {
                self.log.entries.push(entry);
            }
            if found {
                return Some(());
            }
        }
    }

    fn note(&mut self, channel: u32, what: What) {
        self.log.entries.push(Entry { at: self.scene.now(), channel, what });
    }
}

fn key(data: &str) -> Option<Key> {
    let mut numbers = data.split(':').map(str::parse);
    let mut number = || numbers.next()?.ok();
    Some(Key { publisher: number()?, sequence: number()? })
}
