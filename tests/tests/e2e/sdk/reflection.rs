//! A gRPC client that knows no .proto file manages apps and publishes.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tests::rig::Rig;

use super::{
    in_both_layouts,
    planes::{Layout, Planes, address},
};

in_both_layouts![a_reflection_client_is_served];

async fn reflect(port: u16, arguments: &[&str]) -> (Vec<Value>, bool) {
    let address = address(port).to_string();
    Rig::python("reflect.py", &[&[&*address], arguments].concat()).finish().await
}

/// The admin API of a planes' control plane, called with the token.
async fn admin(planes: &Planes, method: &str, request: &str) -> Value {
    let token = format!("authorization: Bearer {}", planes.token.trim());
    let target = format!("carillon.v1.AppService/{method}");
    let (lines, well) = reflect(planes.operations, &["call", &target, request, "-H", &token]).await;
    assert!(well, "{method}: {lines:?}");
    lines[0]["body"].clone()
}

/// A publish as the app's backend.
async fn publish(planes: &Planes, name: &str) -> (Vec<Value>, bool) {
    let basic = format!("authorization: Basic {}", STANDARD.encode("shop-key:shop-secret"));
    let event = json!({ "name": name, "data": "x", "channels": ["room"] });
    let request = json!({ "app_id": "shop", "event": event }).to_string();
    let target = "carillon.v1.EventService/TriggerEvent";
    reflect(planes.grpc, &["call", target, &request, "-H", &basic]).await
}

async fn a_reflection_client_is_served(layout: Layout) {
    let planes = Planes::start(layout, json!({})).await;
    let (services, _) = reflect(planes.operations, &["list"]).await;
    let there = services.iter().any(|line| line["name"] == "carillon.v1.AppService");
    assert!(there, "{services:?}");
    let create = r#"{"app":{"app_id":"shop","key":"shop-key"},"secret":"shop-secret"}"#;
    assert_eq!(admin(&planes, "CreateApp", create).await["secret"], "shop-secret");
    let update = r#"{"app":{"app_id":"shop","limits":{"event_name_chars_max":5}},
                     "update_mask":{"paths":["limits.event_name_chars_max"]}}"#;
    let updated = admin(&planes, "UpdateApp", update).await;
    assert_eq!(updated["app"]["limits"]["event_name_chars_max"], 5);
    let read = admin(&planes, "GetApp", r#"{"app_id":"shop"}"#).await;
    assert_eq!(read["app"], updated["app"]);

    let (lines, well) = publish(&planes, "short").await;
    assert!(well, "{lines:?}");
    let (lines, well) = publish(&planes, "longer").await;
    assert!(!well);
    assert_eq!(lines[0]["code"], "INVALID_ARGUMENT", "{lines:?}");
    let details = lines[0]["details"].to_string();
    let told = details.contains("LIMIT_EXCEEDED") && details.contains("google.rpc.BadRequest");
    assert!(told, "{details}");

    admin(&planes, "DeleteApp", r#"{"app_id":"shop"}"#).await;
    let list = ["call", "carillon.v1.AppService/ListApps"];
    let (lines, well) = reflect(planes.operations, &list).await;
    assert!(!well);
    assert_eq!(lines[0]["code"], "UNAUTHENTICATED", "{lines:?}");
}
