//! Headless Chromium at pages.

use serde_json::json;
use tests::{process::Process, rig::Rig};

use super::{
    in_both_layouts,
    libraries::{Backend, Tabs},
    planes::{Layout, Planes, account, address},
};

in_both_layouts![pusher_js_works_in_a_page];

/// Opens a page; each text is waited for in turn.
pub(super) fn open(url: &str, texts: &[&str]) -> Rig {
    let texts = texts.iter().flat_map(|text| ["--text", text]);
    let arguments: Vec<_> = ["--url", url].into_iter().chain(texts).collect();
    Rig::node("browser.mjs", &arguments)
}

async fn pusher_js_works_in_a_page(layout: Layout) {
    let planes = Planes::start(layout, json!({})).await;
    let mut node = Backend::node(&planes).await;
    let mut tabs = Tabs::new(&planes, &node);
    tabs.open_with("zoë", json!({ "user": "zoe", "name": "Zoë" })).await;
    let (key, port) = (account().key, planes.sockets);
    let url = format!("{}/page?key={key}&port={port}&user=ann&channel=presence-room", node.url);
    let mut page = open(
        &url,
        &["state: connected", "I am ann of 1", "joined: zoe Zoë", "greeting: ü 🚀", "left: zoe"],
    );
    let text = |text: &str| json!({ "type": "text", "text": text });
    page.take(&text("I am ann of 1")).await;
    tabs.subscribe("zoë", "presence-room").await;
    page.take(&text("joined: zoe Zoë")).await;
    node.call("trigger", json!(["presence-room", "greeting", { "text": "ü 🚀" }])).await;
    page.take(&text("greeting: ü 🚀")).await;
    tabs.close("zoë").await;
    let (lines, well) = page.finish().await;
    assert!(well, "{lines:?}");
}

/// The page of a first start shows what is published from another terminal.
#[tokio::test]
async fn the_page_of_the_all_in_one_shows_events() {
    let planes = Planes::start(Layout::OneProcess, json!({})).await;
    let url = format!("http://{}", address(planes.rest));
    let waiting = "Subscribed to my-channel";
    let mut page = open(&url, &[waiting, "hello", r#"{"text":"hi ü"}"#]);
    page.take(&json!({ "type": "text", "text": waiting })).await;
    let trigger = ["trigger", "my-channel", "hello", r#"{"text":"hi ü"}"#, "--url", &url];
    Process::output("carillon", &trigger).await;
    let (lines, well) = page.finish().await;
    assert!(well, "{lines:?}");
}
