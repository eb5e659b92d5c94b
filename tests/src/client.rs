//! A WebSocket client that expects frames in order.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use http::{Request, Response, header};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, handshake::client::generate_key},
};

use crate::{rest::Credentials, soon};

mod people;

/// One connection.
#[derive(Debug)]
pub struct Client {
    /// Its name, where it was greeted.
    pub socket_id: String,
    /// The seconds of silence that it was told are too long.
    pub activity_timeout: u64,
    credentials: Credentials,
    socket: WebSocketStream<TcpStream>,
}

/// What can come in.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// A text message with JSON.
    Frame(Value),
    /// The answer to a WebSocket ping.
    Pong(Vec<u8>),
    /// A close frame: its code and reason.
    Close(u16, String),
    /// The connection's end.
    End,
}

impl Client {
    /// Connects as pusher-js does and takes the greeting.
    pub async fn connect(node: SocketAddr, credentials: &Credentials) -> Self {
        let path =
            format!("/app/{}?protocol=7&client=js&version=8.6.0&flash=false", credentials.key);
        let mut client = Self::open(node, &path, None).await;
        client.credentials = credentials.clone();
        client.greeted().await;
        client
    }

    /// Opens a WebSocket and takes nothing.
    pub async fn open(node: SocketAddr, path: &str, origin: Option<&str>) -> Self {
        match Self::try_open(node, path, origin).await {
            Ok(client) => client,
            Err(error) => panic!("{path}: {error}"),
        }
    }

    /// Opens a WebSocket; a refusal is a value.
    pub async fn try_open(
        node: SocketAddr,
        path: &str,
        origin: Option<&str>,
    ) -> Result<Self, Error> {
        let tcp = TcpStream::connect(node).await?;
        tcp.set_nodelay(true)?;
        let mut request = Request::builder()
            .uri(format!("ws://{node}{path}"))
            .header(header::HOST, node.to_string())
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, generate_key());
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        let request = request.body(()).expect("the test's address is valid");
        let (socket, _) = soon("the upgrade", client_async(request, tcp)).await?;
        Ok(Self {
            socket_id: String::new(),
            activity_timeout: 0,
            credentials: Credentials::default(),
            socket,
        })
    }

    /// Takes the greeting.
    pub async fn greeted(&mut self) {
        let greeting = self.next_frame().await;
        assert_eq!(greeting["event"], "pusher:connection_established");
        let data = greeting["data"].as_str().expect("its data is a string");
        let data: Value = serde_json::from_str(data).expect("that holds JSON");
        data["socket_id"].as_str().expect("a socket id").clone_into(&mut self.socket_id);
        self.activity_timeout = data["activity_timeout"].as_u64().expect("seconds");
    }

    /// The refusal of one channel, next; the connection stays.
    pub async fn expect_refused(&mut self, channel: &str, kind: &str, status: u16) {
        let frame = self.next_frame().await;
        let text = frame["data"]["error"].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "{frame}");
        let data = json!({ "type": kind, "error": text, "status": status });
        let expected =
            json!({ "event": "pusher:subscription_error", "channel": channel, "data": data });
        assert_eq!(frame, expected);
    }

    /// Subscribes, with a signature where the channel needs one, and waits for the confirmation.
    pub async fn subscribe(&mut self, channel: &str) {
        self.ask_for(channel).await;
        self.expect_subscribed(channel).await;
    }

    /// Asks to subscribe, with a signature where the channel needs one.
    pub async fn ask_for(&mut self, channel: &str) {
        let mut data = json!({ "channel": channel });
        if channel.starts_with("private-") {
            data["auth"] = json!(self.auth(channel));
        }
        self.send(&json!({ "event": "pusher:subscribe", "data": data })).await;
    }

    /// What the app's auth endpoint would answer.
    #[must_use]
    pub fn auth(&self, channel: &str) -> String {
        let text = format!("{}:{channel}", self.socket_id);
        format!("{}:{}", self.credentials.key, self.credentials.sign(&text))
    }

    /// Leaves a channel.
    pub async fn unsubscribe(&mut self, channel: &str) {
        self.send(&json!({ "event": "pusher:unsubscribe", "data": { "channel": channel } })).await;
    }

    /// Sends a text message.
    pub async fn send(&mut self, frame: &Value) {
        self.send_message(Message::text(frame.to_string())).await;
    }

    /// Sends any message.
    pub async fn send_message(&mut self, message: Message) {
        let sent = soon("room to send", self.socket.send(message)).await;
        sent.expect("the connection is open");
    }

    /// The confirmation of a subscription.
    pub async fn expect_subscribed(&mut self, channel: &str) {
        self.expect(&json!({
            "event": "pusher_internal:subscription_succeeded", "channel": channel, "data": "{}",
        }))
        .await;
    }

    /// An event whose data is a string.
    pub async fn expect_event(&mut self, channel: &str, name: &str, data: &str) {
        self.expect(&json!({ "event": name, "channel": channel, "data": data })).await;
    }

    /// Exactly this frame, next.
    pub async fn expect(&mut self, expected: &Value) {
        assert_eq!(self.next_frame().await, *expected);
    }

    /// A frame about a channel whose data is JSON in a string, next; returns what is in the string.
    pub async fn expect_data(&mut self, channel: &str, event: &str) -> Value {
        let frame = self.next_frame().await;
        let text = frame["data"].as_str().unwrap_or_default();
        assert_eq!(frame, json!({ "event": event, "channel": channel, "data": text }));
        serde_json::from_str(text).expect("the string holds JSON")
    }

    /// A `pusher:error` with this code, next; returns its message.
    pub async fn expect_error(&mut self, code: u16) -> String {
        let frame = self.next_frame().await;
        assert_eq!(frame["event"], "pusher:error", "{frame}");
        assert_eq!(frame["data"]["code"], code, "{frame}");
        frame["data"]["message"].as_str().unwrap_or_default().to_owned()
    }

    /// An error frame, then a close frame with the same code and text, then the end.
    pub async fn expect_refusal(&mut self, code: u16) {
        let message = self.expect_error(code).await;
        assert_eq!(self.next().await, Incoming::Close(code, message));
        assert_eq!(self.next().await, Incoming::End);
    }

    /// A close frame with this code, next.
    pub async fn expect_close(&mut self, code: u16) {
        let next = self.next().await;
        let closed = matches!(next, Incoming::Close(given, _) if given == code);
        assert!(closed, "expected close {code}, came {next:?}");
    }

    /// Nothing is on its way: the answer to a ping is what comes next.
    pub async fn expect_nothing(&mut self) {
        self.send(&json!({ "event": "pusher:ping", "data": {} })).await;
        self.expect(&json!({ "event": "pusher:pong", "data": {} })).await;
    }

    /// The next frame.
    pub async fn next_frame(&mut self) -> Value {
        let next = self.next().await;
        let Incoming::Frame(frame) = next else {
            panic!("expected a frame, came {next:?}");
        };
        frame
    }

    /// The next frame as it was sent, for those to whom its bytes matter.
    pub async fn next_text(&mut self) -> String {
        let next = self.next_message().await;
        let Message::Text(text) = next else {
            panic!("expected a frame, came {next:?}");
        };
        text.to_string()
    }

    /// The next message as it was sent, but WebSocket pings; compact deltas are binary.
    pub async fn next_message(&mut self) -> Message {
        loop {
            match soon("something to read", self.socket.next()).await {
                Some(Ok(Message::Ping(_))) => continue,
                Some(Ok(message)) => return message,
                other => panic!("expected a message, came {other:?}"),
            }
        }
    }

    /// Whatever comes next, but WebSocket pings.
    pub async fn next(&mut self) -> Incoming {
        loop {
            let Some(message) = soon("something to read", self.socket.next()).await else {
                return Incoming::End;
            };
            return match message {
                Ok(Message::Text(text)) => {
                    Incoming::Frame(serde_json::from_str(&text).expect("every frame is JSON"))
                }
                Ok(Message::Pong(bytes)) => Incoming::Pong(bytes.to_vec()),
                Ok(Message::Close(Some(close))) => {
                    Incoming::Close(close.code.into(), close.reason.to_string())
                }
                Ok(Message::Close(None)) => Incoming::Close(1005, String::new()),
                Ok(Message::Ping(_)) => continue,
                Ok(Message::Binary(_) | Message::Frame(_)) => panic!("no such message is sent"),
                Err(_) => Incoming::End,
            };
        }
    }

    /// Sends bytes that need be no WebSocket frame.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let sent = soon("room to send", self.socket.get_mut().write_all(bytes)).await;
        sent.expect("the connection is open");
    }
}

/// The status of an upgrade that was refused.
#[must_use]
pub fn refused_status(error: &Error) -> Option<u16> {
    let Error::Http(response) = error else { return None };
    Some(Response::status(response).as_u16())
}
