//! What stands in front of the nodes in a real installation: it asks who is ready, and sends each new
//! connection to one of those.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use crate::rest::get;

/// Between two questions; an installation takes its time, too.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// Who takes longer to accept is passed over.
const ACCEPT_MAX: Duration = Duration::from_millis(500);

/// A node as the balancer sees it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Where connections go.
    pub public: SocketAddr,
    /// Where it is asked whether it is ready.
    pub operations: SocketAddr,
}

/// A balancer with a listener of its own.
#[derive(Debug)]
pub struct Balancer {
    /// Where to connect.
    pub address: SocketAddr,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Balancer {
    /// Starts to pass on.
    pub async fn start(targets: Vec<Target>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port for the balancer");
        let address = listener.local_addr().expect("it has an address");
        let ready = targets.iter().map(|target| target.public).collect();
        let ready = Arc::new(watch::Sender::new(ready));
        let accepting = tokio::spawn(accept(listener, ready.subscribe()));
        let asking = tokio::spawn(ask(targets, ready));
        Self { address, _tasks: [accepting, asking].map(AbortOnDropHandle::new).into() }
    }
}

async fn ask(targets: Vec<Target>, ready: Arc<watch::Sender<Vec<SocketAddr>>>) {
    loop {
        let mut answers = Vec::new();
        for target in &targets {
            let answer = timeout(ACCEPT_MAX, get(target.operations, "/readyz")).await;
            answers.extend(answer.is_ok_and(|(status, _)| status == 200).then_some(target.public));
        }
        ready.send_replace(answers);
        sleep(ASK_EVERY).await;
    }
}

async fn accept(listener: TcpListener, ready: watch::Receiver<Vec<SocketAddr>>) {
    let turn = Arc::new(AtomicUsize::new(0));
    while let Ok((mut client, _)) = listener.accept().await {
        let (turn, ready) = (Arc::clone(&turn), ready.clone());
        tokio::spawn(async move {
            let nodes = ready.borrow().clone();
            for _ in 0..nodes.len() {
                let node = nodes[turn.fetch_add(1, Ordering::Relaxed) % nodes.len()];
                let connected = timeout(ACCEPT_MAX, TcpStream::connect(node)).await;
                if let Ok(Ok(mut server)) = connected {
                    let _ = (client.set_nodelay(true), server.set_nodelay(true));
                    let _ended = copy_bidirectional(&mut client, &mut server).await;
                    return;
                }
            }
        });
    }
}
