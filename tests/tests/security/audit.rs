//! The operations listener under TLS, and the line that each change of an app leaves behind.

use proto::{
    link,
    plane::{identity::Role, mtls::Mtls},
    v1::{ListAppsRequest, app_service_client::AppServiceClient},
};
use serde_json::Value;
use tests::grpc::with;
use tonic::{
    Code,
    transport::{Certificate, ClientTlsConfig, Endpoint},
};
use tower::ServiceExt as _;

use crate::programs::{Programs, TOKEN};

/// The audit lines that the control plane has written, which logs nothing else but errors.
fn lines(programs: &Programs) -> Vec<Value> {
    let log = std::fs::read_to_string(programs.folder.path().join("certificates/control.log"));
    let log = log.unwrap();
    assert!(!log.contains(TOKEN) && !log.contains("first-secret"), "{log}");
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let audit = lines.filter(|line| line["target"] == "audit").map(|line| line["fields"].clone());
    audit.filter(|fields| fields["app_id"] == "shop").collect()
}

#[tokio::test]
async fn every_change_leaves_one_line_that_says_who_and_what_and_no_secret() {
    let programs = Programs::start().await;
    let create = ["create", "shop", "--key", "shop-key", "--secret", "first-secret"];
    programs.admin.apps("admin", &create).await.unwrap();
    programs.admin.apps("admin", &create).await.unwrap_err();
    let limits = r#"{"limits":{"connections_max":7}}"#;
    programs.admin.apps("admin", &["update", "shop", limits]).await.unwrap();
    programs.admin.apps("admin", &["update", "shop", limits, "--revision", "1"]).await.unwrap_err();
    let rotated = programs.admin.apps("admin", &["rotate-secret", "shop"]).await.unwrap();
    let rotated: Value = serde_json::from_str(&rotated).unwrap();
    programs.admin.apps("admin", &["retire-secret", "shop"]).await.unwrap();
    programs.admin.apps("admin", &["get", "shop"]).await.unwrap();
    programs.admin.apps("admin", &["list"]).await.unwrap();
    programs.admin.apps("admin", &["delete", "shop"]).await.unwrap();

    let lines = lines(&programs);
    let of = |name: &str| -> Vec<String> {
        let text = |line: &Value| line[name].as_str().map(str::to_owned);
        lines.iter().map(|line| text(line).unwrap_or_else(|| line[name].to_string())).collect()
    };
    let methods = [
        "CreateApp",
        "CreateApp",
        "UpdateApp",
        "UpdateApp",
        "RotateAppSecret",
        "RetireAppSecret",
        "DeleteApp",
    ];
    assert_eq!(of("method"), methods);
    let outcomes = ["ok", "already_exists", "ok", "conflict", "ok", "ok", "ok"];
    assert_eq!(of("outcome"), outcomes);
    assert_eq!(of("field"), ["", "app_id", "", "revision", "", "", ""]);
    assert_eq!(of("app_id"), ["shop"; 7]);
    assert_eq!(of("role"), ["admin"; 7]);
    assert_eq!(of("name"), ["carillon admin"; 7]);
    let (from, to) = (of("from"), of("to"));
    assert_eq!((&*from[0], &*to[6]), ("0", "0"), "there was none before, and is none after");
    for (earlier, later) in [(0, 2), (2, 4), (4, 5), (5, 6)] {
        assert_eq!(to[earlier], from[later], "{from:?} {to:?}");
    }
    assert_eq!(of("paths")[2], "limits.connections_max");
    for line in &lines {
        assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
        assert_eq!(line["token"].as_str().unwrap().len(), 8, "the beginning of a digest");
        assert!(!line.to_string().contains(rotated["secret"].as_str().unwrap()));
    }
}

#[tokio::test]
async fn the_admin_api_needs_the_role_and_the_token_and_probes_need_neither() {
    let programs = Programs::start().await;
    for role in [Role::Gateway, Role::Node, Role::Control] {
        let refused = programs.admin.apps(role.name(), &["list"]).await.unwrap_err();
        assert!(refused.contains(&format!("role {role}")), "{refused}");
    }
    let mtls = Mtls::follow(programs.files(Role::Admin)).unwrap();
    let link = link::secure(&programs.admin.url(), &mtls).unwrap();
    let list = |authorization: &str| {
        let request = with(ListAppsRequest::default(), &[("authorization", authorization)]);
        let mut client = AppServiceClient::new(link.clone());
        async move { client.list_apps(request).await }
    };
    list(&format!("Bearer {TOKEN}")).await.unwrap();
    assert_eq!(list("Bearer wrong").await.unwrap_err().code(), Code::Unauthenticated);

    let ca = std::fs::read(programs.files(Role::Admin).authority).unwrap();
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
    let endpoint = Endpoint::from_shared(programs.admin.url()).unwrap();
    let stranger = endpoint.tls_config(tls).unwrap().connect().await.unwrap();
    for path in ["/livez", "/readyz", "/metrics"] {
        let request = http::Request::get(format!("{}{path}", programs.admin.url()));
        let request = request.body(tonic::body::Body::empty()).unwrap();
        assert_eq!(stranger.clone().oneshot(request).await.unwrap().status(), 200, "{path}");
    }
    let authorization = format!("Bearer {TOKEN}");
    let request = with(ListAppsRequest::default(), &[("authorization", &authorization)]);
    let refused = AppServiceClient::new(stranger).list_apps(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(refused.message().contains("role admin"), "{refused}");
}
