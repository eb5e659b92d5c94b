//! Makes calls, over connections that are kept for a while.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, client::conn::http1::SendRequest};
use model::MessageId;
use tokio::time::{Instant, timeout};

use super::{
    call::{Call, Outcome},
    connection::Connector,
};

/// A connection without a call is closed after this; less than most servers wait.
const IDLE_MAX: Duration = Duration::from_secs(4);
/// What is read of an answer's body, so that the connection can be used again.
const ANSWER_BYTES_MAX: usize = 64 << 10;
const ANSWER_PATIENCE: Duration = Duration::from_millis(250);

/// Calls targets; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Client {
    connector: Connector,
    idle: Arc<Mutex<HashMap<MessageId, Idle>>>,
}

#[derive(Debug)]
struct Idle {
    url: String,
    sender: SendRequest<Full<Bytes>>,
    since: Instant,
}

impl Client {
    pub(super) fn new(connector: Connector) -> Self {
        Self { connector, idle: Arc::default() }
    }

    /// Makes one call, within its webhook's timeout.
    pub(super) async fn make(&self, call: &Call) -> Outcome {
        let left = Instant::from_std(call.batch.deadline) - Instant::now();
        let patience = call.webhook.timeout.min(left);
        match timeout(patience, self.exchange(call)).await {
            Ok(Ok(outcome) | Err(outcome)) => outcome,
            Err(_) => Outcome::Unreachable(format!("no answer within {patience:?}")),
        }
    }

    async fn exchange(&self, call: &Call) -> Result<Outcome, Outcome> {
        let url: Uri =
            call.webhook.url.parse().map_err(|_| Outcome::Refused("it is no URL".into()))?;
        if let Some(mut sender) = self.take_idle(call) {
            // The server may have closed it just now; that says nothing about a new one.
            if let Ok(response) = sender.send_request(call.request(&url)).await {
                return Ok(self.outcome(call, sender, response).await);
            }
        }
        let mut sender = self.connector.connect(&url).await?;
        let response = sender.send_request(call.request(&url)).await;
        let response = response.map_err(|error| Outcome::Unreachable(error.to_string()))?;
        Ok(self.outcome(call, sender, response).await)
    }

    /// The status says it all; the body is read only to have the connection free again.
    async fn outcome(
        &self,
        call: &Call,
        sender: SendRequest<Full<Bytes>>,
        response: Response<Incoming>,
    ) -> Outcome {
        let outcome = Outcome::of_status(response.status().as_u16());
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect();
        if let Ok(Ok(_)) = timeout(ANSWER_PATIENCE, body).await {
            self.keep_idle(call, sender);
        }
        outcome
    }

    fn take_idle(&self, call: &Call) -> Option<SendRequest<Full<Bytes>>> {
        let idle = self.idle.lock().expect("no holder panics").remove(&call.target)?;
        let usable = idle.url == call.webhook.url
            && idle.since.elapsed() < IDLE_MAX
            && idle.sender.is_ready();
        usable.then_some(idle.sender)
    }

    fn keep_idle(&self, call: &Call, sender: SendRequest<Full<Bytes>>) {
        let now = Instant::now();
        let mut idle = self.idle.lock().expect("no holder panics");
        idle.retain(|_, one| now - one.since < IDLE_MAX && !one.sender.is_closed());
        idle.insert(call.target, Idle { url: call.webhook.url.clone(), sender, since: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhooks::{batch::Batch, event::tests::moment};
    use model::{App, AppId, AppSecret, Secrets, Webhook, WebhookFilter};
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };
    use tokio_rustls::{
        TlsAcceptor,
        rustls::{
            ServerConfig,
            crypto::ring,
            pki_types::{CertificateDer, PrivateKeyDer},
        },
    };

    fn call(url: String) -> Call {
        let secrets = Secrets::one(AppSecret::new("s"));
        let app = App::new(AppId::parse("a").unwrap(), "k", secrets);
        let webhook = Webhook {
            url,
            kinds: Vec::new(),
            filter: WebhookFilter::default(),
            headers: Vec::new(),
            retry: None,
            timeout: Duration::from_secs(5),
        };
        let deadline = moment(1).at + Duration::from_secs(300);
        let batch = Batch { id: MessageId(1), body: "{}".into(), events: 1, deadline };
        Call {
            app: Arc::new(app),
            webhook: Arc::new(webhook),
            target: MessageId(1),
            batch: Arc::new(batch),
            failing: false,
        }
    }

    /// Answers each connection's first request, encrypted.
    async fn serve(tcp: TcpListener, certificate: CertificateDer<'static>, key: Vec<u8>) {
        let key = PrivateKeyDer::try_from(key).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        loop {
            let (stream, _) = tcp.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4_096]).await;
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    }

    #[tokio::test]
    async fn https_goes_to_whom_the_certificate_names_and_a_root_vouches_for() {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = tcp.local_addr().unwrap().port();
        tokio::spawn(serve(tcp, cert.der().clone(), signing_key.serialize_der()));
        let client = |roots| Client::new(Connector::new(true, roots));
        let trusting = client(vec![cert.der().clone()]);
        let call_to = |host: &str| call(format!("https://{host}:{port}/"));
        assert_eq!(trusting.make(&call_to("localhost")).await, Outcome::Taken);
        assert_eq!(trusting.make(&call_to("localhost")).await, Outcome::Taken, "once more");
        for (client, host) in [(trusting, "127.0.0.1"), (client(Vec::new()), "localhost")] {
            let outcome = client.make(&call_to(host)).await;
            let Outcome::Unreachable(why) = outcome else { panic!("{outcome:?}") };
            assert!(why.contains("certificate"), "{why}");
        }
    }
}
