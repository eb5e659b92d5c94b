//! Logs: one JSON object per line, with ids that lead from plane to plane, and never a secret.

use serde_json::{Value, json};
use tests::{
    client::Client,
    eventually,
    fleet::{Fleet, Order},
    grpc::event,
    rest::Credentials,
};

/// Texts that no log may have.
const WEBHOOK_HEADER: &str = "webhook-header-hush";
const SECOND_SECRET: &str = "second-secret-hush";
const USER_DATA: &str = "user-data-hush";

/// A fleet in which much has happened, a client that is still there, and what nobody may log.
async fn busy() -> (Fleet, Client, Vec<String>) {
    let every = vec!["--log-format=json".to_owned(), "--log-level=debug".to_owned()];
    let app = json!({
        "features": { "client_events": true },
        "webhooks": [{ "url": "http://127.0.0.1:9/hook", "headers": { "x-token": WEBHOOK_HEADER } }],
    });
    let app = serde_json::from_value(app).unwrap();
    let order = Order { gateways: 1, nodes: 1, app, every, ..Order::default() };
    let fleet = Fleet::start(order).await;
    let credentials = Credentials::default();
    let mut client = Client::connect(fleet.node_addresses()[0], &credentials).await;
    client.subscribe("private-room").await;
    let auth = client.auth("private-room");
    let signature = auth.split(':').nth(1).unwrap_or_default().to_owned();
    let sign_in = json!({ "auth": "x:forged-hush", "user_data": USER_DATA });
    client.send(&json!({ "event": "pusher:signin", "data": sign_in })).await;
    let data = json!({ "event": "client-e", "channel": "private-room", "data": "x" });
    client.send(&data).await;
    let backend = fleet.backend(0);
    backend.publish_text("private-room", "e", "x").await;
    let forged = backend.with(|own| own.secret = "forged-secret-hush".to_owned());
    let refused = forged.publish(&json!({ "name": "e", "channel": "a", "data": "x" })).await;
    assert_eq!(refused.status, 401);
    fleet.events().trigger(event(&["private-room"], "e", "x")).await.unwrap();
    let mut admin = fleet.admin();
    let rotate = proto::v1::RotateAppSecretRequest {
        app_id: credentials.app_id,
        secret: SECOND_SECRET.to_owned(),
        revision: 0,
    };
    let rotate = admin.request(rotate);
    admin.client.rotate_app_secret(rotate).await.unwrap();
    let secrets = [
        &credentials.secret,
        &signature,
        tests::cluster::ADMIN_TOKEN,
        WEBHOOK_HEADER,
        SECOND_SECRET,
        USER_DATA,
        "forged-secret-hush",
        "forged-hush",
        "auth_signature=",
    ];
    (fleet, client, secrets.map(str::to_owned).into())
}

fn lines(fleet: &Fleet) -> Vec<(String, Value)> {
    let of_log = |(name, text): (String, String)| -> Vec<_> {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        };
        // The last line may be half written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| (name.clone(), parse(line))).collect()
    };
    fleet.logs().into_iter().flat_map(of_log).collect()
}

#[tokio::test]
async fn a_busy_run_logs_no_secret() {
    let (fleet, _client, secrets) = busy().await;
    let rotated = || async {
        let logs = fleet.logs();
        logs.iter()
            .any(|(_, text)| {
                text.contains("\"target\":\"audit\"") && text.contains("RotateAppSecret")
            })
            .then_some(())
    };
    eventually("the last thing that happened is in the log", rotated).await;
    let logs = fleet.logs();
    assert_eq!(logs.len(), 3);
    for (name, text) in &logs {
        assert!(!text.is_empty(), "{name} has logged something");
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{name} has logged {secret}");
        }
    }
}

#[tokio::test]
async fn one_id_leads_from_the_request_to_the_node() {
    let (fleet, _client, _) = busy().await;
    let event = json!({ "name": "e", "channel": "private-room", "data": "x" });
    let call = fleet.backend(0).post("events", event.to_string());
    let answer = call.header("x-request-id", "order-4711").send().await;
    // The secret has been rotated, and the first one is valid still.
    assert_eq!((answer.status, answer.header("x-request-id")), (200, "order-4711"));
    let found = eventually("the request in three logs", || async {
        let lines = lines(&fleet);
        let field = |line: &Value, name: &str| line["fields"][name].as_str().map(str::to_owned);
        let request = lines
            .iter()
            .find(|(_, line)| field(line, "request_id").as_deref() == Some("order-4711"))?;
        let id = field(&request.1, "message_id")?;
        let named = lines.iter().filter(|(_, line)| field(line, "message_id") == Some(id.clone()));
        let planes: Vec<_> = named.map(|(plane, _)| plane.clone()).collect();
        let all = ["gateway-0", "control-plane", "node-0"];
        all.iter().all(|plane| planes.iter().any(|named| named == plane)).then_some(request.clone())
    });
    let (_, line) = found.await;
    assert_eq!(line["fields"]["status"], 200);
    assert_eq!(line["fields"]["path"], "/apps/app-id/events");
    assert_eq!(line["fields"]["app_id"], "app-id");
}
