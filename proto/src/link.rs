//! How one plane calls another: one type, whether the other is across the network or in this process.

use std::{convert::Infallible, time::Duration};

use tonic::{
    body::Body,
    transport::{Channel, Endpoint},
};
use tower::{Service, ServiceExt as _, util::BoxCloneSyncService};

/// A gRPC connection to a plane; cheap to clone.
pub type Link = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, LinkError>;

/// A call that did not reach the other plane.
#[derive(Debug)]
pub struct LinkError(tonic::transport::Error);

impl std::fmt::Display for LinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for LinkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// A link to a service in this process: the same encoded messages, without a socket.
pub fn local<S>(service: S) -> Link
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    BoxCloneSyncService::new(service.map_err(|never| match never {}))
}

/// A link to `address` (`http://host:port`). It connects on first use and again after each loss.
///
/// HTTP/2 pings notice a dead peer within seconds; a small stream window makes a stalled one push
/// back early.
pub fn remote(address: &str) -> Result<Link, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(address.to_owned())?
        .connect_timeout(Duration::from_secs(1))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(2))
        .keep_alive_timeout(Duration::from_secs(2))
        .keep_alive_while_idle(true)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20);
    let channel: Channel = endpoint.connect_lazy();
    Ok(BoxCloneSyncService::new(channel.map_err(LinkError)))
}
