//! What we say. Each function returns the complete text of one frame.

use model::{SocketId, Tags};

use super::json::{escaped_len, push_escaped};

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
    let message = Escaped(message);
    format!(r#"{{"event":"pusher:error","data":{{"code":{number},"message":"{message}"}}}}"#)
}

/// The subscription is in force: every event published from here on reaches the socket.
#[must_use]
pub fn subscription_succeeded(channel: &str) -> String {
    let channel = Escaped(channel);
    format!(
        r#"{{"event":"pusher_internal:subscription_succeeded","channel":"{channel}","data":"{{}}"}}"#
    )
}

/// A subscription is refused. `kind` and `status` are for programs, `message` is for people.
#[must_use]
pub fn subscription_error(channel: &str, kind: &str, message: &str, status: u16) -> String {
    let (channel, kind, message) = (Escaped(channel), Escaped(kind), Escaped(message));
    format!(
        r#"{{"event":"pusher:subscription_error","channel":"{channel}","data":{{"type":"{kind}","error":"{message}","status":{status}}}}}"#
    )
}

/// A published event: the frame of the hot path, encoded once for all its subscribers. `data` is
/// opaque and becomes a JSON string, escaped exactly once. `tags` are those that clients shall see.
#[must_use]
pub fn event(name: &str, channel: &str, data: &str, tags: Option<&Tags>) -> String {
    const PUNCTUATION: usize = r#"{"event":"","channel":"","data":""}"#.len();
    let texts = escaped_len(name) + escaped_len(channel) + escaped_len(data);
    let mut frame = String::with_capacity(PUNCTUATION + texts + tags.map_or(0, tags_len));
    frame.push_str(r#"{"event":""#);
    push_escaped(&mut frame, name);
    frame.push_str(r#"","channel":""#);
    push_escaped(&mut frame, channel);
    frame.push_str(r#"","data":""#);
    push_escaped(&mut frame, data);
    frame.push('"');
    if let Some(tags) = tags {
        push_tags(&mut frame, tags);
    }
    frame.push('}');
    frame
}

fn tags_len(tags: &Tags) -> usize {
    let pair = |(key, value): (&String, &String)| escaped_len(key) + escaped_len(value) + 6;
    r#","tags":{}"#.len() + tags.iter().map(pair).sum::<usize>()
}

fn push_tags(frame: &mut String, tags: &Tags) {
    frame.push_str(r#","tags":{"#);
    for (place, (key, value)) in tags.iter().enumerate() {
        frame.push_str(if place == 0 { "\"" } else { ",\"" });
        push_escaped(frame, key);
        frame.push_str("\":\"");
        push_escaped(frame, value);
        frame.push('"');
    }
    frame.push('}');
}

/// A text that prints as the inside of a JSON string.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::with_capacity(escaped_len(self.0));
        push_escaped(&mut text, self.0);
        f.write_str(&text)
    }
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
            subscription_error(
                "private-\"x",
                "AuthError",
                "The connection is unauthorized.",
                401
            ),
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
    fn an_event_is_allocated_once_and_holds_no_slack() {
        let tags = Tags::from([("k".into(), "v".into()), ("l".into(), "\"".into())]);
        for (data, tags) in [("plain", None), (r#"{"q":"\n"}"#, Some(&tags)), ("\u{1}", None)] {
            let frame = event("name", "channel", data, tags);
            assert!(frame.capacity() - frame.len() <= 1, "{}/{}", frame.len(), frame.capacity());
        }
    }
}
