//! `AppService`: what operators call to manage apps.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as TOKEN};
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use model::{AppId, Reason, Rejection};
use proto::{
    internal::AppRecord,
    plane::serve::Peer,
    v1::{
        App, CreateAppRequest, CreateAppResponse, DeleteAppRequest, DeleteAppResponse,
        GetAppRequest, GetAppResponse, ListAppsRequest, ListAppsResponse, RetireAppSecretRequest,
        RetireAppSecretResponse, RotateAppSecretRequest, RotateAppSecretResponse, SnapshotEnd,
        UpdateAppRequest, UpdateAppResponse, WatchAppsRequest, WatchAppsResponse,
        app_service_server::AppService, watch_apps_response,
    },
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tracing::info;

use super::{
    admin::{AdminTokens, authorize},
    current::{Current, Cursor},
    random, update_mask,
    world::Step,
    writer::{Changed, Writer, app_mut},
};

const PAGE: usize = 100;
const PAGE_MAX: usize = 1_000;

/// The service.
#[derive(Clone, Debug)]
pub struct AppsAdministration {
    pub(super) current: Arc<Current>,
    pub(super) writer: Arc<Writer>,
    pub(super) tokens: AdminTokens,
    pub(super) stopped: CancellationToken,
}

impl AppsAdministration {
    /// Who calls, for the audit log, and what they ask; refused without a token.
    fn admit<T>(&self, request: Request<T>) -> Result<(String, T), Status> {
        authorize(request.metadata(), &self.tokens).map_err(refused)?;
        let peer = request.extensions().get::<Peer>();
        let peer = peer.map_or_else(|| "this process".to_owned(), |peer| peer.address.to_string());
        Ok((peer, request.into_inner()))
    }

    fn get(&self, app_id: &str) -> Result<App, Rejection> {
        check_id(app_id)?;
        let record = self.current.look(|world| world.record(app_id).cloned())?;
        let record = record.ok_or_else(|| {
            let message = format!("there is no app {app_id:?}");
            Rejection::field(Reason::AppNotFound, "app_id", message)
        })?;
        Ok(public(&record))
    }

    fn list(&self, request: &ListAppsRequest) -> Result<ListAppsResponse, Rejection> {
        let refuse =
            |field, message: String| Err(Rejection::field(Reason::InvalidInput, field, message));
        let size = match usize::try_from(request.page_size) {
            Ok(0) => PAGE,
            Ok(size) => size.min(PAGE_MAX),
            Err(_) => return refuse("page_size", format!("{} is negative", request.page_size)),
        };
        let decoded = TOKEN.decode(&request.page_token).ok();
        let Some(after) = decoded.and_then(|bytes| String::from_utf8(bytes).ok()) else {
            return refuse("page_token", "page_token is not one that was given out".into());
        };
        let mut records = self.current.look(|world| world.page(&after, size + 1))?;
        let more = records.len() > size;
        records.truncate(size);
        let apps: Vec<_> = records.iter().map(|record| public(record)).collect();
        let last = apps.last().filter(|_| more);
        let next_page_token = last.map(|app| TOKEN.encode(&app.app_id)).unwrap_or_default();
        Ok(ListAppsResponse { apps, next_page_token })
    }

    async fn rotate(&self, request: &RotateAppSecretRequest) -> Result<Changed, Rejection> {
        check_id(&request.app_id)?;
        let secret = or_made::<16>(&request.secret);
        let rotate = |record: &mut AppRecord| {
            if record.current_secret == secret {
                let message = "the secret is the one in use already";
                return Err(Rejection::field(Reason::InvalidInput, "secret", message));
            }
            record.previous_secret = std::mem::replace(&mut record.current_secret, secret.clone());
            app_mut(record).previous_secret_valid = true;
            Ok(())
        };
        self.writer.change(&request.app_id, request.revision, rotate).await
    }
}

#[tonic::async_trait]
impl AppService for AppsAdministration {
    async fn create_app(
        &self,
        request: Request<CreateAppRequest>,
    ) -> Result<Response<CreateAppResponse>, Status> {
        let (peer, request) = self.admit(request)?;
        let mut app = required(request.app).map_err(refused)?;
        app.key = or_made::<10>(&app.key);
        let record = AppRecord {
            app: Some(app),
            current_secret: or_made::<16>(&request.secret),
            previous_secret: String::new(),
        };
        let created = self.writer.create(record).await.map_err(refused)?;
        let app = public(&created);
        info!(peer, app_id = app.app_id, revision = app.revision, "audit: app created");
        let secret = created.current_secret;
        Ok(Response::new(CreateAppResponse { app: Some(app), secret }))
    }

    async fn get_app(
        &self,
        request: Request<GetAppRequest>,
    ) -> Result<Response<GetAppResponse>, Status> {
        let (_, request) = self.admit(request)?;
        let app = self.get(&request.app_id).map_err(refused)?;
        Ok(Response::new(GetAppResponse { app: Some(app) }))
    }

    async fn list_apps(
        &self,
        request: Request<ListAppsRequest>,
    ) -> Result<Response<ListAppsResponse>, Status> {
        let (_, request) = self.admit(request)?;
        self.list(&request).map(Response::new).map_err(refused)
    }

    async fn update_app(
        &self,
        request: Request<UpdateAppRequest>,
    ) -> Result<Response<UpdateAppResponse>, Status> {
        let (peer, request) = self.admit(request)?;
        let wanted = required(request.app).map_err(refused)?;
        check_id(&wanted.app_id).map_err(refused)?;
        let paths = request.update_mask.unwrap_or_default().paths;
        let update = |record: &mut AppRecord| {
            let app = app_mut(record);
            *app = update_mask::apply(&paths, app, &wanted)?;
            Ok(())
        };
        let changed = self.writer.change(&wanted.app_id, wanted.revision, update).await;
        let app = audited(&peer, "audit: app updated", &changed.map_err(refused)?);
        Ok(Response::new(UpdateAppResponse { app: Some(app) }))
    }

    async fn delete_app(
        &self,
        request: Request<DeleteAppRequest>,
    ) -> Result<Response<DeleteAppResponse>, Status> {
        let (peer, request) = self.admit(request)?;
        let DeleteAppRequest { app_id, revision, allow_missing } = request;
        check_id(&app_id).map_err(refused)?;
        match self.writer.delete(&app_id, revision).await.map_err(refused)? {
            Some(revision) => info!(peer, app_id, revision, "audit: app deleted"),
            None if allow_missing => {}
            None => {
                let message = format!("there is no app {app_id:?}");
                return Err(refused(Rejection::field(Reason::AppNotFound, "app_id", message)));
            }
        }
        Ok(Response::new(DeleteAppResponse {}))
    }

    async fn rotate_app_secret(
        &self,
        request: Request<RotateAppSecretRequest>,
    ) -> Result<Response<RotateAppSecretResponse>, Status> {
        let (peer, request) = self.admit(request)?;
        let changed = self.rotate(&request).await.map_err(refused)?;
        let app = audited(&peer, "audit: secret rotated", &changed);
        let secret = changed.after.current_secret;
        Ok(Response::new(RotateAppSecretResponse { app: Some(app), secret }))
    }

    async fn retire_app_secret(
        &self,
        request: Request<RetireAppSecretRequest>,
    ) -> Result<Response<RetireAppSecretResponse>, Status> {
        let (peer, request) = self.admit(request)?;
        check_id(&request.app_id).map_err(refused)?;
        let retire = |record: &mut AppRecord| {
            record.previous_secret.clear();
            app_mut(record).previous_secret_valid = false;
            Ok(())
        };
        let changed = self.writer.change(&request.app_id, request.revision, retire).await;
        let app = audited(&peer, "audit: secret retired", &changed.map_err(refused)?);
        Ok(Response::new(RetireAppSecretResponse { app: Some(app) }))
    }

    type WatchAppsStream = BoxStream<'static, Result<WatchAppsResponse, Status>>;

    async fn watch_apps(
        &self,
        request: Request<WatchAppsRequest>,
    ) -> Result<Response<Self::WatchAppsStream>, Status> {
        self.admit(request)?;
        self.current.look(|_| ()).map_err(refused)?;
        let changes = changes(self.current.cursor());
        let stopped = self.stopped.clone().cancelled_owned();
        Ok(Response::new(changes.take_until(stopped).boxed()))
    }
}

/// All apps, the end of them, then changes as fast as the caller takes them. A caller that is too
/// far behind to be told what was deleted is told to start again.
fn changes(cursor: Cursor) -> BoxStream<'static, Result<WatchAppsResponse, Status>> {
    let steps = stream::unfold(Some((cursor, true)), |state| async {
        let (mut cursor, first) = state?;
        let step = cursor.next().await;
        if step.reset && !first {
            let message = "too many changes since the last one you took; watch again";
            let refused = refused(Rejection::new(Reason::Conflict, message));
            return Some((vec![Err(refused)], None));
        }
        Some((told(&step).map(Ok).collect(), Some((cursor, false))))
    });
    steps.flat_map(stream::iter).boxed()
}

fn told(step: &Step) -> impl Iterator<Item = WatchAppsResponse> {
    use watch_apps_response::Change;
    let upserts = step.upserts.iter().map(|record| Change::App(public(record)));
    let removed = step.removed.iter().cloned().map(Change::DeletedAppId);
    let end = step.reset.then_some(Change::SnapshotEnd(SnapshotEnd {}));
    upserts.chain(removed).chain(end).map(|change| WatchAppsResponse { change: Some(change) })
}

/// One line per change: who, what, which app, from where to where; never a secret.
fn audited(peer: &str, what: &'static str, changed: &Changed) -> App {
    let (before, after) = (public(&changed.before), public(&changed.after));
    let paths = update_mask::changed_paths(&before, &after).join(" ");
    let (from, to) = (before.revision, after.revision);
    info!(peer, app_id = after.app_id, revision = to, from, paths, "{what}");
    after
}

/// What anyone but a plane may know of a record.
fn public(record: &AppRecord) -> App {
    record.app.clone().expect("a record has an app")
}

/// An id that no app can have is a mistake of its own.
fn check_id(app_id: &str) -> Result<(), Rejection> {
    let refuse = |error: model::InvalidAppId| {
        Rejection::field(Reason::InvalidInput, "app_id", error.to_string())
    };
    AppId::parse(app_id).map(|_| ()).map_err(refuse)
}

fn required(app: Option<App>) -> Result<App, Rejection> {
    app.ok_or_else(|| Rejection::field(Reason::InvalidInput, "app", "app is missing"))
}

/// What was given, or as many random bytes in hex.
fn or_made<const BYTES: usize>(given: &str) -> String {
    if given.is_empty() { random::hex::<BYTES>() } else { given.to_owned() }
}

#[allow(clippy::needless_pass_by_value, reason = "it is made for map_err")]
fn refused(rejection: Rejection) -> Status {
    proto::status::from_rejection(&rejection)
}
