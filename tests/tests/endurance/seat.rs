//! A socket of one user that checks all it is told of one presence channel.

use std::{collections::BTreeSet, net::SocketAddr};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tests::rest::Credentials;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message},
};

/// The channel.
pub(crate) const ROOM: &str = "presence-room";

/// An open socket.
pub(crate) struct Seat {
    socket: WebSocketStream<TcpStream>,
    socket_id: String,
    user: String,
    node: SocketAddr,
    /// Who is there, by what it was told; `None`: not subscribed, or not yet.
    roster: Option<BTreeSet<String>>,
}

/// What a seat is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It is subscribed.
    Roster,
    /// A user has come.
    Added(String),
    /// A user has gone.
    Removed(String),
    /// The server closes the socket, with this code.
    Closed(u16),
    /// The connection is lost.
    Lost,
    /// Something that must not be.
    Fault(String),
}

impl Seat {
    /// Connects; `None` where nobody is there, or no longer.
    pub(crate) async fn take(node: SocketAddr, user: &str) -> Option<Self> {
        let tcp = TcpStream::connect(node).await.ok()?;
        tcp.set_nodelay(true).ok()?;
        let Credentials { key, .. } = Credentials::default();
        let uri = format!("ws://{node}/app/{key}?protocol=7&client=js&version=8.4.0");
        let (mut socket, _) = client_async(uri, tcp).await.ok()?;
        let Message::Text(greeting) = socket.next().await?.ok()? else { return None };
        let greeting = parse(&greeting);
        if greeting["event"] != "pusher:connection_established" {
            return None;
        }
        let data = parse(greeting["data"].as_str()?);
        let socket_id = data["socket_id"].as_str()?.to_owned();
        Some(Self { socket, socket_id, user: user.to_owned(), node, roster: None })
    }

    /// Asks to enter; a failure shows at the next reading.
    pub(crate) async fn join(&mut self) {
        let channel_data = json!({ "user_id": self.user }).to_string();
        let Credentials { key, .. } = Credentials::default();
        let text = format!("{}:{ROOM}:{channel_data}", self.socket_id);
        let auth = format!("{key}:{}", Credentials::default().sign(&text));
        let data = json!({ "channel": ROOM, "auth": auth, "channel_data": channel_data });
        self.send(&json!({ "event": "pusher:subscribe", "data": data })).await;
    }

    /// Leaves the channel; what is under way is not looked at.
    pub(crate) async fn leave(&mut self) {
        self.roster = None;
        self.send(&json!({ "event": "pusher:unsubscribe", "data": { "channel": ROOM } })).await;
    }

    /// Closes as a browser does.
    pub(crate) async fn close(mut self) {
        let _lost = self.socket.close(None).await;
    }

    async fn send(&mut self, frame: &Value) {
        // Who cannot be written to is lost, which the next reading tells.
        let _lost = self.socket.send(Message::text(frame.to_string())).await;
    }

    /// Who is there, by what it was told.
    pub(crate) fn roster(&self) -> Option<&BTreeSet<String>> {
        self.roster.as_ref()
    }

    /// What it is told next.
    pub(crate) async fn next(&mut self) -> Told {
        loop {
            let text = match self.socket.next().await {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Close(Some(close)))) => return Told::Closed(close.code.into()),
                Some(Ok(Message::Close(None))) => return Told::Closed(1005),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Binary(_) | Message::Frame(_))) => {
                    return self.fault("a binary message");
                }
                Some(Err(Error::Capacity(error))) => return self.fault(&error.to_string()),
                Some(Err(_)) | None => return Told::Lost,
            };
            if let Some(told) = self.read(&parse(&text)) {
                return told;
            }
        }
    }

    fn read(&mut self, frame: &Value) -> Option<Told> {
        let data = parse(frame["data"].as_str().unwrap_or_default());
        match frame["event"].as_str().unwrap_or_default() {
            "pusher_internal:subscription_succeeded" => Some(self.confirmed(&data["presence"])),
            "pusher_internal:member_added" => self.added(&data),
            "pusher_internal:member_removed" => self.removed(&data),
            // It comes before a close frame with its code.
            "pusher:error" if frame["data"]["code"].is_u64() => None,
            _ => Some(self.fault(&frame.to_string())),
        }
    }

    /// `ids`, `hash` and `count` say the same, and that this user is there.
    fn confirmed(&mut self, presence: &Value) -> Told {
        let ids = presence["ids"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let ids: BTreeSet<_> = ids.map(str::to_owned).collect();
        let hash = presence["hash"].as_object().into_iter().flat_map(|hash| hash.keys());
        let agrees = presence["count"] == ids.len() && hash.eq(&ids) && ids.contains(&self.user);
        if !agrees || presence["ids"].as_array().map(Vec::len) != Some(ids.len()) {
            return self.fault(&format!("a roster that does not agree: {presence}"));
        }
        if self.roster.replace(ids).is_some() {
            return self.fault("confirmed twice");
        }
        Told::Roster
    }

    fn added(&mut self, data: &Value) -> Option<Told> {
        let user = data["user_id"].as_str()?.to_owned();
        let is_new = self.roster.as_mut()?.insert(user.clone());
        Some(match is_new {
            true => Told::Added(user),
            false => self.fault(&format!("{user} added who was there")),
        })
    }

    fn removed(&mut self, data: &Value) -> Option<Told> {
        let user = data["user_id"].as_str()?.to_owned();
        let was_there = self.roster.as_mut()?.remove(&user);
        Some(match was_there && user != self.user {
            true => Told::Removed(user),
            false => self.fault(&format!("{user} removed who was not there, or is")),
        })
    }

    fn fault(&self, what: &str) -> Told {
        Told::Fault(format!("{} ({}) at {}: {what}", self.socket_id, self.user, self.node))
    }
}

/// JSON, or nothing.
fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}
