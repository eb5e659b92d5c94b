//! Publishing over gRPC: three ways, two kinds of credentials, errors with details, flow control.

use std::time::Duration;

use prost::Message as _;
use proto::v1::{
    EventInfo, TriggerEventBatchRequest, TriggerEventRequest, TriggerEventStreamRequest,
    event_service_client::EventServiceClient, trigger_event_stream_response::Outcome,
};
use serde_json::json;
use tests::{
    cluster::{Cluster, Shape},
    grpc::{Events, event, link, with},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::{v1, v1alpha};
use tonic_types::StatusExt as _;

/// A refusal: code, reason, and the field at fault.
fn check(status: &Status, code: Code, reason: &str, field: &str) {
    assert_eq!(status.code(), code, "{status:?}");
    let details = status.get_error_details();
    let info = details.error_info().expect("an ErrorInfo");
    assert_eq!((&*info.domain, &*info.reason), ("carillon", reason), "{status:?}");
    let violations = details.bad_request().map(|bad| &bad.field_violations[..]);
    let given = violations.unwrap_or_default().first().map_or("", |violation| &violation.field);
    assert_eq!(given, field, "{status:?}");
}

#[tokio::test]
async fn an_event_reaches_every_node_and_is_counted() {
    let cluster = Cluster::start(Shape::wide()).await;
    let events = cluster.events();
    let mut clients = [cluster.client(0).await, cluster.client(1).await, cluster.client(2).await];
    for client in &mut clients {
        client.subscribe("room").await;
    }
    let mut counted = event(&["room", "nobody"], "e", "héllo");
    counted.info = Some(EventInfo { subscription_count: true, user_count: false });
    counted.socket_id.clone_from(&clients[2].socket_id);
    let answer = events.trigger(counted).await.unwrap();
    let counts: Vec<_> = answer
        .channels
        .iter()
        .map(|info| (&*info.channel, info.subscription_count, info.user_count))
        .collect();
    assert_eq!(counts, [("room", Some(3), None), ("nobody", Some(0), None)]);
    assert_eq!(answer.rate_limit, None);
    for client in &mut clients[..2] {
        client.expect_event("room", "e", "héllo").await;
    }
    clients[2].expect_nothing().await;
    let answer = events.trigger(event(&["room"], "e", "x")).await.unwrap();
    assert!(answer.channels.is_empty(), "nothing was asked for");
}

#[tokio::test]
async fn refusals_name_the_field() {
    let cluster = Cluster::start(Shape::default()).await;
    let events = cluster.events();
    let no_data = proto::v1::Event { data: None, ..event(&["room"], "e", "") };
    let many: Vec<String> = (0..101).map(|n| format!("c{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (bad, reason, field) in [
        (event(&["room"], "", "x"), "INVALID_INPUT", "name"),
        (event(&["room"], &"n".repeat(201), "x"), "LIMIT_EXCEEDED", "name"),
        (event(&["room"], "client-e", "x"), "INVALID_INPUT", "name"),
        (no_data, "INVALID_INPUT", "data"),
        (event(&[], "e", "x"), "MISSING_CHANNEL_INFO", "channels"),
        (event(&many, "e", "x"), "LIMIT_EXCEEDED", "channels"),
        (event(&["room", "bad name"], "e", "x"), "INVALID_INPUT", "channels"),
        (event(&["room"], "e", &"x".repeat(102_401)), "PAYLOAD_TOO_LARGE", "data"),
    ] {
        let status = events.trigger(bad).await.unwrap_err();
        check(&status, Code::InvalidArgument, reason, field);
    }
    let at_limit = event(&many[..100], &"n".repeat(200), &"x".repeat(102_400));
    events.trigger(at_limit).await.unwrap();
}

#[tokio::test]
async fn over_the_rate_the_caller_is_told_when_to_try_again() {
    let shape = Shape::default().app(json!({ "limits": { "backend_events_per_second": 2 } }));
    let cluster = Cluster::start(shape).await;
    let events = cluster.events();
    let answer = events.trigger(event(&["a", "b"], "e", "x")).await.unwrap();
    let quota = answer.rate_limit.unwrap();
    assert_eq!((quota.limit, quota.remaining), (2, 0));
    let status = events.trigger(event(&["a", "b"], "e", "x")).await.unwrap_err();
    check(&status, Code::ResourceExhausted, "RATE_LIMITED", "");
    let retry = status.get_error_details().retry_info().unwrap().retry_delay.unwrap();
    assert!(retry > Duration::ZERO && retry <= Duration::from_secs(1), "{retry:?}");
}

#[tokio::test]
async fn callers_prove_who_they_are() {
    let cluster = Cluster::start(Shape::default()).await;
    let events = cluster.events();
    let message =
        TriggerEventRequest { app_id: "app-id".into(), event: Some(event(&["room"], "e", "x")) };
    let call = async |request: Request<TriggerEventRequest>| {
        let mut client = events.client.clone();
        client.trigger_event(request).await.map(|_| ())
    };
    call(events.basic(message.clone())).await.unwrap();
    call(events.signed("TriggerEvent", message.clone())).await.unwrap();

    let impostor = |change: fn(&mut tests::rest::Credentials)| {
        let mut impostor = events.clone();
        change(&mut impostor.credentials);
        impostor
    };
    let wrong_key = impostor(|who| who.key = "other-key".into());
    let wrong_secret = impostor(|who| who.secret = "guessed".into());
    let of_another = hex::encode([0_u8; 16]);
    for refused in [
        Request::new(message.clone()),
        wrong_key.basic(message.clone()),
        wrong_secret.basic(message.clone()),
        wrong_key.signed("TriggerEvent", message.clone()),
        wrong_secret.signed("TriggerEvent", message.clone()),
        events.signed("TriggerEventBatch", message.clone()),
        events.signed_with("TriggerEvent", message.clone(), None),
        events.signed_with("TriggerEvent", message.clone(), Some(&of_another)),
        with(message.clone(), &[("authorization", "Bearer x")]),
        with(message.clone(), &[("authorization", "Basic !!!")]),
    ] {
        let shown = format!("{:?}", refused.metadata());
        let status = call(refused).await.expect_err(&shown);
        check(&status, Code::Unauthenticated, "AUTH_FAILED", "");
    }
    let elsewhere = TriggerEventRequest { app_id: "nowhere".into(), ..message };
    let status = call(events.basic(elsewhere)).await.unwrap_err();
    check(&status, Code::NotFound, "APP_NOT_FOUND", "app_id");
}

#[tokio::test]
async fn a_disabled_app_may_not_publish() {
    let cluster = Cluster::start(Shape::default().app(json!({ "enabled": false }))).await;
    let status = cluster.events().trigger(event(&["room"], "e", "x")).await.unwrap_err();
    check(&status, Code::PermissionDenied, "FORBIDDEN", "app_id");
}

#[tokio::test]
async fn a_batch_is_published_in_order_or_not_at_all() {
    let cluster = Cluster::start(Shape::wide()).await;
    let events = cluster.events();
    let mut client = cluster.client(1).await;
    client.subscribe("room").await;
    let call = async |batch: Vec<proto::v1::Event>| {
        let request = TriggerEventBatchRequest { app_id: "app-id".into(), events: batch };
        let request = events.signed("TriggerEventBatch", request);
        events.client.clone().trigger_event_batch(request).await
    };
    let batch = |count: usize| -> Vec<_> {
        (0..count).map(|n| event(&["room"], "e", &n.to_string())).collect()
    };
    let mut ten = batch(10);
    ten[3].info = Some(EventInfo { subscription_count: true, user_count: false });
    let answer = call(ten).await.unwrap().into_inner();
    assert_eq!(answer.results.len(), 10);
    for (place, result) in answer.results.iter().enumerate() {
        assert_eq!(result.channels.len(), usize::from(place == 3));
    }
    for n in 0..10 {
        client.expect_event("room", "e", &n.to_string()).await;
    }
    let status = call(batch(11)).await.unwrap_err();
    check(&status, Code::InvalidArgument, "LIMIT_EXCEEDED", "batch");
    let mut bad = batch(3);
    bad[2].name = String::new();
    let status = call(bad).await.unwrap_err();
    check(&status, Code::InvalidArgument, "INVALID_INPUT", "batch[2].name");
    client.expect_nothing().await;
}

fn on_stream(event: proto::v1::Event) -> TriggerEventStreamRequest {
    TriggerEventStreamRequest { app_id: "app-id".into(), event: Some(event) }
}

#[tokio::test]
async fn a_stream_has_many_in_flight_and_answers_in_order() {
    const EVENTS: usize = 5_000;
    let cluster = Cluster::start(Shape::wide()).await;
    let events = cluster.events();
    let mut client = cluster.client(2).await;
    client.subscribe("room").await;
    // Every tenth one is refused, and the stream goes on.
    let requests = tokio_stream::iter((0..EVENTS).map(|n| {
        let name = if n % 10 == 9 { "client-e" } else { "e" };
        on_stream(event(&["room"], name, &n.to_string()))
    }));
    let request = events.signed_with("TriggerEventStream", requests, None);
    let mut answers =
        events.client.clone().trigger_event_stream(request).await.unwrap().into_inner();
    let answered = async {
        for n in 0..EVENTS {
            let answer = answers.message().await.unwrap().expect("an answer for each");
            match answer.outcome.unwrap() {
                Outcome::Response(_) => assert_ne!(n % 10, 9, "{n}"),
                Outcome::Error(error) => {
                    assert_eq!(n % 10, 9, "{n}: {error:?}");
                    assert_eq!(error.code, Code::InvalidArgument as i32);
                    assert_eq!(error.details.len(), 2, "an ErrorInfo and a BadRequest");
                }
            }
        }
        assert!(answers.message().await.unwrap().is_none(), "no more than one for each");
    };
    let received = async {
        for n in (0..EVENTS).filter(|n| n % 10 != 9) {
            client.expect_event("room", "e", &n.to_string()).await;
        }
    };
    tokio::join!(answered, received);
}

#[tokio::test]
async fn a_stream_is_one_apps_alone() {
    let cluster = Cluster::start(Shape::default()).await;
    let events = cluster.events();
    let mut requests = vec![on_stream(event(&["room"], "e", "1")); 3];
    requests[1].app_id = "other".into();
    requests[2].app_id = String::new();
    let request = events.basic(tokio_stream::iter(requests));
    let mut answers =
        events.client.clone().trigger_event_stream(request).await.unwrap().into_inner();
    let mut next = async || answers.message().await.unwrap().unwrap().outcome.unwrap();
    assert!(matches!(next().await, Outcome::Response(_)));
    assert!(matches!(next().await, Outcome::Error(_)));
    assert!(matches!(next().await, Outcome::Response(_)));

    let request = Request::new(tokio_stream::iter([on_stream(event(&["room"], "e", "1"))]));
    let status = events.client.clone().trigger_event_stream(request).await.unwrap_err();
    check(&status, Code::Unauthenticated, "AUTH_FAILED", "");
}

/// Sends until nothing is taken for a while; returns how many were taken.
async fn push_until_stuck(sender: &mpsc::Sender<TriggerEventStreamRequest>, data: &str) -> usize {
    for sent in 0..200_000 {
        let message = on_stream(event(&["room"], "e", data));
        let taken = tokio::time::timeout(Duration::from_millis(500), sender.send(message));
        match taken.await {
            Ok(taken) => taken.expect("the stream is open"),
            Err(_) => return sent,
        }
    }
    panic!("a caller that reads no answers was never made to wait");
}

#[tokio::test]
async fn a_caller_that_reads_no_answers_is_not_read_from() {
    let cluster = Cluster::start(Shape::default()).await;
    let mut events = cluster.events();
    // Small windows: a caller with large ones is given thousands of answers in advance.
    let endpoint = Endpoint::from_shared(format!("http://{}", cluster.grpc_address())).unwrap();
    let endpoint =
        endpoint.initial_stream_window_size(16 << 10).initial_connection_window_size(4 << 20);
    let mut client = EventServiceClient::new(endpoint.connect_lazy());
    for data in ["x", &"x".repeat(1_000)] {
        let (sender, receiver) = mpsc::channel(1);
        let request = events.basic(ReceiverStream::new(receiver));
        sender.send(on_stream(event(&["room"], "e", "first"))).await.unwrap();
        let mut answers = client.trigger_event_stream(request).await.unwrap().into_inner();
        let sent = push_until_stuck(&sender, data).await;
        drop(sender);
        // When the answers are read at last, there is one for each.
        let mut answered = 0;
        while let Some(answer) = answers.message().await.unwrap() {
            assert!(matches!(answer.outcome, Some(Outcome::Response(_))));
            answered += 1;
        }
        assert_eq!(answered, sent + 1, "those taken, and the first");
    }
    // Others were served meanwhile, and are.
    events.client = EventServiceClient::new(link(cluster.grpc_address()));
    events.trigger(event(&["room"], "e", "x")).await.unwrap();
}

#[tokio::test]
async fn health_and_reflection_are_on_both_listeners() {
    let cluster = Cluster::start(Shape::default()).await;
    for (address, service) in [
        (cluster.grpc_address(), "carillon.v1.EventService"),
        (cluster.operations_address(), "carillon.v1.AppService"),
    ] {
        let request = HealthCheckRequest { service: service.into() };
        let health = HealthClient::new(link(address)).check(request).await.unwrap();
        assert_eq!(health.into_inner().status(), ServingStatus::Serving);
        assert!(services_v1(address).await.contains(&service.to_owned()));
        assert!(services_v1alpha(address).await.contains(&service.to_owned()));
    }
}

async fn services_v1(address: std::net::SocketAddr) -> Vec<String> {
    use v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(link(address));
    let answers = client.server_reflection_info(tokio_stream::iter([request])).await;
    let answer = answers.unwrap().into_inner().message().await.unwrap().unwrap();
    match answer.message_response {
        Some(MessageResponse::ListServicesResponse(list)) => {
            list.service.into_iter().map(|service| service.name).collect()
        }
        other => panic!("{other:?}"),
    }
}

async fn services_v1alpha(address: std::net::SocketAddr) -> Vec<String> {
    use v1alpha::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(link(address));
    let answers = client.server_reflection_info(tokio_stream::iter([request])).await;
    let answer = answers.unwrap().into_inner().message().await.unwrap().unwrap();
    match answer.message_response {
        Some(MessageResponse::ListServicesResponse(list)) => {
            list.service.into_iter().map(|service| service.name).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_size_of_a_message_is_that_of_the_largest_payload() {
    let shape = Shape::default().app(json!({ "limits": { "event_payload_kib_max": 10_240 } }));
    let cluster = Cluster::start(shape).await;
    let events: Events = cluster.events();
    let largest = event(&["room"], "e", &"x".repeat(10 << 20));
    assert!(largest.encoded_len() > 10 << 20);
    events.trigger(largest).await.unwrap();
    let over = event(&["room"], "e", &"x".repeat((10 << 20) + 1));
    let status = events.trigger(over).await.unwrap_err();
    check(&status, Code::InvalidArgument, "PAYLOAD_TOO_LARGE", "data");
}
