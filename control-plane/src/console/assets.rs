//! The page and its files, as they stand in the binary: no other host is asked for anything.

use axum::{
    Router,
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Redirect},
    routing::get,
};

const PAGE: &str = include_str!("page/index.html");

/// Name, type, text.
const FILES: [(&str, &str, &str); 12] = [
    ("console.css", "text/css; charset=utf-8", include_str!("page/console.css")),
    ("main.js", SCRIPT, include_str!("page/main.js")),
    ("api.js", SCRIPT, include_str!("page/api.js")),
    ("dom.js", SCRIPT, include_str!("page/dom.js")),
    ("overview.js", SCRIPT, include_str!("page/overview.js")),
    ("plot.js", SCRIPT, include_str!("page/plot.js")),
    ("apps.js", SCRIPT, include_str!("page/apps.js")),
    ("channels.js", SCRIPT, include_str!("page/channels.js")),
    ("connections.js", SCRIPT, include_str!("page/connections.js")),
    ("units.js", SCRIPT, include_str!("page/units.js")),
    ("list.js", SCRIPT, include_str!("page/list.js")),
    ("events.js", SCRIPT, include_str!("page/events.js")),
];
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Nothing but the page's own files; no text ever becomes markup or code.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// `/console/`, and `/` leads there.
pub(super) fn router() -> Router {
    Router::new()
        .route("/", get(|| async { Redirect::temporary("/console/") }))
        .route("/console", get(|| async { Redirect::permanent("/console/") }))
        .route("/console/", get(page))
        .route("/console/{file}", get(file))
}

#[allow(clippy::unused_async, reason = "handlers are async")]
async fn page() -> impl IntoResponse {
    (guarded("text/html; charset=utf-8"), PAGE)
}

#[allow(clippy::unused_async, reason = "handlers are async")]
async fn file(Path(name): Path<String>) -> impl IntoResponse {
    let found = FILES.iter().find(|(file, _, _)| *file == name);
    let (_, kind, text) = found.ok_or(StatusCode::NOT_FOUND)?;
    Ok::<_, StatusCode>((guarded(kind), *text))
}

fn guarded(kind: &'static str) -> [(header::HeaderName, &'static str); 5] {
    [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ]
}
