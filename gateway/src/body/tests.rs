use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn parsed(body: &str) -> Event {
    event(body.as_bytes()).unwrap_or_else(|rejection| panic!("{body}: {rejection}"))
}

fn refused(body: &str) -> (Reason, String, String) {
    let Err(rejection) = event(body.as_bytes()) else { panic!("accepted: {body}") };
    (rejection.reason, rejection.field.into_owned(), rejection.message.into_owned())
}

#[test]
fn every_field() {
    let event = parsed(
        r#"{"name":"tick","channels":["a","b"],"data":{"p":1.5},"socket_id":"123.456",
            "info":"subscription_count","tags":{"symbol":"A"},"delta":false,
            "idempotency_key":"k","future":{"x":[1]}}"#,
    );
    let expected = Event {
        name: "tick".into(),
        data: Some(r#"{"p":1.5}"#.into()),
        channels: vec!["a".into(), "b".into()],
        socket_id: "123.456".into(),
        info: Some(EventInfo { subscription_count: true, user_count: false }),
        tags: Some(EventTags { pairs: [("symbol".to_owned(), "A".to_owned())].into() }),
        delta: Some(false),
        idempotency_key: "k".into(),
    };
    assert_eq!(event, expected);
}

#[test]
fn null_is_absent_but_for_data() {
    let event = parsed(
        r#"{"name":null,"data":null,"channel":null,"channels":null,"socket_id":null,"info":null,
            "tags":null,"delta":null,"idempotency_key":null}"#,
    );
    assert_eq!(event, Event { data: Some("null".into()), ..Event::default() });
    assert_eq!(parsed("{}"), Event::default());
}

#[test]
fn data_becomes_text() {
    let check = |data: &str, expected: &str| {
        let event = parsed(&format!(r#"{{"data": {data} }}"#));
        assert_eq!(event.data.as_deref(), Some(expected), "{data}");
    };
    check(r#""""#, "");
    check(r#""{\"a\": 1}""#, r#"{"a": 1}"#);
    check(r#""h\u00e9llo \ud83d\ude80 — é""#, "héllo 🚀 — é");
    check(r#""a\u0000b\n""#, "a\u{0}b\n");
    check(
        "{ \"b\" : 1.10 ,\n\t\"a\" : [ 1e400 , -0 , true , null , \" x \\\" ] \" ] }",
        r#"{"b":1.10,"a":[1e400,-0,true,null," x \" ] "]}"#,
    );
    check(
        r#"{"z":"\u00e9\ud83d\ude80\\","é":"日本"}"#,
        r#"{"z":"\u00e9\ud83d\ude80\\","é":"日本"}"#,
    );
    check(r#"{"a":1,"a":2}"#, r#"{"a":1,"a":2}"#);
    check("[]", "[]");
    check("1.10", "1.10");
    check("true", "true");
    check("null", "null");
}

#[test]
fn channel_and_channels() {
    let channels = |body: &str| parsed(body).channels;
    assert_eq!(channels(r#"{"channel":"a"}"#), ["a"]);
    assert_eq!(channels(r#"{"channel":"a","channels":["b","b"]}"#), ["b", "b"]);
    assert_eq!(channels(r#"{"channel":"a","channels":null}"#), ["a"]);
    assert!(channels(r#"{"channel":"a","channels":[]}"#).is_empty());
}

#[test]
fn info_is_a_comma_list() {
    let check = |list: &str, subscriptions: bool, users: bool| {
        let info = parsed(&format!(r#"{{"info":"{list}"}}"#)).info;
        let expected = EventInfo { subscription_count: subscriptions, user_count: users };
        assert_eq!(info, Some(expected), "{list}");
    };
    check("", false, false);
    check("subscription_count", true, false);
    check(" user_count , subscription_count,", true, true);
    check("subscription_counts,User_Count", false, false);
}

#[test]
fn a_wrong_type_names_field_and_type() {
    let check = |body: &str, field: &str, found: &str| {
        let (reason, named, message) = refused(body);
        assert_eq!((reason, &*named), (Reason::InvalidInput, field), "{body}");
        assert!(message.starts_with(field) && message.ends_with(found), "{message}");
    };
    check(r#"{"name":1}"#, "name", "a number");
    check(r#"{"channel":["a"]}"#, "channel", "an array");
    check(r#"{"channels":"a"}"#, "channels", "a string");
    check(r#"{"channels":{"a":1}}"#, "channels", "an object");
    check(r#"{"channels":["a",true]}"#, "channels[1]", "a boolean");
    check(r#"{"channels":[null]}"#, "channels[0]", "null");
    check(r#"{"socket_id":1.2}"#, "socket_id", "a number");
    check(r#"{"info":["user_count"]}"#, "info", "an array");
    check(r#"{"tags":["a"]}"#, "tags", "an array");
    check(r#"{"tags":{"a":1}}"#, "tags.a", "a number");
    check(r#"{"tags":{"a":null}}"#, "tags.a", "null");
    check(r#"{"delta":"true"}"#, "delta", "a string");
    check(r#"{"delta":0}"#, "delta", "a number");
    check(r#"{"idempotency_key":7}"#, "idempotency_key", "a number");
}

#[test]
fn repeated_keys_are_named() {
    let check = |body: &str, field: &str| {
        assert_eq!(refused(body).1, field, "{body}");
    };
    check(r#"{"name":"a","data":"1","name":"a"}"#, "name");
    check(r#"{"x":1,"x":2}"#, "x");
    check(r#"{"data":"1","d\u0061ta":"2"}"#, "data");
    check(r#"{"tags":{"a":"1","a":"1"}}"#, "tags.a");
}

#[test]
fn empty_ids_are_refused() {
    assert_eq!(refused(r#"{"socket_id":""}"#).1, "socket_id");
    assert_eq!(refused(r#"{"idempotency_key":""}"#).1, "idempotency_key");
}

#[test]
fn what_is_no_json_object_is_refused() {
    for body in [
        "",
        " ",
        "[]",
        "\"x\"",
        "null",
        "{",
        "{}x",
        "{\"a\":1,}",
        "{\"a\":01}",
        "{\"a\":nul}",
        "{'a':1}",
        "{\"data\":\"\n\"}",
        "{\"data\":\"\\x\"}",
        "\u{feff}{}",
    ] {
        assert_eq!(refused(body).0, Reason::InvalidInput, "{body:?}");
    }
    let not_utf8 = event(b"{\"data\":\"\xff\"}").unwrap_err();
    assert!(not_utf8.message.contains("not UTF-8 at byte 9"), "{not_utf8}");
}

#[test]
fn half_a_surrogate_pair_is_refused() {
    for half in
        [r"\ud800", r"\udc00", r"\ud800x", r"\ud800\u0041", r"\ud800\ud800", r"\uDC00\uD800"]
    {
        for data in [format!("\"{half}\""), format!("[\"{half}\"]"), format!("{{\"{half}\":1}}")] {
            assert_eq!(refused(&format!(r#"{{"data":{data}}}"#)).1, "data", "{data}");
        }
    }
}

#[test]
fn depth_and_size_are_bounded() {
    let nested =
        |depth: usize| format!(r#"{{"data":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert_eq!(parsed(&nested(128)).data.unwrap().len(), 257);
    assert_eq!(refused(&nested(129)).1, "data");
    assert_eq!(refused(&nested(1_000_000)).1, "data");
    let ignored = format!(r#"{{"x":{}{}}}"#, "[".repeat(1_000_000), "]".repeat(1_000_000));
    assert_eq!(parsed(&ignored), Event::default());
    let members: Vec<_> = (0..1_025).map(|n| format!("\"{n}\":0")).collect();
    assert_eq!(refused(&format!("{{{}}}", members.join(","))).0, Reason::InvalidInput);
    let channels = vec!["\"a\""; 10_001].join(",");
    assert_eq!(refused(&format!("{{\"channels\":[{channels}]}}")).0, Reason::LimitExceeded);
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        let object = prop::collection::btree_map(".*", inner.clone(), 0..5);
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(Value::from),
            object.prop_map(Value::from_iter),
        ]
    })
}

proptest! {
    #[test]
    fn pretty_data_becomes_compact(value in json_value()) {
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        let compact = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        prop_assert_eq!(parsed(&format!("{{\"data\":{pretty}}}")).data, Some(compact));
    }

    #[test]
    fn no_bytes_make_it_panic(
        tokens in prop::collection::vec(
            prop::sample::select(vec![
                "{", "}", "[", "]", ":", ",", "\"", "\\", "\\u", "d800", "dc00", "00e9", " ", "1", "null",
                "\"data\"", "\"tags\"", "\"channels\"", "\"name\"", "true", "é",
            ]),
            0..40,
        ),
    ) {
        let _ = event(tokens.concat().as_bytes());
        let _ = event(format!("{{\"data\":{}}}", tokens.concat()).as_bytes());
        let _ = batch(format!("{{\"batch\":[{}]}}", tokens.concat()).as_bytes());
    }
}
