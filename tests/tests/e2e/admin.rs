//! Managing apps over gRPC, and what it does to the planes.

use prost_types::FieldMask;
use proto::v1::{
    App, AppLimits, CreateAppRequest, DeleteAppRequest, GetAppRequest, ListAppsRequest,
    RetireAppSecretRequest, RotateAppSecretRequest, UpdateAppRequest, WatchAppsRequest,
    watch_apps_response::Change,
};
use tests::{
    cluster::{Cluster, Shape},
    grpc::Admin,
};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

fn named(app_id: &str) -> App {
    App { app_id: app_id.into(), ..App::default() }
}

fn check(status: &Status, code: Code, field: &str) {
    assert_eq!(status.code(), code, "{status:?}");
    let details = status.get_error_details();
    let violations = details.bad_request().map(|bad| &bad.field_violations[..]);
    let given = violations.unwrap_or_default().first().map_or("", |violation| &violation.field);
    assert_eq!(given, field, "{status:?}");
}

async fn get(admin: &Admin, app_id: &str) -> Result<App, Status> {
    let request = admin.request(GetAppRequest { app_id: app_id.into() });
    let got = admin.client.clone().get_app(request).await?;
    Ok(got.into_inner().app.unwrap())
}

#[tokio::test]
async fn without_the_token_nothing_is_told() {
    let cluster = Cluster::start(Shape::default()).await;
    let mut client = cluster.admin().client;
    let wrong = Admin::new(cluster.operations_address(), "wrong");
    for (list, watch, create) in [
        (
            Request::new(ListAppsRequest::default()),
            Request::new(WatchAppsRequest {}),
            Request::new(CreateAppRequest::default()),
        ),
        (
            wrong.request(ListAppsRequest::default()),
            wrong.request(WatchAppsRequest {}),
            wrong.request(CreateAppRequest::default()),
        ),
    ] {
        check(&client.list_apps(list).await.unwrap_err(), Code::Unauthenticated, "");
        check(&client.watch_apps(watch).await.unwrap_err(), Code::Unauthenticated, "");
        check(&client.create_app(create).await.unwrap_err(), Code::Unauthenticated, "");
    }
}

#[tokio::test]
async fn the_public_listener_manages_no_apps() {
    let cluster = Cluster::start(Shape::default()).await;
    let admin = Admin::new(cluster.grpc_address(), tests::cluster::ADMIN_TOKEN);
    let status = get(&admin, "app-id").await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
async fn an_app_is_created_read_changed_and_deleted() {
    let cluster = Cluster::start(Shape::default()).await;
    let admin = cluster.admin();
    let mut client = admin.client.clone();
    let request = CreateAppRequest { app: Some(named("shop")), secret: String::new() };
    let created = client.create_app(admin.request(request.clone())).await.unwrap().into_inner();
    let app = created.app.unwrap();
    assert!(!created.secret.is_empty() && !app.key.is_empty(), "both were made");
    assert!(app.revision > 0 && app.create_time.is_some());

    let again = client.create_app(admin.request(request)).await.unwrap_err();
    check(&again, Code::AlreadyExists, "app_id");
    let same_key = App { key: app.key.clone(), ..named("thief") };
    let request = CreateAppRequest { app: Some(same_key), secret: String::new() };
    let same_key = client.create_app(admin.request(request)).await.unwrap_err();
    check(&same_key, Code::AlreadyExists, "key");
    let request = CreateAppRequest { app: Some(named("bad id")), secret: String::new() };
    let bad = client.create_app(admin.request(request)).await.unwrap_err();
    check(&bad, Code::InvalidArgument, "app_id");

    let got = get(&admin, "shop").await.unwrap();
    assert_eq!(got, app);
    let delete = DeleteAppRequest { app_id: "shop".into(), ..Default::default() };
    client.delete_app(admin.request(delete.clone())).await.unwrap();
    check(&get(&admin, "shop").await.unwrap_err(), Code::NotFound, "app_id");
    let gone = client.delete_app(admin.request(delete.clone())).await.unwrap_err();
    check(&gone, Code::NotFound, "app_id");
    let missing_is_fine = DeleteAppRequest { allow_missing: true, ..delete };
    client.delete_app(admin.request(missing_is_fine)).await.unwrap();
}

#[tokio::test]
async fn a_mask_says_what_changes_and_a_revision_when() {
    let cluster = Cluster::start(Shape::default()).await;
    let admin = cluster.admin();
    let limits =
        AppLimits { connections_max: Some(7), batch_events_max: Some(3), ..AppLimits::default() };
    let created = admin.create(App { limits: Some(limits), ..named("shop") }, "").await;
    let update = async |app: App, paths: &[&str]| {
        let paths = paths.iter().map(|&path| path.to_owned()).collect();
        let update_mask = Some(FieldMask { paths });
        let request = admin.request(UpdateAppRequest { app: Some(app), update_mask });
        let updated = admin.client.clone().update_app(request).await?;
        Ok::<_, Status>(updated.into_inner().app.unwrap())
    };
    // A field in the mask and not in the app goes back to its default; others stay.
    let updated = update(named("shop"), &["limits.connections_max"]).await.unwrap();
    let limits = updated.limits.unwrap();
    assert_eq!((limits.connections_max, limits.batch_events_max), (None, Some(3)));
    assert!(updated.revision > created.revision);

    let stale = App { revision: created.revision, enabled: Some(false), ..named("shop") };
    let status = update(stale.clone(), &["enabled"]).await.unwrap_err();
    check(&status, Code::Aborted, "revision");
    let current = App { revision: updated.revision, ..stale };
    assert_eq!(update(current, &["enabled"]).await.unwrap().enabled, Some(false));

    let status = update(named("shop"), &["limits.nonsense"]).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let status = update(named("nowhere"), &["enabled"]).await.unwrap_err();
    check(&status, Code::NotFound, "app_id");
    let too_much = AppLimits { event_payload_kib_max: Some(10_241), ..AppLimits::default() };
    let too_much = App { limits: Some(too_much), ..named("shop") };
    let status = update(too_much, &["limits.event_payload_kib_max"]).await.unwrap_err();
    check(&status, Code::InvalidArgument, "limits.event_payload_kib_max");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let cluster = Cluster::start(Shape::default()).await;
    let admin = cluster.admin();
    for n in 0..25 {
        admin.create(named(&format!("shop-{n:02}")), "").await;
    }
    let mut ids = Vec::new();
    let mut page_token = String::new();
    let mut pages = 0;
    loop {
        let request = ListAppsRequest { page_size: 10, page_token };
        let page =
            admin.client.clone().list_apps(admin.request(request)).await.unwrap().into_inner();
        assert!(page.apps.len() <= 10);
        ids.extend(page.apps.into_iter().map(|app| app.app_id));
        page_token = page.next_page_token;
        pages += 1;
        if page_token.is_empty() {
            break;
        }
    }
    let mut expected: Vec<_> = (0..25).map(|n| format!("shop-{n:02}")).collect();
    expected.insert(0, "app-id".into());
    assert_eq!((ids, pages), (expected, 3));
    for (page_size, page_token, field) in [(-1, "", "page_size"), (1, "!", "page_token")] {
        let request = ListAppsRequest { page_size, page_token: page_token.into() };
        let status = admin.client.clone().list_apps(admin.request(request)).await.unwrap_err();
        check(&status, Code::InvalidArgument, field);
    }
}

#[tokio::test]
async fn secrets_rotate_at_a_revision() {
    let cluster = Cluster::start(Shape::default()).await;
    let admin = cluster.admin();
    let mut client = admin.client.clone();
    let created = admin.create(named("shop"), "first").await;
    let rotate = |revision| {
        admin.request(RotateAppSecretRequest {
            app_id: "shop".into(),
            revision,
            ..Default::default()
        })
    };
    let rotated = client.rotate_app_secret(rotate(created.revision)).await.unwrap().into_inner();
    let app = rotated.app.unwrap();
    assert!(app.previous_secret_valid && !rotated.secret.is_empty() && rotated.secret != "first");
    let stale = client.rotate_app_secret(rotate(created.revision)).await.unwrap_err();
    check(&stale, Code::Aborted, "revision");
    let retire =
        |revision| admin.request(RetireAppSecretRequest { app_id: "shop".into(), revision });
    let stale = client.retire_app_secret(retire(created.revision)).await.unwrap_err();
    check(&stale, Code::Aborted, "revision");
    let retired = client.retire_app_secret(retire(app.revision)).await.unwrap().into_inner();
    assert!(!retired.app.unwrap().previous_secret_valid);
}

#[tokio::test]
async fn a_watcher_is_told_what_is_and_then_what_changes() {
    let cluster = Cluster::start(Shape::default()).await;
    let admin = cluster.admin();
    let watch = admin.request(WatchAppsRequest {});
    let mut changes = admin.client.clone().watch_apps(watch).await.unwrap().into_inner();
    let mut next =
        async || tests::soon("a change", changes.message()).await.unwrap().unwrap().change.unwrap();
    assert!(matches!(next().await, Change::App(app) if app.app_id == "app-id"));
    assert!(matches!(next().await, Change::SnapshotEnd(_)));

    let created = admin.create(named("shop"), "").await;
    assert!(matches!(next().await, Change::App(app) if app == created));
    let disabled = admin.update(App { enabled: Some(false), ..named("shop") }).await.unwrap();
    assert!(matches!(next().await, Change::App(app) if app == disabled));
    let delete = DeleteAppRequest { app_id: "shop".into(), ..Default::default() };
    admin.client.clone().delete_app(admin.request(delete)).await.unwrap();
    assert!(matches!(next().await, Change::DeletedAppId(id) if id == "shop"));
}
