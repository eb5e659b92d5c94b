//! The bytes on the wire: a marked frame is the plain one with markers, whatever the event holds.

use serde_json::{Value, json};
use tests::cluster::{Cluster, Shape};

use crate::reader::{Form, Reader};

/// Long enough for deltas to pay.
const REST: &str = "the quick brown fox jumps over the lazy dog, and it does so again and again, every day \
    of the week but on Sundays, when it rests beneath the old elm and counts the passing clouds until \
    the evening bell calls everybody home for supper";

async fn cluster(conflation_key: &str) -> Cluster {
    let settings = json!({ "keyed": { "conflation_key": conflation_key } });
    Cluster::start(Shape::default().app(json!({ "channel_delta_compression": settings }))).await
}

/// A reader with deltas and one without, of the same channel.
async fn pair(cluster: &Cluster, channel: &str, algorithm: &str) -> [Reader; 2] {
    let [mut deltas, mut plain] = [Reader::of(cluster, 0).await, Reader::of(cluster, 0).await];
    deltas.subscribe_to_deltas(channel, &json!({ "delta": algorithm }), algorithm).await;
    plain.subscribe(channel, &json!({})).await;
    [deltas, plain]
}

#[tokio::test]
async fn what_is_decoded_is_what_others_get_byte_for_byte() {
    let cluster = cluster("key").await;
    let datas = [
        format!(r#"{{"key":"a\"b","n":1.10,"rest":"{REST}"}}"#),
        format!(r#"{{"key":"a\\","n":1e3,"rest":"{REST}"}}"#),
        format!(r#"{{"key":"","n":-0.0,"rest":"{REST}"}}"#),
        format!(r#"{{"key":{{}},"n":0.10,"rest":"{REST}"}}"#),
        format!(r#"{{"key":"{}","rest":"{REST}"}}"#, "long ".repeat(60)),
        format!(r#"{{"key":"Zoë 🎉","rest":"{REST}"}}"#),
        r#"{"key":"x","rest":",\"__delta_seq\":5,\"__conflation_key\":\"y\""}"#.to_owned(),
        format!(r#"plain text with ,"__delta_seq":5 and "__conflation_key":"y", {REST}"#),
        r#"\","__delta_seq":5,"__conflation_key":"y"#.to_owned(),
        format!("control \u{1} \u{7F} \u{2028} \r\n\t {REST}"),
        "<script>&amp;'/".repeat(20),
        String::new(),
    ];
    for algorithm in ["fossil", "xdelta3"] {
        for channel in ["keyed", "room"] {
            let [mut deltas, mut plain] = pair(&cluster, channel, algorithm).await;
            for data in datas.iter().chain(&datas) {
                cluster.backend(0).publish_text(channel, "e", data).await;
                let (frame, text) = deltas.read().await;
                assert_eq!(text.as_deref(), Ok(&*plain.client.next_text().await), "{frame}");
            }
            let [unmarked, full, compressed] = deltas.counted(channel);
            assert!(unmarked == 0 && full > 0 && compressed > 0, "{full} {compressed}");
        }
    }
}

#[tokio::test]
async fn tags_that_look_like_markers_are_no_markers() {
    let cluster = cluster("tags.key").await;
    let tags = [
        json!({ "__delta_seq": "5", "key": "a" }),
        json!({ "__conflation_key": "x" }),
        json!({ "a\"__conflation_key": "x", "b": "y" }),
        json!({ "a": "__conflation_key\":\"x" }),
        json!({ "a\",\"__conflation_key": "x" }),
        json!({ "a\"__delta_seq": "5" }),
        json!({ "key": "a\"b\\" }),
    ];
    for channel in ["keyed", "room"] {
        let [mut deltas, mut plain] = pair(&cluster, channel, "fossil").await;
        for (n, tags) in tags.iter().chain(&tags).enumerate() {
            let data = format!("{n} {REST}");
            let event = json!({ "name": "e", "channel": channel, "data": data, "tags": tags });
            assert_eq!(cluster.backend(0).publish(&event).await.status, 200);
            let (frame, text) = deltas.read().await;
            assert_eq!(text.as_deref(), Ok(&*plain.client.next_text().await), "{frame}");
        }
    }
}

#[tokio::test]
async fn each_key_has_bases_of_its_own() {
    let cluster = cluster("asset").await;
    let [mut reader, mut plain] = pair(&cluster, "keyed", "fossil").await;
    let mut last: std::collections::HashMap<&str, u64> = Default::default();
    let assets = ["BTC", "ETH", "BTC", "a\"b", "ETH", "", "BTC", "a\"b", "", "ETH", "BTC"];
    for (n, asset) in assets.into_iter().enumerate() {
        let mut data = json!({ "asset": asset, "n": n, "rest": REST });
        if asset.is_empty() {
            data.as_object_mut().unwrap().remove("asset");
        }
        cluster.backend(0).publish_text("keyed", "e", &data.to_string()).await;
        let (frame, text) = reader.read().await;
        assert_eq!(text.as_deref(), Ok(&*plain.client.next_text().await));
        let frame: Value = serde_json::from_str(&frame).unwrap();
        let is_delta = frame["event"] == "pusher:delta";
        let (number, key) = match is_delta {
            true => (&frame["data"]["seq"], &frame["data"]["conflation_key"]),
            false => (&frame["__delta_seq"], &frame["__conflation_key"]),
        };
        let key = key.as_str().expect("the key is there, be it empty");
        assert!(!key.contains(['"', '\\']), "a client can cut it out: {key}");
        assert!(asset.contains('"') || key == asset, "{key} for {asset}");
        assert_eq!(frame["data"]["base_index"].as_u64(), last.get(asset).copied(), "{frame}");
        last.insert(asset, number.as_u64().unwrap());
    }
}

#[tokio::test]
async fn a_delta_that_saves_nothing_is_not_sent() {
    let cluster = cluster("key").await;
    let mut reader = Reader::of(&cluster, 0).await;
    reader.subscribe_to_deltas("room", &json!({ "delta": "fossil" }), "fossil").await;
    let long = |n: u32| format!("{n} {}", "always the same words ".repeat(10));
    // Nothing in common, too short, and as short that the envelope costs more than it saves.
    let strange = |n: u64| {
        (0..40).map(|i| format!("{:x}", (n + i).wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect()
    };
    let datas: [(String, Form); 7] = [
        (long(0), Form::Full),
        (long(1), Form::Delta),
        (strange(1_000), Form::Full),
        (strange(2_000), Form::Full),
        ("x".into(), Form::Full),
        ("y".into(), Form::Full),
        (format!("{:60}", 1), Form::Full),
    ];
    for (data, form) in datas {
        cluster.backend(0).publish_text("room", "e", &data).await;
        reader.expect(form, "room", "e", &data).await;
    }
}
