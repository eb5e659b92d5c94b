//! Who may call what: one table per listener, from gRPC method to roles. What stands in no table is
//! refused.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::Response,
    middleware::{Next, from_fn_with_state},
};
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use tokio::time::Instant;
use tonic::Status;
use tracing::warn;

use super::{
    complaints::Complaints,
    identity::{Identity, Role},
    serve::Peer,
};

/// Paths of methods with the roles that may call them.
pub type Table = &'static [(&'static str, &'static [Role])];

use Role::{Admin, Control, Gateway, Node};

/// The internal listener of a control plane.
pub const INTERNAL: Table = &[
    ("/carillon.internal.v1.DispatchService/Publish", &[Gateway, Control]),
    ("/carillon.internal.v1.DispatchService/PublishBatch", &[Gateway, Control]),
    ("/carillon.internal.v1.DispatchService/ListChannels", &[Gateway, Control]),
    ("/carillon.internal.v1.DispatchService/GetChannel", &[Gateway, Control]),
    ("/carillon.internal.v1.DispatchService/ListChannelUsers", &[Gateway, Control]),
    ("/carillon.internal.v1.DispatchService/TerminateUserConnections", &[Gateway, Control]),
    ("/carillon.internal.v1.DispatchService/Attach", &[Node]),
    ("/carillon.internal.v1.DispatchService/Heartbeat", &[Gateway, Node, Control]),
    ("/carillon.internal.v1.SettingsService/Watch", &[Gateway, Node]),
    ("/carillon.internal.v1.PeerService/Follow", &[Control]),
    ("/carillon.internal.v1.PeerService/Forward", &[Control]),
    ("/carillon.internal.v1.PeerService/Tap", &[Control]),
];

/// The admin API on the operations listener. Probes and metrics are no gRPC and stand beside it.
pub const OPERATIONS: Table = &[
    ("/carillon.v1.AppService/CreateApp", &[Admin]),
    ("/carillon.v1.AppService/GetApp", &[Admin]),
    ("/carillon.v1.AppService/ListApps", &[Admin]),
    ("/carillon.v1.AppService/UpdateApp", &[Admin]),
    ("/carillon.v1.AppService/DeleteApp", &[Admin]),
    ("/carillon.v1.AppService/RotateAppSecret", &[Admin]),
    ("/carillon.v1.AppService/RetireAppSecret", &[Admin]),
    ("/carillon.v1.AppService/WatchApps", &[Admin]),
    ("/grpc.health.v1.Health/Check", &Role::ALL),
    ("/grpc.health.v1.Health/Watch", &Role::ALL),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &[Admin]),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &[Admin]),
];

/// Lets through what its table allows.
#[derive(Clone, Debug)]
pub struct Gate {
    table: Table,
    refused: Counter,
    complaints: Arc<Complaints>,
}

impl Gate {
    /// A gate that knows these methods.
    #[must_use]
    pub fn new(table: Table) -> Self {
        Self { table, refused: Counter::default(), complaints: Arc::default() }
    }

    /// Registers what it counts.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("refused", "Calls that the role may not make", self.refused.clone());
    }

    /// Puts the gate in front of all routes and the fallback.
    pub fn guard(&self, router: Router) -> Router {
        router.layer(from_fn_with_state(self.clone(), pass))
    }

    /// Whether a request may go on. On a connection in clear text nobody can be told apart: where one
    /// is allowed at all was decided when the listener was opened.
    fn check(&self, request: &Request) -> Result<(), Status> {
        let path = request.uri().path();
        let Some((_, allowed)) = self.table.iter().find(|(method, _)| *method == path) else {
            let message = format!("{path} is not known here");
            return Err(Status::unimplemented(message));
        };
        if request.extensions().get::<Peer>().is_some_and(|peer| !peer.encrypted) {
            return Ok(());
        }
        let names: Vec<_> = allowed.iter().map(|role| role.name()).collect();
        let needed = names.join(" or ");
        match request.extensions().get::<Arc<Identity>>() {
            None => {
                let message = format!("{path} needs a client certificate of the role {needed}");
                Err(Status::unauthenticated(message))
            }
            Some(who) if who.role.is_some_and(|role| allowed.contains(&role)) => Ok(()),
            Some(who) => {
                let message = format!("{path} needs the role {needed}; you are {who}");
                Err(Status::permission_denied(message))
            }
        }
    }
}

async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response<Body> {
    let Err(status) = gate.check(&request) else {
        return next.run(request).await;
    };
    gate.refused.inc();
    let peer = request.extensions().get::<Peer>().map(|peer| peer.address);
    // A refusal names who was refused, so the same one is said once, whatever port it comes from.
    if gate.complaints.is_new(status.message(), Instant::now().into_std()) {
        warn!(?peer, refused = status.message(), "a call was refused");
    }
    status.into_http()
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    /// Every method of the services whose name begins like this.
    fn methods(prefix: &str) -> Vec<String> {
        let described = FileDescriptorSet::decode(crate::DESCRIPTORS).unwrap();
        let services = described.file.iter().flat_map(|file| {
            file.service
                .iter()
                .map(|service| (format!("{}.{}", file.package(), service.name()), service))
        });
        let services = services.filter(|(name, _)| name.starts_with(prefix));
        services
            .flat_map(|(name, service)| {
                service.method.iter().map(move |method| format!("/{name}/{}", method.name()))
            })
            .collect()
    }

    #[test]
    fn every_method_stands_in_its_table() {
        for (prefix, table) in
            [("carillon.internal.v1.", INTERNAL), ("carillon.v1.AppService", OPERATIONS)]
        {
            let methods = methods(prefix);
            assert!(methods.len() >= 8, "{methods:?}");
            for method in methods {
                assert!(table.iter().any(|(known, _)| *known == method), "{method} is missing");
            }
        }
    }

    #[test]
    fn a_request_of_unknown_origin_is_a_stranger() {
        let gate = Gate::new(INTERNAL);
        let (path, roles) = INTERNAL[0];
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = path.parse().unwrap();
        assert_eq!(gate.check(&request).unwrap_err().code(), tonic::Code::Unauthenticated);
        let identity =
            Identity { role: Some(roles[0]), name: String::new(), fingerprint: String::new() };
        request.extensions_mut().insert(Arc::new(identity));
        assert!(gate.check(&request).is_ok());
    }
}
