//! Whether clients see tags: as the app says, and as a channel's settings say. Filters read them anyway.

use serde_json::{Value, json};
use tests::cluster::{Cluster, Shape};

use crate::reader::{Form, Reader};

/// An event with tags, and what its subscribers read with and without them.
fn event(channel: &str, n: u32) -> (Value, [Value; 2]) {
    let data = json!({ "n": n, "rest": "all the same ".repeat(20) }).to_string();
    let tags = json!({ "z": "Zoë \u{1F389}", "a": "1", "quoted": "\"" });
    let published = json!({ "name": "e", "channel": channel, "data": data, "tags": tags });
    let stripped = json!({ "event": "e", "channel": channel, "data": data });
    let mut shown = stripped.clone();
    shown["tags"] = tags;
    (published, [stripped, shown])
}

async fn check(app: Value, expected: &[(&str, bool)]) {
    let cluster = Cluster::start(Shape::default().app(app)).await;
    let filter = json!({ "key": "a", "cmp": "eq", "val": "1" });
    for (channel, shown) in expected {
        let [mut deltas, mut plain] =
            [Reader::of(&cluster, 0).await, Reader::of(&cluster, 0).await];
        let terms = json!({ "delta": "fossil", "filter": filter });
        deltas.subscribe_to_deltas(channel, &terms, "fossil").await;
        plain.subscribe(channel, &json!({ "filter": filter })).await;
        for n in 0..3 {
            let (published, frames) = event(channel, n);
            assert_eq!(cluster.backend(0).publish(&published).await.status, 200);
            let frame = frames[usize::from(*shown)].clone();
            let form = if n == 0 { Form::Full } else { Form::Delta };
            assert_eq!(deltas.next().await, (form, frame.clone()));
            assert_eq!(plain.next().await, (Form::Unmarked, frame));
        }
    }
}

#[tokio::test]
async fn tags_are_shown() {
    Box::pin(check(json!({}), &[("room", true)])).await;
}

#[tokio::test]
async fn tags_are_shown_as_the_app_says_or_else_the_channel() {
    let patterns = json!({
        "hidden-*": { "tags_delivered": false },
        "shown-*": { "tags_delivered": true },
        "other-*": {},
    });
    let app = |shown: bool| json!({ "features": { "tags_delivered": shown }, "channel_delta_compression": patterns });
    let own = [("hidden-room", false), ("shown-room", true)];
    for shown in [false, true] {
        let expected = [own[0], own[1], ("other-room", shown), ("room", shown)];
        Box::pin(check(app(shown), &expected)).await;
    }
}

#[tokio::test]
async fn tags_are_sorted_by_key() {
    let cluster = Cluster::start(Shape::default()).await;
    let mut reader = Reader::of(&cluster, 0).await;
    reader.subscribe("room", &json!({})).await;
    let text = r#"{"name":"e","channel":"room","data":"x","tags":{"b":"2","B":"0","a":"1"}}"#;
    assert_eq!(cluster.backend(0).call(text).send().await.status, 200);
    let expected = r#"{"event":"e","channel":"room","data":"x","tags":{"B":"0","a":"1","b":"2"}}"#;
    assert_eq!(reader.client.next_text().await, expected);
}
