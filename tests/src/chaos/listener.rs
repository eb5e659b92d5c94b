//! A browser that subscribes, writes down all it sees, and comes back when it is closed.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};

use super::{
    history::{End, Socket},
    scene::Scene,
};

mod connection;

use connection::Connection;

/// One browser.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Of which app.
    pub app: u8,
    /// Who it is in presence channels.
    pub user: Option<u32>,
    /// What it subscribes to, each time anew.
    pub channels: Vec<u32>,
    /// All nodes, as behind a balancer.
    pub nodes: Vec<SocketAddr>,
    /// The node that it is sent to first; afterwards to one after the other.
    pub first: usize,
    /// Every so often it leaves its channels and comes again.
    pub restless: Option<Duration>,
    /// How long it waits before it comes back, where it is not told to do so at once.
    pub back_after: Duration,
}

/// What pusher-js waits after a connection that broke.
pub const BACK_AFTER: Duration = Duration::from_secs(1);
/// Before another attempt where nobody answers.
const RETRY: Duration = Duration::from_millis(100);
/// Longer than a healthy node takes to greet.
const GREETING_MAX: Duration = Duration::from_secs(5);

/// What a browser has seen, and its last socket: nobody sees others go before all have told.
#[derive(Debug)]
pub struct Seen {
    /// Its connections.
    pub sockets: Vec<Socket>,
    /// How long it was without one, each time, in microseconds: from the end of one to the moment at
    /// which the next had all its channels.
    pub absences: Vec<u64>,
    _last: Option<Connection>,
}

impl Listener {
    /// Listens until the run is over.
    pub async fn run(self, scene: Arc<Scene>) -> Seen {
        let mut seen = Seen { sockets: Vec::new(), absences: Vec::new(), _last: None };
        let (mut place, mut gone) = (self.first, None);
        while !scene.over.is_cancelled() {
            let node = place % self.nodes.len();
            place += 1;
            let opening = timeout(GREETING_MAX, Connection::open(&self, node, &scene));
            let opened = tokio::select! {
                opened = opening => opened.ok().flatten(),
                () = scene.over.cancelled() => break,
            };
            let Some(mut connection) = opened else {
                sleep(RETRY).await;
                continue;
            };
            let (socket, seated) = connection.listen(&self).await;
            if let (Some(gone), Some(seated)) = (gone, seated) {
                seen.absences.push(seated - gone);
            }
            let ended = socket.ended;
            seen.sockets.push(socket);
            let Some((at, end)) = ended else {
                seen._last = Some(connection);
                break;
            };
            // Where it never had its channels it has been away since before.
            gone = if seated.is_some() { Some(at) } else { gone };
            tokio::select! {
                () = sleep(self.pause(end)) => {}
                () = scene.over.cancelled() => {}
            }
        }
        seen
    }

    /// As pusher-js does it.
    fn pause(&self, end: End) -> Duration {
        match end {
            End::Closed(4200..=4299) => Duration::ZERO,
            End::Closed(_) | End::Lost => self.back_after,
        }
    }
}
