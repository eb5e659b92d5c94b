//! The first five minutes: an app to play with, a page that shows events, commands to paste.

use std::{net::SocketAddr, path::Path};

use axum::{
    Router,
    extract::Path as PathOf,
    http::{StatusCode, header},
    response::{Html, IntoResponse},
    routing::get,
};
use proto::v1::{App, AppFeatures};

use crate::cli;

/// The app that an empty store begins with, and its secret.
pub(crate) fn development_app() -> (App, &'static str) {
    let app = App {
        app_id: "app-id".into(),
        key: "app-key".into(),
        features: Some(AppFeatures { client_events: Some(true), ..AppFeatures::default() }),
        ..App::default()
    };
    (app, "app-secret")
}

/// What the page takes from `clients/js`, as it is published.
const CLIENT: [(&str, &str); 7] = [
    ("bases.js", include_str!("../clients/js/dist/bases.js")),
    ("bytes.js", include_str!("../clients/js/dist/bytes.js")),
    ("compact.js", include_str!("../clients/js/dist/compact.js")),
    ("deltas.js", include_str!("../clients/js/dist/deltas.js")),
    ("fossil.js", include_str!("../clients/js/dist/fossil.js")),
    ("traffic.js", include_str!("../clients/js/dist/traffic.js")),
    ("vcdiff.js", include_str!("../clients/js/dist/vcdiff.js")),
];

/// The page at `/` and its modules: no other host is asked for anything.
pub(crate) fn router() -> Router {
    Router::new().route("/", get(page)).route("/client/{file}", get(client))
}

#[allow(clippy::unused_async, reason = "handlers are async")]
async fn client(PathOf(file): PathOf<String>) -> impl IntoResponse {
    let (_, text) = CLIENT.iter().find(|(name, _)| *name == file).ok_or(StatusCode::NOT_FOUND)?;
    Ok::<_, StatusCode>(([(header::CONTENT_TYPE, "text/javascript")], *text))
}

#[allow(clippy::unused_async, reason = "handlers are async")]
async fn page() -> impl IntoResponse {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'self' 'unsafe-inline'; \
                  connect-src 'self' ws: wss:";
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(include_str!("page.html")))
}

/// Says where everything is, with a call that can be pasted as it stands.
#[allow(clippy::print_stdout, reason = "this greets the person who started the process")]
pub(crate) fn print(
    address: SocketAddr,
    operations: SocketAddr,
    (data, first_start, encrypted): (&Path, bool, bool),
) {
    let scheme = if encrypted { "https" } else { "http" };
    let host =
        if address.ip().is_unspecified() { "127.0.0.1".into() } else { address.ip().to_string() };
    let url = format!("{scheme}://{host}:{}", address.port());
    println!("Carillon serves REST, WebSockets and gRPC on {url}");
    println!("  page that shows events   {url}/");
    println!(
        "  probes, metrics, admin   http://{operations}  (token in {}/admin-token)",
        data.display()
    );
    if !first_start {
        println!("  apps                     carillon apps list");
        return;
    }
    let target = cli::Target {
        url,
        app_id: "app-id".into(),
        key: "app-key".into(),
        secret: "app-secret".into(),
        ca_certificate: None,
    };
    println!("  development app          id app-id, key app-key, secret app-secret");
    println!("\nPublish an event (the signature is valid for ten minutes):\n");
    println!("  {}\n", curl(&target));
    println!(
        "Later: carillon trigger my-channel hello '{{\"text\":\"hi\"}}' and carillon subscribe my-channel"
    );
}

fn curl(target: &cli::Target) -> String {
    let body = r#"{"name":"hello","channel":"my-channel","data":"{\"text\":\"hello world\"}"}"#;
    let call = ("POST", "/apps/app-id/events", body.as_bytes());
    let signed = cli::signed_path(target, call, cli::unix_seconds());
    let signed = signed.expect("the development app's key is plain text");
    format!("curl -d '{body}' '{}{signed}'", target.url)
}
