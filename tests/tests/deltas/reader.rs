//! A client that decodes: what it reads are the frames that it would get without deltas.

use std::{collections::HashMap, net::SocketAddr};

use serde_json::{Value, json};
use tests::{client::Client, cluster::Cluster, rest::Credentials};
use tokio_tungstenite::tungstenite::Message;

use crate::decoder::{Decoder, Failure};

/// One client with a decoder per channel. As the JavaScript client does, it keeps what it has over a
/// reconnect and forgets it when it unsubscribes.
pub(crate) struct Reader {
    pub(crate) client: Client,
    decoders: HashMap<String, Decoder>,
}

/// How an event came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Without a marker: it is no base.
    Unmarked,
    /// With a marker.
    Full,
    /// As a difference.
    Delta,
}

impl Reader {
    pub(crate) async fn connect(node: SocketAddr) -> Self {
        let client = Client::connect(node, &Credentials::default()).await;
        Self { client, decoders: HashMap::new() }
    }

    /// A reader of a cluster's node.
    pub(crate) async fn of(cluster: &Cluster, node: usize) -> Self {
        Self::connect(cluster.node_address(node)).await
    }

    /// The connection is lost; another one takes its place.
    pub(crate) async fn reconnect(&mut self, node: SocketAddr) {
        self.client = Client::connect(node, &Credentials::default()).await;
    }

    /// Asks to subscribe with further members such as `delta` and `filter`.
    pub(crate) async fn ask(&mut self, channel: &str, terms: &Value) {
        let mut data = terms.clone();
        data["channel"] = json!(channel);
        if channel.starts_with("private-") {
            data["auth"] = json!(self.client.auth(channel));
        }
        self.client.send(&json!({ "event": "pusher:subscribe", "data": data })).await;
    }

    /// Subscribes without deltas.
    pub(crate) async fn subscribe(&mut self, channel: &str, terms: &Value) {
        self.ask(channel, terms).await;
        self.client.expect_subscribed(channel).await;
    }

    /// Subscribes and gets deltas of that algorithm.
    pub(crate) async fn subscribe_to_deltas(
        &mut self,
        channel: &str,
        terms: &Value,
        algorithm: &str,
    ) {
        self.subscribe(channel, terms).await;
        self.client.expect(&confirmation(channel, algorithm)).await;
    }

    /// The refusal of a filter, for clients that listen to the channel and for those that do not:
    /// what is wrong with it.
    pub(crate) async fn expect_invalid_filter(&mut self, channel: &str) -> String {
        let frame = self.client.next_frame().await;
        let error = frame["data"]["error"].as_str().unwrap_or_default();
        let data = json!({ "type": "InvalidFilter", "error": error, "status": 400 });
        let expected =
            json!({ "event": "pusher:subscription_error", "channel": channel, "data": data });
        assert_eq!(frame, expected);
        let message = self.client.expect_error(4000).await;
        assert_eq!(message, format!("Invalid message format: {error}"));
        let detail = error.strip_prefix("Invalid tags filter: ");
        detail.unwrap_or_else(|| panic!("{error}")).to_owned()
    }

    /// Leaves a channel and forgets what it knew of it.
    pub(crate) async fn unsubscribe(&mut self, channel: &str) {
        self.client.unsubscribe(channel).await;
        self.decoders.remove(channel);
    }

    /// Says that it cannot go on with what it has of a channel, and forgets it.
    pub(crate) async fn lose(&mut self, channel: &str) {
        let data = json!({ "channel": channel });
        self.client.send(&json!({ "event": "pusher:delta_sync_error", "data": data })).await;
        self.decoders.remove(channel);
    }

    /// The next frame: as it was sent (a binary one in hexadecimal digits), and as it is without
    /// deltas.
    pub(crate) async fn read(&mut self) -> (String, Result<String, Failure>) {
        let message = self.client.next_message().await;
        if let Message::Binary(payload) = &message {
            return (hex::encode(payload), self.read_compact(payload));
        }
        let frame = message.into_text().expect("a frame is text").to_string();
        let parsed: Value = serde_json::from_str(&frame).unwrap();
        let channel = parsed["channel"].as_str().unwrap_or_default().to_owned();
        let text = self.decoders.entry(channel).or_default().read(&frame);
        (frame, text)
    }

    /// A compact frame names no channel: its base does.
    fn read_compact(&mut self, payload: &[u8]) -> Result<String, Failure> {
        let number = |decoder: &&mut Decoder| decoder.base_number(payload);
        let decoder = self.decoders.values_mut().max_by_key(number).ok_or(Failure::NoBase)?;
        decoder.read_compact(payload)
    }

    /// The next event in the form in which it came, parsed.
    pub(crate) async fn next(&mut self) -> (Form, Value) {
        let (frame, text) = self.read().await;
        let text = text.unwrap_or_else(|failure| panic!("{failure:?}: {frame}"));
        let form = form(&frame, &text);
        (form, serde_json::from_str(&text).unwrap())
    }

    /// This event, next, in this form.
    pub(crate) async fn expect(&mut self, form: Form, channel: &str, name: &str, data: &str) {
        let event = json!({ "event": name, "channel": channel, "data": data });
        assert_eq!(self.next().await, (form, event));
    }

    /// What has been counted of a channel's frames: unmarked, full and deltas.
    pub(crate) fn counted(&self, channel: &str) -> [u32; 3] {
        let counts = |one: &Decoder| [one.unmarked, one.fulls, one.deltas];
        self.decoders.get(channel).map_or([0; 3], counts)
    }
}

/// The confirmation of one subscription's deltas.
pub(crate) fn confirmation(channel: &str, algorithm: &str) -> Value {
    json!({
        "event": "pusher:delta_compression_enabled",
        "channel": channel,
        "data": { "enabled": true, "algorithm": algorithm, "channel": channel },
    })
}

fn form(frame: &str, text: &str) -> Form {
    match frame {
        _ if frame.starts_with(r#"{"event":"pusher:delta","#) => Form::Delta,
        _ if !frame.starts_with('{') => Form::Delta,
        _ if frame == text => Form::Unmarked,
        _ => Form::Full,
    }
}
