//! The console in Chromium: every action, at the width of a telephone and of a desk.

use proto::v1::{AppFeatures, AppLimits, GetAppRequest};
use serde_json::{Value, json};
use tests::{
    client::Client,
    cluster::{ADMIN_TOKEN, Cluster, Shape},
    rest::{Credentials, get},
    rig::Rig,
};

const CHANNELS: u32 = 10_000;

/// An app with 10,000 occupied channels, one of them with a user in it who is signed in.
async fn crowded() -> (Cluster, Vec<Client>) {
    let mut shape = Shape::default();
    shape.app.limits =
        Some(AppLimits { channels_per_connection_max: Some(CHANNELS), ..AppLimits::default() });
    shape.app.features = Some(AppFeatures { client_events: Some(true), ..AppFeatures::default() });
    let cluster = Cluster::start(shape).await;
    let mut crowd = cluster.client(0).await;
    // As many at once as an outbox has room for the answers.
    for asked in (1..CHANNELS).collect::<Vec<_>>().chunks(500) {
        for number in asked {
            crowd.ask_for(&format!("market-{number:05}")).await;
        }
        for _ in asked {
            crowd.next_frame().await;
        }
    }
    let mut ann = cluster.client(0).await;
    ann.sign_in(&json!({ "id": "ann" })).await;
    ann.join("presence-room", "ann", &["ann"]).await;
    (cluster, vec![crowd, ann])
}

async fn used_at(width: &str, height: &str, dark: bool) {
    let (cluster, _clients) = Box::pin(crowded()).await;
    let url = format!("http://{}/", cluster.operations_address());
    let channels = CHANNELS.to_string();
    let app = Credentials::default().app_id;
    let mut arguments = vec!["--url", &*url, "--token", ADMIN_TOKEN, "--app", &*app];
    arguments.extend(["--channel", "presence-room", "--channels", &*channels]);
    arguments.extend(["--width", width, "--height", height]);
    if dark {
        arguments.push("--dark");
    }
    let folder = std::env::var_os("CONSOLE_SCREENSHOTS").unwrap_or_default().into_string().unwrap();
    if !folder.is_empty() {
        arguments.extend(["--screenshots", &*folder]);
    }
    let (lines, well) = Rig::node("console.mjs", &arguments).finish().await;
    assert!(well, "{lines:#?}");
    let steps = lines.iter().filter(|line| line["type"] == "step").count();
    assert_eq!(steps, 14, "{lines:#?}");
    // It is gone, as it was asked for.
    let mut admin = cluster.admin();
    let shop = admin.request(GetAppRequest { app_id: format!("shop-{width}") });
    assert_eq!(admin.client.get_app(shop).await.unwrap_err().code(), tonic::Code::NotFound);
}

#[tokio::test]
async fn every_action_works_on_a_telephone() {
    Box::pin(used_at("360", "740", true)).await;
}

#[tokio::test]
async fn every_action_works_at_a_desk() {
    Box::pin(used_at("1280", "900", false)).await;
}

#[tokio::test]
async fn nothing_is_told_without_the_token() {
    let cluster = Cluster::start(Shape::default()).await;
    let operations = cluster.operations_address();
    for path in ["/cluster", "/history", "/apps", "/apps/app-id", "/apps/app-id/connections"] {
        let (status, text) = get(operations, &format!("/console/api{path}")).await;
        let refused: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &refused["code"]), (401, &json!("auth_failed")), "{path}");
    }
    let (status, page) = get(operations, "/console/").await;
    assert!(status == 200 && !page.contains("http://") && !page.contains("https://"), "{page}");
    let outside = cluster.gateways[0].running.address;
    assert_eq!(get(outside, "/console/").await.0, 404, "it is not public");
}
