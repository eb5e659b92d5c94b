//! The parser survives everything; what is encoded is JSON and means what was given.

use data_plane_core::frame::{self, BadFrame, Inbound};
use model::{Tags, UserId, UserInfo};
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
            Ok(Inbound::Subscribe { channel: heard, auth: shown, channel_data: None, .. }) => {
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

    #[test]
    fn identities_never_panic(text in text(), almost in almost_frame()) {
        for text in [text, almost] {
            let known = frame::channel_data(&text).is_ok() || frame::user_data(&text).is_ok();
            prop_assert!(!known || serde_json::from_str::<Value>(&text).is_ok());
        }
    }

    #[test]
    fn members_are_who_their_backend_says(user in text(), name in text(), number: i64) {
        let info = serde_json::json!({ "name": name }).to_string();
        let id = Value::String(user.clone());
        let signed = format!(r#"{{"user_id":{id},"x":[{{}}],"user_info":{info}}}"#);
        let data = frame::channel_data(&signed).unwrap();
        prop_assert_eq!((&*data.user_id, data.user_info), (user.as_str(), info.as_str()));
        let digits = number.to_string();
        let signed = format!(r#"{{"user_id":{digits}}}"#);
        let data = frame::channel_data(&signed).unwrap();
        prop_assert_eq!((&*data.user_id, data.user_info), (digits.as_str(), ""));
        let signed = serde_json::json!({ "id": user, "watchlist": [user, number] }).to_string();
        let data = frame::user_data(&signed).unwrap();
        prop_assert_eq!(&data.id, &user);
        prop_assert_eq!(data.watchlist, vec![user, digits]);
    }

    #[test]
    fn rosters_mean_who_is_there(
        channel in text(),
        users in prop::collection::btree_map(text(), text(), 0..5),
    ) {
        let info = |text: &String| match text.as_str() {
            "" => Value::Object(serde_json::Map::new()),
            text => Value::String(text.to_owned()),
        };
        let said = |text: &String| match text.as_str() {
            "" => UserInfo::default(),
            text => UserInfo::from(Value::String(text.to_owned()).to_string()),
        };
        let members: Vec<_> =
            users.iter().map(|(user, text)| (UserId::trusted(user), said(text))).collect();
        let hash: serde_json::Map<_, _> =
            users.iter().map(|(user, text)| (user.clone(), info(text))).collect();
        let pairs = members.iter().map(|(user, info)| (user, info));
        let frame = frame::presence_succeeded(&channel, pairs, members.len());
        let frame: Value = serde_json::from_str(&frame).unwrap();
        prop_assert_eq!(frame["channel"].as_str(), Some(channel.as_str()));
        let data: Value = serde_json::from_str(frame["data"].as_str().unwrap()).unwrap();
        let ids: Vec<_> = users.keys().collect();
        let presence = serde_json::json!({ "ids": ids, "hash": hash, "count": users.len() });
        prop_assert_eq!(data, serde_json::json!({ "presence": presence }));
    }

    #[test]
    fn client_events_mean_what_was_said(
        name in text(),
        channel in text(),
        data in prop::option::of(text()),
        user in prop::option::of(text()),
    ) {
        let json = data.as_ref().map(|text| serde_json::json!([text]).to_string());
        let mut out = Vec::new();
        frame::client_event_into(&mut out, &name, &channel, json.as_deref(), user.as_deref());
        let mut expected = serde_json::json!({ "event": name, "channel": channel });
        if let Some(data) = data {
            expected["data"] = serde_json::json!([data]);
        }
        if let Some(user) = user {
            expected["user_id"] = Value::String(user);
        }
        prop_assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), expected);
    }
}
