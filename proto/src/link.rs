//! How one plane calls another: one type, whether the other is across the network or in this process.

use std::{convert::Infallible, time::Duration};

use http::Uri;
use hyper::rt::{Read, Write};
use tonic::{
    body::Body,
    transport::{Channel, Endpoint},
};
use tower::{BoxError, Service, ServiceExt as _, util::BoxCloneSyncService};

use crate::plane::mtls::Mtls;

/// How long a connection knows a call that was given up. HTTP/2 takes a second by default, of the real clock: then
/// frames that come late look like the peer's mistake, and a simulation, whose clock is another one, has more
/// than one trace.
const RESET_REMEMBERED: Duration = Duration::from_secs(30);

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
    let channel: Channel = endpoint(address)?.connect_lazy();
    Ok(BoxCloneSyncService::new(channel.map_err(LinkError)))
}

/// The same to `https://host:port`, with certificates on both ends.
pub fn secure(address: &str, mtls: &Mtls) -> Result<Link, tonic::transport::Error> {
    let mtls = mtls.clone();
    let connect = tower::service_fn(move |address| mtls.clone().connect(address));
    // Under the scheme https tonic would encrypt what is encrypted already, so it is told another.
    through(&address.replacen("https://", "http://", 1), connect)
}

/// The same to `http://host:port`, over connections that somebody else makes.
pub fn through<C>(address: &str, connect: C) -> Result<Link, tonic::transport::Error>
where
    C: Service<Uri> + Send + 'static,
    C::Response: Read + Write + Send + Unpin,
    C::Future: Send,
    BoxError: From<C::Error>,
{
    let channel: Channel = endpoint(address)?.connect_with_connector_lazy(connect);
    Ok(BoxCloneSyncService::new(channel.map_err(LinkError)))
}

fn endpoint(address: &str) -> Result<Endpoint, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(address.to_owned())?
        .connect_timeout(Duration::from_secs(1))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(2))
        .keep_alive_timeout(Duration::from_secs(2))
        .keep_alive_while_idle(true)
        .http2_reset_stream_duration(RESET_REMEMBERED)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20);
    Ok(endpoint)
}
