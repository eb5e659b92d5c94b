//! What we say. Each function returns the complete text of one frame.

use model::{SocketId, Tags};

use super::escape::{Writer, escaped_max};

/// The first frame of a connection. `activity_timeout` in seconds; clients refuse zero.
#[must_use]
pub fn connection_established(id: SocketId, activity_timeout: u64) -> String {
    let seconds = activity_timeout.max(1);
    format!(
        r#"{{"event":"pusher:connection_established","data":"{{\"socket_id\":\"{id}\",\"activity_timeout\":{seconds}}}"}}"#
    )
}

/// Asks a silent client for a sign of life.
#[must_use]
pub fn ping() -> String {
    r#"{"event":"pusher:ping"}"#.to_owned()
}

/// The answer to a ping.
#[must_use]
pub fn pong() -> String {
    r#"{"event":"pusher:pong","data":{}}"#.to_owned()
}

/// An error of the whole connection. It closes nothing by itself.
#[must_use]
pub fn error(number: u16, message: &str) -> String {
    let message = escaped(message);
    format!(r#"{{"event":"pusher:error","data":{{"code":{number},"message":"{message}"}}}}"#)
}

/// The subscription is in force: every event published from here on reaches the socket.
#[must_use]
pub fn subscription_succeeded(channel: &str) -> String {
    let channel = escaped(channel);
    format!(
        r#"{{"event":"pusher_internal:subscription_succeeded","channel":"{channel}","data":"{{}}"}}"#
    )
}

/// A subscription is refused. `kind` and `status` are for programs, `message` is for people.
#[must_use]
pub fn subscription_error(channel: &str, kind: &str, message: &str, status: u16) -> String {
    let (channel, kind, message) = (escaped(channel), escaped(kind), escaped(message));
    format!(
        r#"{{"event":"pusher:subscription_error","channel":"{channel}","data":{{"type":"{kind}","error":"{message}","status":{status}}}}}"#
    )
}

/// A published event. `data` is opaque and becomes a JSON string, escaped exactly once. `tags` are
/// those that clients shall see.
#[must_use]
pub fn event(name: &str, channel: &str, data: &str, tags: Option<&Tags>) -> String {
    let mut frame = Vec::new();
    event_into(&mut frame, name, channel, data, tags);
    String::from_utf8(frame).expect("texts with ASCII between them are a text")
}

/// Appends what [`event`] returns to `out`, for the hot path: behind a WebSocket header, say. The
/// buffer grows at most once.
pub fn event_into(out: &mut Vec<u8>, name: &str, channel: &str, data: &str, tags: Option<&Tags>) {
    const PUNCTUATION: usize = r#"{"event":"","channel":"","data":""}"#.len();
    let texts = escaped_max(name) + escaped_max(channel) + escaped_max(data);
    let mut frame = Writer::new(out, PUNCTUATION + texts + tags.map_or(0, tags_max));
    frame.plain(r#"{"event":""#);
    frame.escaped(name);
    frame.plain(r#"","channel":""#);
    frame.escaped(channel);
    frame.plain(r#"","data":""#);
    frame.escaped(data);
    frame.plain("\"");
    if let Some(tags) = tags {
        write_tags(&mut frame, tags);
    }
    frame.plain("}");
    frame.finish();
}

/// Appends a client's event. `data` is JSON and stays as it is, whitespace and all; `user_id` is whom
/// the sender is in a presence channel.
pub fn client_event_into(
    out: &mut Vec<u8>,
    name: &str,
    channel: &str,
    data: Option<&str>,
    user_id: Option<&str>,
) {
    const PUNCTUATION: usize = r#"{"event":"","channel":"","data":,"user_id":""}"#.len();
    let optional = data.map_or(0, str::len) + user_id.map_or(0, escaped_max);
    let texts = escaped_max(name) + escaped_max(channel) + optional;
    let mut frame = Writer::new(out, PUNCTUATION + texts);
    frame.plain(r#"{"event":""#);
    frame.escaped(name);
    frame.plain(r#"","channel":""#);
    frame.escaped(channel);
    frame.plain("\"");
    if let Some(data) = data {
        frame.plain(r#","data":"#);
        frame.plain(data);
    }
    if let Some(user_id) = user_id {
        frame.plain(r#","user_id":""#);
        frame.escaped(user_id);
        frame.plain("\"");
    }
    frame.plain("}");
    frame.finish();
}

/// How many connections are in a channel.
#[must_use]
pub fn subscription_count(channel: &str, count: u32) -> String {
    let data = format!(r#"{{"subscription_count":{count}}}"#);
    event("pusher_internal:subscription_count", channel, &data, None)
}

/// A cache channel has no event to show to a new subscriber.
#[must_use]
pub fn cache_miss(channel: &str) -> String {
    event("pusher:cache_miss", channel, "{}", None)
}

fn tags_max(tags: &Tags) -> usize {
    let pair = |(key, value): (&String, &String)| {
        r#""":"","#.len() + escaped_max(key) + escaped_max(value)
    };
    r#","tags":{}"#.len() + tags.iter().map(pair).sum::<usize>()
}

fn write_tags(frame: &mut Writer<'_>, tags: &Tags) {
    frame.plain(r#","tags":{"#);
    for (place, (key, value)) in tags.iter().enumerate() {
        frame.plain(if place == 0 { "\"" } else { ",\"" });
        frame.escaped(key);
        frame.plain("\":\"");
        frame.escaped(value);
        frame.plain("\"");
    }
    frame.plain("}");
}

/// `text` as the inside of a JSON string.
pub(super) fn escaped(text: &str) -> String {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, escaped_max(text));
    writer.escaped(text);
    writer.finish();
    String::from_utf8(out).expect("an escaped text is a text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_spelt_as_the_spec_spells_them() {
        let id = SocketId { left: 2_759_100_109, right: 9_085_358_341 };
        assert_eq!(
            connection_established(id, 120),
            r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"2759100109.9085358341\",\"activity_timeout\":120}"}"#
        );
        assert!(connection_established(id, 0).contains(r#"\"activity_timeout\":1}"#));
        assert_eq!(ping(), r#"{"event":"pusher:ping"}"#);
        assert_eq!(pong(), r#"{"event":"pusher:pong","data":{}}"#);
        assert_eq!(
            error(4201, "Pong reply not received in time"),
            r#"{"event":"pusher:error","data":{"code":4201,"message":"Pong reply not received in time"}}"#
        );
        assert_eq!(
            subscription_succeeded("market"),
            r#"{"event":"pusher_internal:subscription_succeeded","channel":"market","data":"{}"}"#
        );
        assert_eq!(
            subscription_error("private-\"x", "AuthError", "The connection is unauthorized.", 401),
            r#"{"event":"pusher:subscription_error","channel":"private-\"x","data":{"type":"AuthError","error":"The connection is unauthorized.","status":401}}"#
        );
    }

    #[test]
    fn events() {
        assert_eq!(
            event("price", "market", r#"{"x":1}"#, None),
            r#"{"event":"price","channel":"market","data":"{\"x\":1}"}"#
        );
        let tags = Tags::from([("xg".into(), "0.85".into()), ("type".into(), "a\"b".into())]);
        assert_eq!(
            event("shot", "matches", "", Some(&tags)),
            r#"{"event":"shot","channel":"matches","data":"","tags":{"type":"a\"b","xg":"0.85"}}"#
        );
        let none = Tags::new();
        assert_eq!(
            event("e", "c", "d", Some(&none)),
            r#"{"event":"e","channel":"c","data":"d","tags":{}}"#
        );
    }

    #[test]
    fn an_event_can_stand_behind_a_header() {
        let mut out = vec![0x81, 3];
        event_into(&mut out, "e", "c", "\u{1}\n\"", None);
        assert_eq!(out[..2], [0x81, 3]);
        assert_eq!(out[2..], *br#"{"event":"e","channel":"c","data":"\u0001\n\""}"#);
    }

    #[track_caller]
    fn check_client_event(data: Option<&str>, user_id: Option<&str>, expected: &str) {
        let mut out = Vec::new();
        client_event_into(&mut out, "client-typing", "presence-room", data, user_id);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn client_events() {
        check_client_event(
            Some(r#"{"on": true}"#),
            Some("u\"1"),
            r#"{"event":"client-typing","channel":"presence-room","data":{"on": true},"user_id":"u\"1"}"#,
        );
        check_client_event(
            Some(r#""te\u0078t""#),
            None,
            r#"{"event":"client-typing","channel":"presence-room","data":"te\u0078t"}"#,
        );
        check_client_event(None, None, r#"{"event":"client-typing","channel":"presence-room"}"#);
    }

    #[test]
    fn news_of_a_channel() {
        assert_eq!(
            subscription_count("market", 3),
            r#"{"event":"pusher_internal:subscription_count","channel":"market","data":"{\"subscription_count\":3}"}"#
        );
        assert_eq!(
            cache_miss("cache-x"),
            r#"{"event":"pusher:cache_miss","channel":"cache-x","data":"{}"}"#
        );
    }
}
