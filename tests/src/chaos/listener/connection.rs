//! One WebSocket of a listener.

use std::{collections::HashMap, sync::Arc};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    time::{Duration, Instant, interval_at},
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

use super::Listener;
use crate::{
    arena::credentials,
    chaos::{
        history::{At, End, Entry, Key, Socket, What},
        scene::Scene,
    },
    rest::Credentials,
};

/// Thousands of them share the test's memory.
const READ_BYTES: usize = 4 << 10;
/// As good as never.
const NEVER: Duration = Duration::from_secs(86_400);

/// An open socket and what it has seen.
#[derive(Debug)]
pub(super) struct Connection {
    scene: Arc<Scene>,
    stream: WebSocketStream<TcpStream>,
    socket_id: String,
    credentials: Credentials,
    numbers: HashMap<String, u32>,
    log: Socket,
    /// Channels that have not been confirmed.
    missing: usize,
    /// When it first had them all.
    seated: Option<At>,
}

impl Connection {
    /// Connects, is greeted, and asks for its channels.
    pub(super) async fn open(plan: &Listener, node: usize, scene: &Arc<Scene>) -> Option<Self> {
        let address = plan.nodes[node];
        let tcp = TcpStream::connect(address).await.ok()?;
        tcp.set_nodelay(true).ok()?;
        let credentials = credentials(plan.app);
        let uri =
            format!("ws://{address}/app/{}?protocol=7&client=js&version=8.4.0", credentials.key);
        let config = WebSocketConfig::default().read_buffer_size(READ_BYTES);
        let (mut stream, _) = client_async_with_config(uri, tcp, Some(config)).await.ok()?;
        let Message::Text(greeting) = stream.next().await?.ok()? else { return None };
        let greeting = parse(&greeting);
        let data = parse(greeting["data"].as_str()?);
        let socket_id = data["socket_id"].as_str()?.to_owned();
        let channels = plan.channels.iter();
        let mut connection = Self {
            scene: Arc::clone(scene),
            stream,
            socket_id,
            credentials,
            numbers: channels.map(|&channel| (scene.name(channel), channel)).collect(),
            log: Socket {
                number: scene.next_socket(),
                app: plan.app,
                node,
                user: plan.user,
                opened: scene.now(),
                ended: None,
                entries: Vec::new(),
            },
            missing: 0,
            seated: None,
        };
        connection.ask(plan).await?;
        Some(connection)
    }

    async fn ask(&mut self, plan: &Listener) -> Option<()> {
        self.missing = plan.channels.len();
        for channel in &plan.channels {
            let name = self.scene.name(*channel);
            let mut data = json!({ "channel": name });
            let mut signed = format!("{}:{name}", self.socket_id);
            if name.starts_with("presence-") {
                let user = json!({ "user_id": plan.user.expect("members are users").to_string() });
                signed = format!("{signed}:{user}");
                data["channel_data"] = json!(user.to_string());
            }
            if name.starts_with("private-") || name.starts_with("presence-") {
                let signature = self.credentials.sign(&signed);
                data["auth"] = json!(format!("{}:{signature}", self.credentials.key));
            }
            self.send(&json!({ "event": "pusher:subscribe", "data": data })).await?;
        }
        Some(())
    }

    async fn leave(&mut self) -> Option<()> {
        self.unseat();
        let channels: Vec<_> = self.numbers.clone().into_iter().collect();
        for (name, channel) in channels {
            self.note(channel, What::Leaving);
            let data = json!({ "channel": name });
            self.send(&json!({ "event": "pusher:unsubscribe", "data": data })).await?;
        }
        self.send(&json!({ "event": "pusher:ping", "data": {} })).await
    }

    async fn send(&mut self, frame: &Value) -> Option<()> {
        self.stream.send(Message::text(frame.to_string())).await.ok()
    }

    /// Listens until it ends or the run is over; what it has seen, and when it had all its channels.
    pub(super) async fn listen(&mut self, plan: &Listener) -> (Socket, Option<At>) {
        let scene = Arc::clone(&self.scene);
        let restless = plan.restless.unwrap_or(NEVER);
        let mut restless = interval_at(Instant::now() + restless, restless);
        let end = loop {
            tokio::select! {
                message = self.stream.next() => {
                    if let Err(end) = self.take(message, plan).await {
                        break Some(end);
                    }
                }
                // Once nobody publishes, who is there is counted.
                _ = restless.tick(), if self.missing == 0 && !scene.published.is_cancelled() => {
                    if self.leave().await.is_none() {
                        break Some(End::Lost);
                    }
                }
                () = scene.over.cancelled() => break None,
            }
        };
        self.log.ended = end.map(|end| (scene.now(), end));
        self.unseat();
        (self.log.clone(), self.seated)
    }

    async fn take(
        &mut self,
        message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>,
        plan: &Listener,
    ) -> Result<(), End> {
        match message {
            Some(Ok(Message::Text(text))) => self.read(&text, plan).await.ok_or(End::Lost),
            Some(Ok(Message::Close(Some(close)))) => Err(End::Closed(close.code.into())),
            Some(Ok(Message::Close(None))) => Err(End::Closed(1005)),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
            Some(Ok(Message::Binary(_) | Message::Frame(_)) | Err(_)) | None => Err(End::Lost),
        }
    }

    /// `None` where the socket cannot be written to.
    async fn read(&mut self, text: &str, plan: &Listener) -> Option<()> {
        let frame = parse(text);
        let event = frame["event"].as_str().unwrap_or_default();
        let data = frame["data"].as_str().unwrap_or_default();
        let channel = frame["channel"].as_str().and_then(|name| self.numbers.get(name).copied());
        match (event, channel) {
            ("pusher:ping", _) => {
                return self.send(&json!({ "event": "pusher:pong", "data": {} })).await;
            }
            ("pusher:pong", _) => {
                let channels: Vec<_> = self.numbers.values().copied().collect();
                channels.into_iter().for_each(|channel| self.note(channel, What::Left));
                return self.ask(plan).await;
            }
            // What it means is said by the close frame behind it.
            ("pusher:error", _) | ("pusher_internal:subscription_count", _) => {}
            ("pusher_internal:subscription_succeeded", Some(channel)) => {
                self.confirmed(channel, &parse(data));
            }
            (_, Some(channel)) => self.note(channel, what(event, data, text)),
            (_, None) => self.note(plan.channels[0], What::Strange(text.into())),
        }
        Some(())
    }

    fn confirmed(&mut self, channel: u32, data: &Value) {
        let ids = data["presence"]["ids"].as_array();
        let ids = ids.map(|ids| ids.iter().filter_map(user).collect());
        self.note(channel, ids.map_or(What::Subscribed, What::Entered));
        self.missing = self.missing.saturating_sub(1);
        self.scene.enters(self.log.app, channel, self.log.number, &self.socket_id);
        if self.missing == 0 {
            self.scene.seat(true);
            self.seated.get_or_insert(self.scene.now());
        }
    }

    fn unseat(&mut self) {
        if self.missing == 0 {
            self.scene.seat(false);
        }
        self.missing = usize::MAX;
    }

    fn note(&mut self, channel: u32, what: What) {
        self.log.entries.push(Entry { at: self.scene.now(), channel, what });
    }
}

fn what(event: &str, data: &str, text: &str) -> What {
    let seen = match event {
        "e" => key(data).map(What::Event),
        "pusher_internal:member_added" => user(&parse(data)["user_id"]).map(What::Added),
        "pusher_internal:member_removed" => user(&parse(data)["user_id"]).map(What::Removed),
        _ => None,
    };
    seen.unwrap_or_else(|| What::Strange(text.into()))
}

/// An event's data begins with its publisher and which of its events it is.
fn key(data: &str) -> Option<Key> {
    let mut numbers = data.split(':').map(str::parse);
    let mut number = || numbers.next()?.ok();
    Some(Key { publisher: number()?, sequence: number()? })
}

fn user(id: &Value) -> Option<u32> {
    id.as_str()?.parse().ok()
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}
