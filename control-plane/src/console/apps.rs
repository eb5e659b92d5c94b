//! Apps over JSON: each call is one of `AppService`, with its checks and its line in the audit log.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{FromRequestParts, Path, Query, State},
    http::{HeaderMap, request::Parts},
    response::Response,
};
use model::Rejection;
use prost_types::FieldMask;
use proto::{
    plane::{identity::Identity, serve::Peer},
    v1::{
        App, CreateAppRequest, DeleteAppRequest, GetAppRequest, ListAppsRequest,
        RetireAppSecretRequest, RotateAppSecretRequest, UpdateAppRequest,
        app_service_server::AppService as _,
    },
};
use serde::{Deserialize, Serialize};
use tonic::{Request, Status};

use super::{
    Console,
    answer::{read, respond, spoken},
};

/// An app as it is, with what only the server says of it.
#[derive(Serialize)]
struct Shown {
    app: App,
    revision: u64,
    previous_secret_valid: bool,
    /// Seconds since 1970.
    updated: i64,
    /// Only where one has just been made.
    #[serde(skip_serializing_if = "String::is_empty")]
    secret: String,
}

#[derive(Serialize)]
struct Page {
    apps: Vec<Shown>,
    next_page_token: String,
}

#[derive(Deserialize)]
pub(super) struct Turn {
    #[serde(default)]
    page_token: String,
    #[serde(default)]
    page_size: i32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    app: App,
    #[serde(default)]
    secret: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    app: App,
    /// What changes, as in a field mask.
    paths: Vec<String>,
    /// The revision that the change was decided on; 0: whichever.
    #[serde(default)]
    revision: u64,
}

/// Which revision is meant; 0: whichever.
#[derive(Deserialize)]
pub(super) struct At {
    #[serde(default)]
    revision: u64,
}

/// Who calls: the token; peer and certificate for the audit log.
pub(super) struct Caller {
    headers: HeaderMap,
    peer: Option<Peer>,
    identity: Option<Arc<Identity>>,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self {
            headers: parts.headers.clone(),
            peer: parts.extensions.get::<Peer>().copied(),
            identity: parts.extensions.get::<Arc<Identity>>().cloned(),
        })
    }
}

impl Caller {
    fn ask<T>(self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        *request.metadata_mut() = tonic::metadata::MetadataMap::from_headers(self.headers);
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
        if let Some(identity) = self.identity {
            request.extensions_mut().insert(identity);
        }
        request
    }
}

pub(super) async fn list(
    State(console): State<Console>,
    Query(Turn { page_token, page_size }): Query<Turn>,
    caller: Caller,
) -> Response {
    let request = caller.ask(ListAppsRequest { page_size, page_token });
    let answer = console.administration.list_apps(request).await;
    respond(answer.map_err(|status| spoken(&status)).map(|answer| {
        let answer = answer.into_inner();
        let apps = answer.apps.into_iter().map(|app| shown(app, String::new())).collect();
        Page { apps, next_page_token: answer.next_page_token }
    }))
}

pub(super) async fn get(
    State(console): State<Console>,
    Path(app_id): Path<String>,
    caller: Caller,
) -> Response {
    let answer = console.administration.get_app(caller.ask(GetAppRequest { app_id })).await;
    respond(one(answer.map(|answer| (answer.into_inner().app, String::new()))))
}

pub(super) async fn create(
    State(console): State<Console>,
    caller: Caller,
    body: Bytes,
) -> Response {
    let Create { app, secret } = match read(&body) {
        Ok(create) => create,
        Err(rejection) => return respond::<Shown>(Err(rejection)),
    };
    let request = caller.ask(CreateAppRequest { app: Some(app), secret });
    let answer = console.administration.create_app(request).await;
    respond(one(answer.map(|answer| {
        let answer = answer.into_inner();
        (answer.app, answer.secret)
    })))
}

pub(super) async fn update(
    State(console): State<Console>,
    Path(app_id): Path<String>,
    caller: Caller,
    body: Bytes,
) -> Response {
    let Update { app, paths, revision } = match read(&body) {
        Ok(update) => update,
        Err(rejection) => return respond::<Shown>(Err(rejection)),
    };
    let request = caller.ask(UpdateAppRequest {
        app: Some(App { app_id, revision, ..app }),
        update_mask: Some(FieldMask { paths }),
    });
    let answer = console.administration.update_app(request).await;
    respond(one(answer.map(|answer| (answer.into_inner().app, String::new()))))
}

pub(super) async fn delete(
    State(console): State<Console>,
    Path(app_id): Path<String>,
    Query(At { revision }): Query<At>,
    caller: Caller,
) -> Response {
    let request = caller.ask(DeleteAppRequest { app_id, revision, allow_missing: false });
    let answer = console.administration.delete_app(request).await;
    respond(answer.map(|_| ()).map_err(|status| spoken(&status)))
}

pub(super) async fn rotate(
    State(console): State<Console>,
    Path(app_id): Path<String>,
    Query(At { revision }): Query<At>,
    caller: Caller,
) -> Response {
    let request = caller.ask(RotateAppSecretRequest { app_id, secret: String::new(), revision });
    let answer = console.administration.rotate_app_secret(request).await;
    respond(one(answer.map(|answer| {
        let answer = answer.into_inner();
        (answer.app, answer.secret)
    })))
}

pub(super) async fn retire(
    State(console): State<Console>,
    Path(app_id): Path<String>,
    Query(At { revision }): Query<At>,
    caller: Caller,
) -> Response {
    let request = caller.ask(RetireAppSecretRequest { app_id, revision });
    let answer = console.administration.retire_app_secret(request).await;
    respond(one(answer.map(|answer| (answer.into_inner().app, String::new()))))
}

fn one(answer: Result<(Option<App>, String), Status>) -> Result<Shown, Rejection> {
    let (app, secret) = answer.map_err(|status| spoken(&status))?;
    Ok(shown(app.unwrap_or_default(), secret))
}

fn shown(app: App, secret: String) -> Shown {
    let updated = app.update_time.map_or(0, |time| time.seconds);
    let App { revision, previous_secret_valid, .. } = app;
    Shown { app, revision, previous_secret_valid, updated, secret }
}
