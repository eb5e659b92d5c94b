//! The parser survives everything; what is encoded is JSON and means what was given.

use data_plane_core::frame::{self, BadFrame, Inbound};
use model::Tags;
use proptest::prelude::*;
use serde_json::Value;

/// Texts rich in what JSON escapes: quotes, control characters, U+2028, characters of 2 to 4 bytes.
fn text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        4 => any::<char>(),
        2 => proptest::char::range('\0', '\u{7f}'),
        1 => prop::sample::select(vec!['"', '\\', '/', '\u{2028}', '\u{2029}', '\u{7f}', '🎉']),
    ];
    prop::collection::vec(character, 0..80).prop_map(String::from_iter)
}

/// Almost frames: pieces of the grammar in any order.
fn almost_frame() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "\\u00",
        "\\ud800",
        "null",
        "1e9",
        "\"event\"",
        "\"data\"",
        "\"channel\"",
        "\"pusher:subscribe\"",
        "\"client-x\"",
        "\"pusher:ping\"",
        "ë",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn the_parser_never_panics(text in text(), almost in almost_frame()) {
        for text in [text, almost] {
            let parsed = frame::parse(&text);
            if let Err(BadFrame::NotJson { .. }) = parsed {
                prop_assert!(serde_json::from_str::<Value>(&text).is_err());
            }
        }
    }

    #[test]
    fn what_clients_say_is_understood(channel in text(), auth in text(), as_string: bool) {
        let data = serde_json::json!({ "auth": auth, "channel": channel, "x": [1, { "y": null }] });
        let data = if as_string { Value::String(data.to_string()) } else { data };
        let said = serde_json::json!({ "event": "pusher:subscribe", "data": data }).to_string();
        match frame::parse(&said) {
            Ok(Inbound::Subscribe { channel: heard, auth: shown, channel_data: None }) => {
                prop_assert_eq!(heard, channel);
                prop_assert_eq!(shown.as_deref(), Some(auth.as_str()));
            }
            other => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn events_mean_what_was_published(
        name in text(),
        channel in text(),
        data in text(),
        tags in prop::option::of(prop::collection::btree_map(text(), text(), 0..4)),
    ) {
        let tags: Option<Tags> = tags;
        let frame = frame::event(&name, &channel, &data, tags.as_ref());
        let mut expected = serde_json::json!({ "event": name, "channel": channel, "data": data });
        if let Some(tags) = tags {
            expected["tags"] = serde_json::to_value(tags).unwrap();
        }
        prop_assert_eq!(serde_json::from_str::<Value>(&frame).unwrap(), expected);
    }

    #[test]
    fn errors_mean_what_was_said(channel in text(), message in text()) {
        let frame = frame::subscription_error(&channel, "AuthError", &message, 401);
        let frame: Value = serde_json::from_str(&frame).unwrap();
        prop_assert_eq!(frame["channel"].as_str(), Some(channel.as_str()));
        prop_assert_eq!(frame["data"]["error"].as_str(), Some(message.as_str()));
        let error: Value = serde_json::from_str(&frame::error(4000, &message)).unwrap();
        prop_assert_eq!(error["data"]["message"].as_str(), Some(message.as_str()));
    }
}
