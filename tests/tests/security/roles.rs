//! Every role at every method, over real connections.

use proto::plane::identity::Role;
use tonic::Code;

use crate::{
    authority::Wanted,
    planes::{Planes, call},
};

/// Who may call what: written down once more, so that a change of the table is a decision.
const EXPECTED: [(&str, &str); 11] = [
    ("DispatchService/Publish", "gateway control"),
    ("DispatchService/PublishBatch", "gateway control"),
    ("DispatchService/ListChannels", "gateway control"),
    ("DispatchService/GetChannel", "gateway control"),
    ("DispatchService/ListChannelUsers", "gateway control"),
    ("DispatchService/TerminateUserConnections", "gateway control"),
    ("DispatchService/Attach", "node"),
    ("DispatchService/Heartbeat", "gateway node control"),
    ("SettingsService/Watch", "gateway node"),
    ("PeerService/Follow", "control"),
    ("PeerService/Forward", "control"),
];

#[tokio::test]
async fn a_role_calls_what_its_table_says_and_nothing_else() {
    let planes = Planes::start().await;
    for role in Role::ALL {
        let link = planes.link(role.name(), role);
        for (method, roles) in EXPECTED {
            let path = format!("/carillon.internal.v1.{method}");
            let status = call(&link, &path).await.unwrap();
            let refused = status == Some(Code::PermissionDenied);
            let allowed = roles.split(' ').any(|name| name == role.name());
            assert_eq!(refused, !allowed, "{role} calls {method}: {status:?}");
            assert_ne!(status, Some(Code::Unauthenticated), "{role} calls {method}");
        }
    }
}

#[tokio::test]
async fn a_refusal_names_the_method_the_role_and_the_roles_that_may() {
    let planes = Planes::start().await;
    let link = planes.link("node", Role::Node);
    let mut client = proto::internal::dispatch_service_client::DispatchServiceClient::new(link);
    let request = proto::internal::PublishRequest::default();
    let status = client.publish(request).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    for word in ["/carillon.internal.v1.DispatchService/Publish", "role node", "gateway or control"]
    {
        assert!(status.message().contains(word), "{word}: {status}");
    }
}

#[tokio::test]
async fn what_stands_in_no_table_is_refused_to_everybody() {
    let planes = Planes::start().await;
    let link = planes.link("control", Role::Control);
    for path in [
        "/carillon.internal.v1.DispatchService/Nothing",
        "/carillon.internal.v1.DispatchService/publish",
        "/carillon.internal.v1.DispatchService/Publish/",
        "/carillon.v1.AppService/ListApps",
        "/carillon.v1.EventService/Publish",
        "/grpc.health.v1.Health/Check",
        "/",
    ] {
        assert_eq!(call(&link, path).await.unwrap(), Some(Code::Unimplemented), "{path}");
    }
}

#[tokio::test]
async fn a_certificate_without_a_role_or_with_two_may_call_nothing() {
    let planes = Planes::start().await;
    let two = vec![Role::Gateway.uri(), Role::Node.uri()];
    let odd = vec!["spiffe://carillon/role/root".to_owned()];
    for (name, wanted) in [
        ("none", Wanted::without_role()),
        ("two", Wanted { uris: two, expired: false }),
        ("odd", Wanted { uris: odd, expired: false }),
    ] {
        let link = planes.link(name, wanted);
        for (method, _) in EXPECTED {
            let path = format!("/carillon.internal.v1.{method}");
            let status = call(&link, &path).await.unwrap();
            assert_eq!(status, Some(Code::PermissionDenied), "{name} calls {method}");
        }
    }
}
