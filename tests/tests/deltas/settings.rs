//! Settings that change while subscribers are there.

use proto::v1::App;
use serde_json::{Value, json};
use tests::{
    cluster::{Cluster, Shape},
    eventually,
    rest::Credentials,
};

use crate::reader::{Form, Reader};

async fn change(cluster: &Cluster, settings: Value) {
    let settings: App = serde_json::from_value(settings).unwrap();
    let app = App { app_id: Credentials::default().app_id, ..settings };
    cluster.admin().update(app).await.unwrap();
}

/// Publishes tagged events until one comes as it should; each decodes to what was published.
async fn until(cluster: &Cluster, reader: &mut Reader, expected: impl Fn(Form, &Value) -> bool) {
    let reader = tokio::sync::Mutex::new(reader);
    let sent = std::cell::Cell::new(0);
    let published = async || {
        let n = sent.replace(sent.get() + 1);
        let rest = "all the same ".repeat(20);
        let data = format!(r#"{{"key":"k","n":{n},"rest":"{rest}"}}"#);
        let event = json!({ "name": "e", "channel": "room", "data": data, "tags": { "a": "1" } });
        assert_eq!(cluster.backend(0).publish(&event).await.status, 200);
        let (form, text) = reader.lock().await.next().await;
        assert_eq!(text["data"], data);
        expected(form, &text).then_some(())
    };
    eventually("the change is seen", published).await;
}

#[tokio::test]
async fn deltas_are_switched_off_and_on() {
    let cluster = Cluster::start(Shape::default()).await;
    let mut reader = Reader::of(&cluster, 0).await;
    reader.subscribe_to_deltas("room", &json!({ "delta": "fossil" }), "fossil").await;
    until(&cluster, &mut reader, |form, _| form == Form::Delta).await;
    change(&cluster, json!({ "features": { "delta_compression": false } })).await;
    until(&cluster, &mut reader, |form, _| form == Form::Unmarked).await;
    change(&cluster, json!({ "features": { "delta_compression": true } })).await;
    until(&cluster, &mut reader, |form, _| form == Form::Full).await;
    until(&cluster, &mut reader, |form, _| form == Form::Delta).await;
}

#[tokio::test]
async fn a_channel_s_settings_change() {
    let cluster = Cluster::start(Shape::default()).await;
    let mut reader = Reader::of(&cluster, 0).await;
    reader.subscribe_to_deltas("room", &json!({ "delta": true }), "fossil").await;
    until(&cluster, &mut reader, |form, _| form == Form::Delta).await;
    let room = |settings: Value| json!({ "channel_delta_compression": { "room": settings } });
    // A client in conflation mode reads deltas of no other kind: each full frame says what it is.
    for settings in [
        json!({ "conflation_key": "key" }),
        json!({ "conflation_key": "n" }),
        json!({ "conflation_key": "key", "tags_delivered": false }),
        json!({}),
    ] {
        change(&cluster, room(settings.clone())).await;
        let shown = settings.get("tags_delivered").is_none();
        until(&cluster, &mut reader, |form, text| {
            form == Form::Full && text.get("tags").is_some() == shown
        })
        .await;
        if settings["conflation_key"] != "n" {
            until(&cluster, &mut reader, |form, _| form == Form::Delta).await;
        }
    }
    change(&cluster, room(json!({ "enabled": false }))).await;
    until(&cluster, &mut reader, |form, _| form == Form::Unmarked).await;
}

#[tokio::test]
async fn filters_are_switched_off_and_on() {
    let cluster = Cluster::start(Shape::default()).await;
    let backend = cluster.backend(0);
    let mut reader = Reader::of(&cluster, 0).await;
    let filter = json!({ "key": "a", "cmp": "eq", "val": "1" });
    reader.subscribe("room", &json!({ "filter": filter })).await;
    let reader = tokio::sync::Mutex::new(reader);
    let passes = async |wanted: bool| {
        backend.publish_text("room", "e", "x").await;
        let mut reader = reader.lock().await;
        reader.client.send(&json!({ "event": "pusher:ping", "data": {} })).await;
        let first = reader.client.next_frame().await;
        let passed = first["event"] == "e";
        if passed {
            assert_eq!(reader.client.next_frame().await["event"], "pusher:pong");
        }
        (passed == wanted).then_some(())
    };
    eventually("the filter is in force", || passes(false)).await;
    change(&cluster, json!({ "features": { "tag_filtering": false } })).await;
    eventually("the filter is ignored", || passes(true)).await;
    change(&cluster, json!({ "features": { "tag_filtering": true } })).await;
    eventually("the filter is in force again", || passes(false)).await;
}
