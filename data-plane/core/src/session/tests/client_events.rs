use super::{presence::in_as, *};

fn event(channel: &str, data: &str) -> String {
    format!(r#"{{"event":"client-typing","channel":"{channel}"{data}}}"#)
}

fn admitted(channel: &str, data: Option<&str>) -> [Effect; 1] {
    [Effect::ClientEvent {
        channel: name(channel),
        name: "client-typing".into(),
        data: data.map(str::to_owned),
        user: None,
    }]
}

fn in_channels(app: App) -> Client {
    let mut client = Client::open(app);
    for channel in ["private-room", "private-encrypted-x", "public"] {
        client.enter(channel);
    }
    client
}

#[test]
fn data_keeps_its_type() {
    let mut client = in_channels(app());
    for data in [r#"{"on": true}"#, r#""te\u0078t""#, "null", "[1]", "7"] {
        let text = event("private-room", &format!(r#","data":{data}"#));
        client.check(&text, admitted("private-room", Some(data)));
    }
    client.check(&event("private-room", ""), admitted("private-room", None));
}

#[test]
fn cache_channels_admit_them_and_presence_channels_say_who() {
    let mut client = Client::open(app());
    client.enter("private-cache-x");
    client.check(&event("private-cache-x", ""), admitted("private-cache-x", None));
    for channel in ["presence-x", "presence-cache-x"] {
        client.join(channel, "u1", [in_as(channel, "u1", "")]);
        let forged = event(channel, r#","user_id":"eve","data":1"#);
        let user = Some(UserId::trusted("u1"));
        let [mut expected] = admitted(channel, Some("1"));
        if let Effect::ClientEvent { user: sender, .. } = &mut expected {
            *sender = user;
        }
        client.check(&forged, [expected]);
    }
    let kind = "Client event error: Client events can only be sent to private or presence \
                channels, and not to encrypted ones";
    for channel in ["cache-x", "private-encrypted-cache-x"] {
        let mut client = Client::open(app());
        client.enter(channel);
        client.check(&event(channel, ""), [error(4301, kind)]);
    }
}

#[test]
fn refusals() {
    let mut client = in_channels(app());
    let refused = |detail: &str| [error(4301, &format!("Client event error: {detail}"))];
    let kind = "Client events can only be sent to private or presence channels, and not to \
                encrypted ones";
    client.check(&event("public", ""), refused(kind));
    client.check(&event("private-encrypted-x", ""), refused(kind));
    let stranger = "This connection is not subscribed to the event's channel";
    client.check(&event("private-other", ""), refused(stranger));
    client.check(&event("presence-room", ""), refused(stranger));
    let no_channel = "Channel required for client event";
    client.check(r#"{"event":"client-typing"}"#, refused(no_channel));
    client.check(r#"{"event":"client-typing","channel":7}"#, refused(no_channel));

    let long = format!("client-{}", "ü".repeat(194));
    let text = format!(r#"{{"event":"{long}","channel":"private-room"}}"#);
    let message = "Invalid event name: the name has 201 characters, the limit is 200";
    client.check(&text, [error(4000, message)]);

    let app = App { features: Features::default(), ..app() };
    let mut client = in_channels(app);
    let disabled = "Client events are not enabled for this app";
    client.check(&event("private-room", ""), refused(disabled));
}

#[test]
fn data_is_measured_as_text_or_as_json() {
    let limits = Limits { event_payload_bytes_max: 4, ..app().limits };
    let mut client = in_channels(App { limits, ..app() });
    let too_large = |bytes: usize| {
        let detail = format!("Event payload size ({bytes} bytes) exceeds limit (4 bytes)");
        [error(4301, &format!("Client event error: {detail}"))]
    };
    for (data, bytes) in [(r#""\u0061bcd""#, 4), (r#""abcde""#, 5), ("[12]", 4), ("[123]", 5)] {
        let text = event("private-room", &format!(r#","data":{data}"#));
        if bytes == 4 {
            client.check(&text, admitted("private-room", Some(data)));
        } else {
            client.check(&text, too_large(bytes));
        }
    }
}

#[test]
fn a_window_lets_so_many_pass() {
    let limits = Limits {
        client_events_per_second: Some(2),
        client_events_window_seconds: 5,
        ..app().limits
    };
    let mut client = in_channels(App { limits, ..app() });
    let text = event("private-room", "");
    let limited =
        || [error(4301, "Client event rejected due to rate limit: at most 2 events in 5 s")];
    for _ in 0..3 {
        client.check(&text, admitted("private-room", None));
        client.check(&text, admitted("private-room", None));
        client.check(&text, limited());
        client.now += Duration::from_millis(4_999);
        client.check(&text, limited());
        client.now += Duration::from_millis(1);
    }
}

#[test]
fn an_app_may_close_for_it() {
    let limits =
        Limits { client_events_per_second: Some(0), client_events_terminate: true, ..app().limits };
    let mut client = in_channels(App { limits, ..app() });
    let text = event("private-room", "");
    client.check(&text, [Effect::Close(CloseCode::ClientEventLimit)]);
}

#[test]
fn messages_of_any_kind_may_be_limited() {
    let limited = |terminate| {
        let messages = Some(MessageLimit { attempts_max: 2, window_seconds: 5, terminate });
        App { limits: Limits { messages, ..app().limits }, ..app() }
    };
    let ping = r#"{"event":"pusher:ping"}"#;
    let mut client = Client::open(limited(false));
    client.check(ping, [sent(PONG)]);
    client.check("nonsense", [error(4000, "Invalid message format: not JSON (line 1, column 2)")]);
    let refused = "Message rejected due to rate limit: at most 2 messages in 5 s";
    client.check(ping, [error(4301, refused)]);
    client.now += Duration::from_secs(5);
    client.check(ping, [sent(PONG)]);
    let mut client = Client::open(limited(true));
    client.check(ping, [sent(PONG)]);
    client.check(ping, [sent(PONG)]);
    client.check(ping, [Effect::Close(CloseCode::MessageLimit)]);
}
