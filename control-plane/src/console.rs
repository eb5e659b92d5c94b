//! The console: a page on the admin listener, and the JSON that it asks for, behind the admin token.
//!
//! It has no rules of its own: apps are changed by the code behind `AppService`, events are published by
//! the code behind `EventService`.

mod answer;
mod apps;
mod assets;
mod channels;
pub mod cluster;
mod connections;
mod follow;
pub mod history;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
    routing::{delete, get, post},
};
use model::{App, Limits, MessageIds, Reason, Rejection};
use proto::plane::{
    identity::{Identity, Role},
    serve::Peer,
};
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;

use crate::{
    inquiries::Inquiries,
    publisher::Publisher,
    reads::Reads,
    replicas::Replicas,
    settings::{AdminTokens, AppsAdministration, authorize},
    tap::Taps,
};
use answer::refused;
use cluster::Cluster;
use history::History;

/// What the console looks at and acts through; cheap to clone.
#[derive(Clone, Debug)]
pub struct Console {
    /// Changes apps.
    pub administration: AppsAdministration,
    /// Who may use the console.
    pub tokens: AdminTokens,
    /// Publishes.
    pub publisher: Publisher,
    /// Answers questions about channels.
    pub reads: Reads,
    /// Names publishes.
    pub message_ids: Arc<MessageIds>,
    /// Asks nodes.
    pub inquiries: Arc<Inquiries>,
    /// Shows events.
    pub taps: Taps,
    /// Those who dispatch the others.
    pub replicas: Arc<Replicas>,
    /// Who takes part.
    pub cluster: Cluster,
    /// The last minutes.
    pub history: History,
    /// Ends the streams of those who follow events.
    pub stopped: CancellationToken,
}

impl Console {
    /// The page, and under `/console/api` what it asks for.
    pub fn router(self) -> Router {
        let api = Router::new()
            .route("/cluster", get(cluster::show))
            .route("/history", get(history::show))
            .route("/apps", get(apps::list).post(apps::create))
            .route("/apps/{app}", get(apps::get).patch(apps::update).delete(apps::delete))
            .route("/apps/{app}/secret", post(apps::rotate))
            .route("/apps/{app}/previous-secret", delete(apps::retire))
            .route("/apps/{app}/channels", get(channels::list))
            .route("/apps/{app}/channel", get(channels::get))
            .route("/apps/{app}/users", get(channels::users))
            .route("/apps/{app}/connections", get(connections::list))
            .route("/apps/{app}/terminate", post(channels::terminate))
            .route("/apps/{app}/events", get(follow::follow).post(channels::publish))
            .layer(middleware::from_fn_with_state(self.clone(), admit))
            .with_state(self);
        assets::router().nest("/console/api", api)
    }

    /// An app as an operator reads it: the app's own limit is for its backends.
    fn readable(&self, id: &str) -> Result<App, Rejection> {
        let app = self.publisher.known_app(id)?;
        let limits = Limits { read_requests_per_second: None, ..app.limits.clone() };
        Ok(App { limits, ..App::clone(&app) })
    }
}

/// Nobody comes further without an admin token; nor, where the listener is encrypted, without a
/// certificate of the role admin.
async fn admit(State(console): State<Console>, request: Request, next: Next) -> Response {
    let extensions = request.extensions();
    let encrypted = extensions.get::<Peer>().is_some_and(|peer| peer.encrypted);
    let role = extensions.get::<Arc<Identity>>().and_then(|who| who.role);
    if encrypted && role != Some(Role::Admin) {
        let message = "the console needs a client certificate of the role admin";
        return refused(&Rejection::new(Reason::Forbidden, message));
    }
    let metadata = MetadataMap::from_headers(request.headers().clone());
    match authorize(&metadata, &console.tokens) {
        Ok(_) => next.run(request).await,
        Err(rejection) => refused(&rejection),
    }
}
