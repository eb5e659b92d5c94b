//! Traces, as a collector gets them: one publish from the gateway to the node.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    trace::v1::Span,
};
use proto::{internal::PublishRequest, plane::traces};
use serde_json::json;
use tests::{
    chaos::lane::say,
    eventually,
    fleet::{Fleet, Order},
    grpc::event,
};
use tokio::{net::TcpListener, time::Instant};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A collector: it keeps what it gets.
#[derive(Clone, Debug, Default)]
struct Collector(Arc<Mutex<Vec<(String, Span)>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for of_process in request.into_inner().resource_spans {
            let resource = of_process.resource.unwrap_or_default();
            let named = resource.attributes.iter().find(|pair| pair.key == "service.name");
            let service = format!("{:?}", named.and_then(|pair| pair.value.clone()));
            let spans = of_process.scope_spans.into_iter().flat_map(|scope| scope.spans);
            let spans = spans.map(|span| (service.clone(), span));
            self.0.lock().unwrap().extend(spans);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn start() -> (Self, SocketAddr) {
        let collector = Self::default();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(collector.clone()))
            .serve_with_incoming(TcpListenerStream::new(tcp));
        tokio::spawn(server);
        (collector, address)
    }

    /// The spans of a trace, once there are so many.
    async fn spans(&self, trace: &str, number: usize) -> Vec<(String, Span)> {
        eventually("the spans of the trace", || async {
            let all = self.0.lock().unwrap().clone();
            let of_trace = |(_, span): &(String, Span)| hex::encode(&span.trace_id) == trace;
            let found: Vec<_> = all.into_iter().filter(of_trace).collect();
            (found.len() >= number).then_some(found)
        })
        .await
    }
}

async fn traced(share: &str) -> (Collector, Fleet) {
    let (collector, address) = Collector::start().await;
    let every =
        vec![format!("--otlp-endpoint=http://{address}"), format!("--trace-sample-ratio={share}")];
    let order = Order { gateways: 1, nodes: 1, every, ..Order::default() };
    (collector, Fleet::start(order).await)
}

fn named<'a>(spans: &'a [(String, Span)], name: &str) -> &'a (String, Span) {
    let found = spans.iter().find(|(_, span)| span.name == name);
    found.unwrap_or_else(|| panic!("{name} is not in {spans:?}"))
}

#[tokio::test]
async fn a_publish_is_one_trace_from_the_gateway_to_the_node() {
    let (collector, fleet) = traced("0").await;
    let mut client = connect(&fleet).await;
    client.subscribe("room").await;
    let event = json!({ "name": "e", "channel": "room", "data": "x" });
    let parent = "00f067aa0ba902b7";
    let call = fleet.backend(0).post("events", event.to_string());
    let call = call.header("traceparent", &format!("00-{TRACE}-{parent}-01"));
    assert_eq!(call.send().await.status, 200);
    client.expect_event("room", "e", "x").await;
    // The share is 0: only those whose caller wants it are traced.
    assert_eq!(fleet.backend(0).publish(&event).await.status, 200);
    let spans = collector.spans(TRACE, 3).await;
    let (of_gateway, gateway) = named(&spans, "gateway request");
    let (of_control_plane, control_plane) = named(&spans, "control plane publish");
    let (of_node, node) = named(&spans, "node deliver");
    assert_eq!(hex::encode(&gateway.parent_span_id), parent);
    assert_eq!(control_plane.parent_span_id, gateway.span_id);
    assert_eq!(node.parent_span_id, control_plane.span_id);
    assert!(of_gateway.contains("carillon-gateway"), "{of_gateway}");
    assert!(of_control_plane.contains("carillon-control-plane"), "{of_control_plane}");
    assert!(of_node.contains("carillon-data-plane"), "{of_node}");
    assert!(gateway.start_time_unix_nano <= control_plane.start_time_unix_nano);
    assert!(control_plane.start_time_unix_nano <= node.start_time_unix_nano);
    assert!(node.end_time_unix_nano <= control_plane.end_time_unix_nano + 50_000_000);
    assert_eq!(collector.0.lock().unwrap().len(), 3, "nothing else was traced");
}

#[tokio::test]
async fn a_publish_over_grpc_is_traced_too() {
    let (collector, fleet) = traced("0").await;
    let mut client = connect(&fleet).await;
    client.subscribe("room").await;
    let mut events = fleet.events();
    let message = proto::v1::TriggerEventRequest {
        app_id: events.credentials.app_id.clone(),
        event: Some(event(&["room"], "e", "x")),
    };
    let mut request = events.basic(message);
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    request.metadata_mut().insert("traceparent", parent.parse().unwrap());
    events.client.trigger_event(request).await.unwrap();
    let spans = collector.spans(TRACE, 2).await;
    let (_, control_plane) = named(&spans, "control plane publish");
    assert_eq!(named(&spans, "node deliver").1.parent_span_id, control_plane.span_id);
}

#[tokio::test]
async fn the_share_decides_where_the_caller_does_not() {
    let (collector, fleet) = traced("1").await;
    let mut client = connect(&fleet).await;
    client.subscribe("room").await;
    fleet.backend(0).publish_text("room", "e", "x").await;
    let trace = eventually("a span", || async {
        let spans = collector.0.lock().unwrap();
        spans.first().map(|(_, span)| hex::encode(&span.trace_id))
    });
    let spans = collector.spans(&trace.await, 3).await;
    assert!(named(&spans, "gateway request").1.parent_span_id.is_empty());
}

async fn connect(fleet: &Fleet) -> tests::client::Client {
    let credentials = tests::rest::Credentials::default();
    tests::client::Client::connect(fleet.node_addresses()[0], &credentials).await
}

/// Without a collector a span is a look at a flag, and an event carries an empty text.
#[test]
fn nothing_is_spent_where_nothing_is_traced() {
    const SPANS: u32 = 1_000_000;
    let request = PublishRequest::default();
    let began = Instant::now();
    for _ in 0..SPANS {
        let mut root = traces::Span::root("gateway request", std::hint::black_box(None));
        root.set("http.route", || "/apps/{app_id}/events");
        let parent = std::hint::black_box(root.traceparent());
        let child = traces::Span::child("control plane publish", std::hint::black_box(&parent));
        std::hint::black_box(child.traceparent());
    }
    let each = began.elapsed() / SPANS;
    say(&format!("a publish spends {each:?} on tracing that is off"));
    assert!(each.as_nanos() < 2_000, "{each:?}");
    assert_eq!(prost::Message::encoded_len(&request), 0, "and no byte on the wire");
}
