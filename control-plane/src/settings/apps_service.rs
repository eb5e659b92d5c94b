//! `AppService`: what operators call to manage apps.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as TOKEN};
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use model::{AppId, Reason, Rejection};
use proto::{
    internal::AppRecord,
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

use super::{
    admin::{AdminTokens, authorize},
    audit::{Effect, Mutation},
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
    /// What somebody asks who may; reads leave no line in the audit log.
    fn admit<T>(&self, request: Request<T>) -> Result<T, Status> {
        authorize(request.metadata(), &self.tokens).map_err(refused)?;
        Ok(request.into_inner())
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

    async fn create(&self, request: CreateAppRequest) -> Result<AppRecord, Rejection> {
        let mut app = required(request.app)?;
        app.key = or_made::<10>(&app.key);
        let record = AppRecord {
            app: Some(app),
            current_secret: or_made::<16>(&request.secret),
            previous_secret: String::new(),
        };
        self.writer.create(record).await
    }

    async fn update(&self, request: UpdateAppRequest) -> Result<Changed, Rejection> {
        let wanted = required(request.app)?;
        check_id(&wanted.app_id)?;
        let paths = request.update_mask.unwrap_or_default().paths;
        let update = |record: &mut AppRecord| {
            let app = app_mut(record);
            *app = update_mask::apply(&paths, app, &wanted)?;
            Ok(())
        };
        self.writer.change(&wanted.app_id, wanted.revision, update).await
    }

    /// Tells the app's last revision; 0 where there was none, and that is allowed.
    async fn delete(&self, request: &DeleteAppRequest) -> Result<u64, Rejection> {
        let DeleteAppRequest { app_id, revision, allow_missing } = request;
        check_id(app_id)?;
        match self.writer.delete(app_id, *revision).await? {
            Some(revision) => Ok(revision),
            None if *allow_missing => Ok(0),
            None => {
                let message = format!("there is no app {app_id:?}");
                Err(Rejection::field(Reason::AppNotFound, "app_id", message))
            }
        }
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

    async fn retire(&self, request: &RetireAppSecretRequest) -> Result<Changed, Rejection> {
        check_id(&request.app_id)?;
        let retire = |record: &mut AppRecord| {
            record.previous_secret.clear();
            app_mut(record).previous_secret_valid = false;
            Ok(())
        };
        self.writer.change(&request.app_id, request.revision, retire).await
    }
}

#[tonic::async_trait]
impl AppService for AppsAdministration {
    async fn create_app(
        &self,
        request: Request<CreateAppRequest>,
    ) -> Result<Response<CreateAppResponse>, Status> {
        let (mutation, request) = Mutation::admit(&self.tokens, request)?;
        let created = mutation.end(self.create(request).await, |created| {
            let App { app_id, revision, .. } = public(created);
            Effect { app_id, to: revision, ..Effect::default() }
        })?;
        let app = public(&created);
        let secret = created.current_secret;
        Ok(Response::new(CreateAppResponse { app: Some(app), secret }))
    }

    async fn get_app(
        &self,
        request: Request<GetAppRequest>,
    ) -> Result<Response<GetAppResponse>, Status> {
        let request = self.admit(request)?;
        let app = self.get(&request.app_id).map_err(refused)?;
        Ok(Response::new(GetAppResponse { app: Some(app) }))
    }

    async fn list_apps(
        &self,
        request: Request<ListAppsRequest>,
    ) -> Result<Response<ListAppsResponse>, Status> {
        let request = self.admit(request)?;
        self.list(&request).map(Response::new).map_err(refused)
    }

    async fn update_app(
        &self,
        request: Request<UpdateAppRequest>,
    ) -> Result<Response<UpdateAppResponse>, Status> {
        let (mutation, request) = Mutation::admit(&self.tokens, request)?;
        let changed = mutation.end(self.update(request).await, effect)?;
        Ok(Response::new(UpdateAppResponse { app: Some(public(&changed.after)) }))
    }

    async fn delete_app(
        &self,
        request: Request<DeleteAppRequest>,
    ) -> Result<Response<DeleteAppResponse>, Status> {
        let (mutation, request) = Mutation::admit(&self.tokens, request)?;
        mutation.end(self.delete(&request).await, |from| {
            let app_id = request.app_id.clone();
            Effect { app_id, from: *from, ..Effect::default() }
        })?;
        Ok(Response::new(DeleteAppResponse {}))
    }

    async fn rotate_app_secret(
        &self,
        request: Request<RotateAppSecretRequest>,
    ) -> Result<Response<RotateAppSecretResponse>, Status> {
        let (mutation, request) = Mutation::admit(&self.tokens, request)?;
        let changed = mutation.end(self.rotate(&request).await, effect)?;
        let app = public(&changed.after);
        let secret = changed.after.current_secret;
        Ok(Response::new(RotateAppSecretResponse { app: Some(app), secret }))
    }

    async fn retire_app_secret(
        &self,
        request: Request<RetireAppSecretRequest>,
    ) -> Result<Response<RetireAppSecretResponse>, Status> {
        let (mutation, request) = Mutation::admit(&self.tokens, request)?;
        let changed = mutation.end(self.retire(&request).await, effect)?;
        Ok(Response::new(RetireAppSecretResponse { app: Some(public(&changed.after)) }))
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

/// From where to where an app went, for the audit log; never a secret.
fn effect(changed: &Changed) -> Effect {
    let (before, after) = (public(&changed.before), public(&changed.after));
    let paths = update_mask::changed_paths(&before, &after).join(" ");
    Effect { app_id: after.app_id, from: before.revision, to: after.revision, paths }
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
