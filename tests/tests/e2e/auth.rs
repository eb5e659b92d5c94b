//! Who may publish: both forms of the signature, against the running gateway.

use serde_json::json;
use tests::{
    cluster::{Cluster, Shape},
    rest::{Backend, Call, unix_seconds},
};

const BODY: &str = r#"{"name":"e","channel":"room","data":"x"}"#;

async fn check(call: Call, status: u16) -> String {
    let answer = call.send().await;
    assert_eq!(answer.status, status, "{answer:?}");
    if status == 401 {
        assert_eq!(answer.json()["code"], "auth_failed");
    }
    answer.text
}

fn call(backend: &Backend) -> Call {
    backend.call(BODY)
}

#[tokio::test]
async fn both_forms_are_accepted() {
    let cluster = Cluster::start(Shape::default()).await;
    let backend = cluster.backend(0);
    check(call(&backend), 200).await;
    check(call(&backend).header_form(), 200).await;
    // Whatever else is in the query is signed too.
    check(call(&backend).set("Extra", "A@b,c;d=e").set("empty", " ".trim()), 200).await;
    // A header that a proxy added does not matter where the query is complete.
    check(call(&backend).header("authorization", "Bearer of-a-proxy"), 200).await;
}

#[tokio::test]
async fn a_call_that_is_not_signed_is_401() {
    let cluster = Cluster::start(Shape::default()).await;
    let backend = cluster.backend(0);
    check(call(&backend).unsigned(), 401).await;
    for parameter in ["auth_key", "auth_timestamp", "auth_version", "body_md5"] {
        check(call(&backend).without(parameter), 401).await;
        check(call(&backend).set(parameter, ""), 401).await;
    }
    check(call(&backend).header_form().without("auth_timestamp"), 401).await;
    check(call(&backend).set("auth_signature", "0".repeat(64)), 401).await;
    check(call(&backend).set("auth_signature", "short"), 401).await;
    check(call(&backend).unsigned().header("authorization", "Bearer token"), 401).await;
    check(call(&backend).set("auth_version", "1.1"), 401).await;
    check(call(&backend).set("body_md5", "0".repeat(32)), 401).await;
}

#[tokio::test]
async fn key_and_secret_must_be_the_apps_own() {
    let cluster = Cluster::start(Shape::default()).await;
    let other = serde_json::from_value(json!({ "app_id": "other", "key": "other-key" })).unwrap();
    cluster.admin().create(other, "other-secret").await;
    let backend = cluster.backend(0);
    check(call(&backend.with(|who| who.key = "unknown".into())), 401).await;
    check(call(&backend.with(|who| who.secret = "guessed".into())), 401).await;
    let cross = backend.with(|who| {
        who.key = "other-key".into();
        who.secret = "other-secret".into();
    });
    check(call(&cross), 401).await;
    check(call(&cross).header_form(), 401).await;
}

#[tokio::test]
async fn a_timestamp_may_be_ten_minutes_off() {
    let cluster = Cluster::start(Shape::default()).await;
    let backend = cluster.backend(0);
    let now = unix_seconds();
    // The clock may tick between here and the gateway; the exact bound is tested with a fixed one.
    for good in [now - 595, now + 600] {
        check(call(&backend).set("auth_timestamp", good), 200).await;
    }
    for bad in [now - 601, now + 620] {
        let text = check(call(&backend).set("auth_timestamp", bad), 401).await;
        assert!(text.contains(&bad.to_string()), "{text}");
    }
    for nonsense in ["abc", "-1", "1.5", "99999999999999999999999"] {
        check(call(&backend).set("auth_timestamp", nonsense), 401).await;
    }
}

#[tokio::test]
async fn the_body_must_be_the_one_that_was_signed() {
    let cluster = Cluster::start(Shape::default()).await;
    let backend = cluster.backend(0);
    let mut client = cluster.client(0).await;
    client.subscribe("room").await;
    let md5_of_another = "0123456789abcdef0123456789abcdef";
    check(call(&backend).set("body_md5", md5_of_another), 401).await;
    client.expect_nothing().await;
    // An empty body needs no MD5; it is then no event.
    check(backend.call("").without("body_md5"), 400).await;
    check(backend.call(""), 400).await;
    check(backend.call("").set("body_md5", md5_of_another), 401).await;
}

#[tokio::test]
async fn both_secrets_are_valid_while_a_rotation_is_under_way() {
    let cluster = Cluster::start(Shape::default()).await;
    let (admin, old) = (cluster.admin(), cluster.backend(0));
    let new = old.with(|who| who.secret = "new-secret".into());
    let rotate = proto::v1::RotateAppSecretRequest {
        app_id: "app-id".into(),
        secret: "new-secret".into(),
        ..Default::default()
    };
    admin.client.clone().rotate_app_secret(admin.request(rotate)).await.unwrap();
    let accepted = || async { (call(&new).send().await.status == 200).then_some(()) };
    tests::eventually("the new secret", accepted).await;
    check(call(&old), 200).await;
    let retire =
        proto::v1::RetireAppSecretRequest { app_id: "app-id".into(), ..Default::default() };
    admin.client.clone().retire_app_secret(admin.request(retire)).await.unwrap();
    let refused = || async { (call(&old).send().await.status == 401).then_some(()) };
    tests::eventually("the old secret is refused", refused).await;
    check(call(&new), 200).await;
}
