mod authorization;
mod client_events;
mod presence;
mod terms;
mod users;
mod watchlist;

use model::{AppId, AppKey, AppSecret, Features, Limits, MessageLimit, Secrets, Signature};

use super::*;
use crate::{Terms, channel_auth::Denied};

const OPENED: &str = r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"1234.1234\",\"activity_timeout\":120}"}"#;
const PONG: &str = r#"{"event":"pusher:pong","data":{}}"#;
const PING: &str = r#"{"event":"pusher:ping"}"#;

/// Key and secret of spec/websocket.md A.1, set 1.
fn app() -> App {
    let secrets = Secrets::one(AppSecret::new("7ad3773142a6692b25b8"));
    App {
        limits: Limits { channels_per_connection_max: 3, ..Limits::default() },
        features: Features { client_events: true, ..Features::default() },
        ..App::new(AppId::parse("1").unwrap(), "278d425bdf160c739803", secrets)
    }
}

/// Key, secret and socket of spec/websocket.md A.1, set 2.
fn second_client() -> Client {
    let secrets = Secrets::one(AppSecret::new("app-secret"));
    let app = App::new(AppId::parse("2").unwrap(), "app-key", secrets);
    Client::open_as(App { features: Features { watchlist_events: true, ..app.features }, ..app }, {
        "2759100109.9085358341"
    })
}

/// A session at a given time after its start, whose effects a test must name one by one.
struct Client {
    session: Session,
    config: SessionConfig,
    now: Instant,
    effects: Vec<Effect>,
}

impl Client {
    fn open(app: App) -> Self {
        Self::open_as(app, "1234.1234")
    }

    fn open_as(app: App, id: &str) -> Self {
        #[allow(clippy::disallowed_methods, reason = "a test needs some instant to count from")]
        let now = Instant::now();
        let config = SessionConfig::default();
        let mut effects = Vec::new();
        let id = SocketId::parse(id).unwrap();
        let session = Session::open(Arc::new(app), id, &config, now, &mut effects);
        let mut client = Self { session, config, now, effects };
        client.expect([sent(&OPENED.replace("1234.1234", &id.to_string()))]);
        client
    }

    /// All effects so far, and no other.
    #[track_caller]
    fn expect<const N: usize>(&mut self, expected: [Effect; N]) {
        assert_eq!(std::mem::take(&mut self.effects), expected);
    }

    #[track_caller]
    fn check<const N: usize>(&mut self, text: &str, expected: [Effect; N]) {
        self.session.handle_text(text, self.now, &mut self.effects);
        self.expect(expected);
    }

    #[track_caller]
    fn check_at<const N: usize>(&mut self, seconds: u64, expected: [Effect; N]) {
        let now = self.now + Duration::from_secs(seconds);
        self.session.handle_timeout(now, &self.config, &mut self.effects);
        self.expect(expected);
    }

    #[track_caller]
    fn subscribe<const N: usize>(&mut self, data: &str, expected: [Effect; N]) {
        self.check(&format!(r#"{{"event":"pusher:subscribe","data":{data}}}"#), expected);
    }

    /// Into a channel with a good signature.
    #[track_caller]
    fn enter(&mut self, channel: &str) {
        let auth = self.auth(&format!("1234.1234:{channel}"));
        self.subscribe(
            &format!(r#"{{"channel":"{channel}","auth":"{auth}"}}"#),
            [subscribed(channel)],
        );
    }

    /// The shell has put the socket into a channel.
    #[track_caller]
    fn confirm<const N: usize>(&mut self, channel: &str, expected: [Effect; N]) {
        self.session.handle_subscribed(&name(channel), self.now, &mut self.effects);
        self.expect(expected);
    }

    /// The shell has put the socket into a presence or cache channel and told it so. Returns what
    /// the session returns.
    #[track_caller]
    fn let_in<const N: usize>(&mut self, channel: &ChannelName, expected: [Effect; N]) -> bool {
        let joined = self.session.handle_joined(channel, &mut self.effects);
        self.expect(expected);
        joined
    }

    #[track_caller]
    fn unsubscribe<const N: usize>(&mut self, channel: &str, expected: [Effect; N]) {
        let text = format!(r#"{{"event":"pusher:unsubscribe","data":{{"channel":"{channel}"}}}}"#);
        self.check(&text, expected);
    }

    #[track_caller]
    fn change<const N: usize>(&mut self, app: Option<App>, expected: [Effect; N]) {
        self.session.handle_app(app.map(Arc::new), self.now, &mut self.effects);
        self.expect(expected);
    }

    fn auth(&self, signed: &str) -> String {
        let app = &self.session.app;
        let signature = Signature::sign(&app.secrets.current, signed.as_bytes());
        format!("{}:{signature}", app.key.as_str())
    }

    fn channels(&self) -> Vec<&str> {
        self.session.subscriptions().map(|(channel, _)| channel.as_str()).collect()
    }
}

fn sent(frame: &str) -> Effect {
    Effect::Send(frame.to_owned())
}

fn name(text: &str) -> ChannelName {
    ChannelName::trusted(text)
}

/// Into any channel but a presence channel.
fn subscribed(channel: &str) -> Effect {
    Effect::Subscribe { channel: name(channel), member: None, terms: Terms::default() }
}

fn unsubscribed(channel: &str) -> Effect {
    Effect::Unsubscribe { channel: name(channel), user: None }
}

fn succeeded(channel: &str) -> Effect {
    Effect::Send(frame::subscription_succeeded(channel))
}

fn error(number: u16, message: &str) -> Effect {
    Effect::Send(frame::error(number, message))
}

fn refused(channel: &str, kind: &str, message: &str, status: u16) -> Effect {
    Effect::Send(frame::subscription_error(channel, kind, message, status))
}

#[test]
fn a_session_is_small() {
    assert!(size_of::<Session>() <= 136, "{}", size_of::<Session>());
}

#[test]
fn pings_are_answered_and_unknown_events_are_ignored() {
    let mut client = Client::open(app());
    client.check(r#"{"event":"pusher:ping","data":{}}"#, [sent(PONG)]);
    client.check(r#"{"event":"pusher:ping","data":null}"#, [sent(PONG)]);
    client.check(r#"{"event":"pusher:pong"}"#, []);
    client.check(r#"{"event":"pusher:from_the_future","data":{}}"#, []);
    client.check(r#"{"event":"price","channel":"market","data":{}}"#, []);
    client.check(r#"{"event":"pusher_internal:subscription_succeeded","channel":"a"}"#, []);
}

#[test]
fn bad_messages_are_answered_and_close_nothing() {
    let mut client = Client::open(app());
    let bad = |detail: &str| [error(4000, &format!("Invalid message format: {detail}"))];
    client.check("hello", bad("not JSON (line 1, column 1)"));
    client.check("[]", bad("a message must be a JSON object"));
    client.check("{}", bad("'event' must be a string"));
    client.subscribe("{}", bad("'channel' in 'data' must be a string"));
    client.subscribe("7", bad("'data' must be an object, or a string that holds one"));
    client.session.handle_binary(br#"{"event":"pusher:ping"}"#, client.now, &mut client.effects);
    client.expect([sent(PONG)]);
    client.session.handle_binary(b"{}", client.now, &mut client.effects);
    client.expect(bad("'event' must be a string"));
}

#[test]
fn a_binary_message_that_is_no_text_is_not_served() {
    let mut client = Client::open(app());
    client.session.handle_binary(b"\xff", client.now, &mut client.effects);
    client.expect([Effect::Close(CloseCode::Unsupported)]);
}

#[test]
fn a_silent_client_is_pinged_and_then_closed() {
    let mut client = Client::open(app());
    assert_eq!(client.session.poll_timeout(&client.config), client.now + Duration::from_secs(120));
    client.check_at(119, []);
    client.check_at(120, [sent(PING)]);
    assert_eq!(client.session.poll_timeout(&client.config), client.now + Duration::from_secs(150));
    client.check_at(149, []);
    client.check_at(150, [Effect::Close(CloseCode::PongTimeout)]);
}

#[test]
fn any_frame_is_a_sign_of_life() {
    type Frame = fn(&mut Session, Instant, &mut Vec<Effect>);
    let frames: [Frame; 4] = [
        |session, now, _| session.handle_activity(now),
        |session, now, effects| session.handle_text("nonsense", now, effects),
        |session, now, effects| session.handle_binary(b"nonsense", now, effects),
        |session, now, effects| session.handle_text(r#"{"event":"pusher:pong"}"#, now, effects),
    ];
    for frame in frames {
        let mut client = Client::open(app());
        client.check_at(120, [sent(PING)]);
        frame(&mut client.session, client.now + Duration::from_secs(140), &mut client.effects);
        client.effects.clear();
        client.check_at(259, []);
        client.check_at(260, [sent(PING)]);
    }
}

#[test]
fn subscribe_confirm_unsubscribe() {
    let mut client = Client::open(app());
    client.subscribe(r#"{"auth":"","channel":"market"}"#, [subscribed("market")]);
    client.subscribe(r#""{\"channel\":\"a\"}""#, [subscribed("a")]);
    assert_eq!(client.channels(), ["a", "market"]);

    let shared = name("market");
    let frame =
        r#"{"event":"pusher_internal:subscription_succeeded","channel":"market","data":"{}"}"#;
    client.session.handle_subscribed(&shared, client.now, &mut client.effects);
    client.expect([sent(frame)]);
    let (kept, _) = client.session.subscriptions().nth(1).unwrap();
    assert!(std::ptr::eq(kept.as_str(), shared.as_str()), "the name is not shared");

    client.subscribe(r#"{"channel":"market"}"#, [subscribed("market")]);
    client.confirm("market", [sent(frame)]);
    assert_eq!(client.channels(), ["a", "market"]);

    client.unsubscribe("market", [unsubscribed("market")]);
    client.unsubscribe("market", []);
    client.confirm("market", []);
    assert_eq!(client.channels(), ["a"]);
}

#[test]
fn cache_channels_of_every_kind() {
    let mut client = Client::open(app());
    for channel in ["cache-x", "private-cache-x", "private-encrypted-cache-x"] {
        client.enter(channel);
        assert!(client.let_in(&name(channel), []));
        client.unsubscribe(channel, [unsubscribed(channel)]);
        assert!(!client.let_in(&name(channel), []), "it has left");
    }
}

#[test]
fn channels_that_need_a_signature() {
    let mut client = Client::open(app());
    let good =
        "278d425bdf160c739803:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4";
    client.subscribe(
        &format!(r#"{{"channel":"private-foobar","auth":"{good}"}}"#),
        [subscribed("private-foobar")],
    );
    client.enter("private-encrypted-x");
    client.enter("private-cache-x");
    let denied =
        |channel: &str, reason: Denied| [refused(channel, "AuthError", &reason.to_string(), 401)];
    let mut client = Client::open(app());
    for channel in ["private-x", "private-cache-x", "private-encrypted-cache-x"] {
        client
            .subscribe(&format!(r#"{{"channel":"{channel}"}}"#), denied(channel, Denied::Missing));
        client.subscribe(
            &format!(r#"{{"channel":"{channel}","auth":""}}"#),
            denied(channel, Denied::Missing),
        );
        client.subscribe(
            &format!(r#"{{"channel":"{channel}","auth":"{good}"}}"#),
            denied(channel, Denied::WrongSignature),
        );
        client.subscribe(
            &format!(r#"{{"channel":"{channel}","auth":"other-key:00"}}"#),
            denied(channel, Denied::WrongKey),
        );
    }
    assert!(client.channels().is_empty());
}

#[test]
fn channel_data_is_signed_on_every_kind_of_channel() {
    let mut client = Client::open(app());
    let auth = client.auth(r#"1234.1234:private-x:{"user_id":"ë"}"#);
    let with = |data: &str| {
        format!(r#"{{"channel":"private-x","auth":"{auth}","channel_data":"{data}"}}"#)
    };
    let wrong = refused("private-x", "AuthError", &Denied::WrongSignature.to_string(), 401);
    client.subscribe(&with(""), [wrong.clone()]);
    client.subscribe(&with(r#"{\"user_id\":\"e\"}"#), [wrong]);
    client.subscribe(&with(r#"{\"user_id\":\"ë\"}"#), [subscribed("private-x")]);
    client.subscribe(&with(r#"{\"user_id\":\"\u00eb\"}"#), [subscribed("private-x")]);
}

#[test]
fn names_and_numbers_have_limits() {
    let mut client = Client::open(app());
    let long = "x".repeat(201);
    client.subscribe(
        &format!(r#"{{"channel":"{long}"}}"#),
        [refused(&long, "LimitReached", "the channel name has 201 bytes, the limit is 200", 4009)],
    );
    client.subscribe(
        r#"{"channel":""}"#,
        [refused("", "InvalidChannel", "a channel name must not be empty", 400)],
    );
    let message = "the channel name has ' ' at position 1; allowed are A-Z a-z 0-9 _ - = @ , . ; :";
    client.subscribe(r#"{"channel":"a b"}"#, [refused("a b", "InvalidChannel", message, 400)]);

    for channel in ["a", "b", "c"] {
        client.enter(channel);
    }
    let message = "this connection is in 3 channels, which is the limit";
    client.subscribe(r#"{"channel":"d"}"#, [refused("d", "LimitReached", message, 4100)]);
    client.enter("c");
    client.unsubscribe("a", [unsubscribed("a")]);
    client.enter("d");
}

#[test]
fn changed_settings() {
    let mut client = Client::open(app());
    client.change(Some(App { revision: 2, ..app() }), []);
    client.change(Some(App { enabled: false, ..app() }), [Effect::Close(CloseCode::AppDisabled)]);
    client.change(
        Some(App { key: AppKey("other".into()), ..app() }),
        [Effect::Close(CloseCode::UnknownApp)],
    );
    client.change(None, [Effect::Close(CloseCode::UnknownApp)]);

    let mut client = Client::open(app());
    let limits = Limits { channels_per_connection_max: 0, ..Limits::default() };
    client.change(Some(App { limits, ..app() }), []);
    let message = "this connection is in 0 channels, which is the limit";
    client.subscribe(r#"{"channel":"a"}"#, [refused("a", "LimitReached", message, 4100)]);
}
