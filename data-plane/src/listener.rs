//! `/app/{key}`: answers the WebSocket upgrade and hands the connection to a shard thread.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use data_plane_core::CloseCode;
use hyper_util::{rt::TokioIo, server::conn::auto};
use model::{App, SocketId};
use proto::{
    chance,
    plane::{
        address,
        address_limit::{ADDRESSES_MAX, AddressLimit},
        serve::Stream,
    },
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::debug;

use crate::{config::Options, inbox::Command, node::Node, socket::Incoming, transport::Transport};

/// Answers upgrades; cheap to clone.
#[derive(Clone, Debug)]
pub struct Listener {
    node: Arc<Node>,
    turn: Arc<AtomicU64>,
    /// `None` where new sockets are not limited by address.
    addresses: Option<Arc<Mutex<AddressLimit>>>,
    trusted_proxy_hops: usize,
}

impl Listener {
    /// For one node. So many proxies in front may say which address a client has.
    #[must_use]
    pub fn new(node: Arc<Node>, options: &Options, trusted_proxy_hops: usize) -> Self {
        let window = Duration::from_secs(options.sockets_per_address_window_seconds.into());
        let sockets_max = options.sockets_per_address;
        let limit = || Arc::new(Mutex::new(AddressLimit::new(sockets_max, window, ADDRESSES_MAX)));
        let addresses = (sockets_max > 0).then(limit);
        Self { node, turn: Arc::default(), addresses, trusted_proxy_hops }
    }

    /// The routes.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/app/{key}", get(upgrade))
            .route("/app/{key}/", get(upgrade))
            .with_state(self.clone())
    }

    /// Counts a new socket against its address; over the limit: the seconds until it may try again.
    fn count(&self, request: &Request) -> Result<(), u32> {
        let Some(addresses) = &self.addresses else { return Ok(()) };
        let address = address::of(request.headers(), request.extensions(), self.trusted_proxy_hops);
        let now = tokio::time::Instant::now().into_std();
        let counted = addresses.lock().expect("no holder panics").count(address, now);
        if counted.evicted {
            self.node.metrics.addresses_evicted.inc();
        }
        if counted.allowed {
            return Ok(());
        }
        self.node.metrics.addresses_refused.inc();
        Err(counted.quota.reset_seconds())
    }

    /// Whose the connection is, or why it is closed at once: in each case the client is told by an
    /// error frame and a close code that it understands, not by a failed upgrade.
    fn admit(&self, key: &str, query: Option<&str>, origin: &str) -> Result<Arc<App>, CloseCode> {
        check_protocol(query.unwrap_or_default())?;
        let app = {
            let apps = self.node.apps.borrow();
            let apps = apps.as_ref().ok_or(CloseCode::OverCapacity)?;
            apps.by_key(key).cloned().ok_or(CloseCode::UnknownApp)?
        };
        if !app.enabled {
            return Err(CloseCode::AppDisabled);
        }
        if !app.allows_origin(origin) {
            return Err(CloseCode::Unauthorized);
        }
        if self.node.metrics.sockets.get() >= self.node.sockets_max {
            return Err(CloseCode::OverCapacity);
        }
        Ok(app)
    }

    async fn hand_over(self, upgrade: hyper::upgrade::OnUpgrade, app: Result<Arc<App>, CloseCode>) {
        let incoming = match upgrade.await {
            Ok(upgraded) => take_apart(upgraded),
            Err(error) => return debug!(%error, "upgrade not completed"),
        };
        let Some((transport, read_already)) = incoming else {
            return debug!("an upgraded connection of an unknown kind");
        };
        self.node.metrics.opened.inc();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let id = SocketId::from_random(chance::wide_number());
        let inbox = &self.node.inboxes[turn as usize % self.node.inboxes.len()];
        inbox.push(Command::Open(Box::new(Incoming { transport, read_already, id, app })));
    }
}

/// Back from HTTP to the bytes of the connection.
fn take_apart(upgraded: hyper::upgrade::Upgraded) -> Option<(Transport, Bytes)> {
    let parts = auto::upgrade::downcast::<TokioIo<Stream>>(upgraded).ok()?;
    let transport = match parts.io.into_inner() {
        Stream::Plain(tcp) => Transport::from_parts(tcp, None),
        Stream::Tls(tls) => {
            let (tcp, connection) = tls.into_inner();
            Transport::from_parts(tcp, Some(connection))
        }
    };
    transport.ok().map(|transport| (transport, parts.read_buf))
}

/// Absent or 4 to 7 is served; a higher number is answered with 4007, what is no number with 4006.
fn check_protocol(query: &str) -> Result<(), CloseCode> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let Some((_, version)) = pairs.into_iter().find(|(name, _)| *name == "protocol") else {
        return Ok(());
    };
    match version.parse::<u32>() {
        Ok(4..=7) => Ok(()),
        Ok(_) => Err(CloseCode::UnsupportedProtocol),
        Err(_) if !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(CloseCode::UnsupportedProtocol)
        }
        Err(_) => Err(CloseCode::NotANumberProtocol),
    }
}

#[allow(clippy::unused_async, reason = "handlers are async")]
async fn upgrade(
    State(listener): State<Listener>,
    Path(key): Path<String>,
    mut request: Request,
) -> Response {
    let accept = match accept_key(request.headers()) {
        Ok(accept) => accept,
        Err(problem) => return problem.into_response(),
    };
    if let Err(seconds) = listener.count(&request) {
        return over_limit(seconds);
    }
    let origin = request.headers().get(header::ORIGIN).and_then(|value| value.to_str().ok());
    let app = listener.admit(&key, request.uri().query(), origin.unwrap_or_default());
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(listener.hand_over(upgrade, app));
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// No upgrade, rather than one that is closed at once: browsers back off then, as after any connection
/// that fails.
fn over_limit(seconds: u32) -> Response {
    let after = [(header::RETRY_AFTER, HeaderValue::from(seconds))];
    let message = "too many new sockets from this address (sockets_per_address)\n";
    (StatusCode::TOO_MANY_REQUESTS, after, message).into_response()
}

/// What the upgrade must carry (RFC 6455, section 4.2.1), or the answer to a request that is none.
fn accept_key(headers: &HeaderMap) -> Result<HeaderValue, (StatusCode, HeaderMap, &'static str)> {
    let has_token = |name: header::HeaderName, token: &str| {
        let values = headers.get_all(name);
        values
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    };
    let refuse = |status, message| {
        let mut headers = HeaderMap::new();
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        Err((status, headers, message))
    };
    let upgrade =
        has_token(header::CONNECTION, "upgrade") && has_token(header::UPGRADE, "websocket");
    if !upgrade {
        return refuse(StatusCode::UPGRADE_REQUIRED, "this address speaks WebSocket (RFC 6455)\n");
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return refuse(StatusCode::UPGRADE_REQUIRED, "Sec-WebSocket-Version must be 13\n");
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| is_key(key.as_bytes()));
    let Some(key) = key else {
        let message = "Sec-WebSocket-Key must be 16 bytes in base64\n";
        return refuse(StatusCode::BAD_REQUEST, message);
    };
    let accept = derive_accept_key(key.as_bytes());
    HeaderValue::from_str(&accept).or_else(|_| refuse(StatusCode::BAD_REQUEST, "bad key\n"))
}

/// 22 base64 digits and two equals signs.
fn is_key(key: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == 24 && key[..22].iter().all(digit) && key.ends_with(b"==")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocol_versions() {
        for good in ["", "client=js", "protocol=7&client=js", "protocol=4", "client=x&protocol=5"] {
            assert_eq!(check_protocol(good), Ok(()), "{good}");
        }
        for high in ["protocol=8", "protocol=2", "protocol=99999999999999999999"] {
            assert_eq!(check_protocol(high), Err(CloseCode::UnsupportedProtocol), "{high}");
        }
        for none in ["protocol=", "protocol=x", "protocol=-1", "protocol=7.0"] {
            assert_eq!(check_protocol(none), Err(CloseCode::NotANumberProtocol), "{none}");
        }
    }

    #[test]
    fn keys() {
        assert!(is_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
        assert!(!is_key(b"dGhlIHNhbXBsZSBub25jZQ"));
        assert!(!is_key(b""));
    }
}
