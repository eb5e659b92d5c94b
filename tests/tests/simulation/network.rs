//! Links and listeners over the simulated network.

use std::{
    net::{IpAddr, SocketAddr},
    task::{Context, Poll},
};

use anyhow::Context as _;
use axum::Router;
use http::{Request, Uri};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use proto::{
    link,
    plane::serve::Peer,
    replicas::{Dial, Seeds},
};
use tower::ServiceExt as _;
use turmoil::net::{TcpListener, TcpStream};

/// Where every control plane is called.
pub(crate) const PORT: u16 = 6003;

/// The address of a control plane, as others are told of it. Names are for the simulation only: what
/// is resolved by the system's resolver would leave it.
pub(crate) fn address(host: &str) -> String {
    format!("http://{}:{PORT}", turmoil::lookup(host))
}

/// These control planes, called over the simulated network.
pub(crate) fn seeds(hosts: &[&str]) -> anyhow::Result<Seeds> {
    let seeds = Seeds::at(hosts.iter().map(|host| address(host)))?;
    Ok(seeds.dialing(Dial::new(|address| {
        link::through(address, Connect).context("no address of a control plane")
    })))
}

/// Makes simulated connections.
#[derive(Clone, Copy)]
struct Connect;

impl tower::Service<Uri> for Connect {
    type Response = TokioIo<TcpStream>;
    type Error = std::io::Error;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = std::io::Result<TokioIo<TcpStream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        Box::pin(async move {
            let host = address.host().unwrap_or_default();
            let host: IpAddr = host.parse().map_err(std::io::Error::other)?;
            let port = address.port_u16().unwrap_or(PORT);
            TcpStream::connect((host, port)).await.map(TokioIo::new)
        })
    }
}

/// Serves what the internal listener of a control plane serves, until it is dropped.
pub(crate) async fn serve(router: Router) -> std::io::Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    loop {
        let (tcp, address) = listener.accept().await?;
        tokio::spawn(converse(tcp, address, router.clone()));
    }
}

async fn converse(tcp: TcpStream, address: SocketAddr, router: Router) {
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer { address, encrypted: false });
        router.clone().oneshot(request)
    });
    let mut server = auto::Builder::new(TokioExecutor::new()).http2_only();
    // As in production: a peer that is gone is noticed although nothing is sent to it.
    let second = std::time::Duration::from_secs(2);
    server.http2().timer(TokioTimer::new()).keep_alive_interval(second).keep_alive_timeout(second);
    // How a connection ends is seen by whoever reads from it.
    let _ended = server.serve_connection(TokioIo::new(tcp), service).await;
}
