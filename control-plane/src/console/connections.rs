//! The live connections of an app: nodes are asked for their newest.

use axum::{
    extract::{Path, Query, State},
    response::Response,
};
use futures_util::future::join_all;
use proto::internal::{ListSockets, SocketView};
use serde::{Deserialize, Serialize};

use super::{Console, answer::respond};

/// So many are shown, the newest of all nodes.
const SHOWN_MAX: usize = 200;

#[derive(Deserialize)]
pub(super) struct Wanted {
    /// Only those that are subscribed to it; empty: all.
    #[serde(default)]
    channel: String,
}

#[derive(Serialize)]
struct Connections {
    nodes: Vec<OfNode>,
    connections: Vec<Connection>,
}

#[derive(Serialize)]
struct OfNode {
    node: String,
    /// Absent where the node did not answer.
    total: Option<u32>,
}

#[derive(Serialize)]
struct Connection {
    node: String,
    socket_id: String,
    age_ms: u64,
    user_id: String,
    channels: Vec<String>,
    channels_total: u32,
    waiting_bytes: u64,
}

pub(super) async fn list(
    State(console): State<Console>,
    Path(app): Path<String>,
    Query(Wanted { channel }): Query<Wanted>,
) -> Response {
    let list = async {
        let app_id = console.readable(&app)?.id.to_string();
        let sockets_max = SHOWN_MAX as u32;
        let wanted = ListSockets { id: 0, app_id, channel, sockets_max };
        Ok(ask(&console, &wanted).await)
    };
    respond(list.await)
}

async fn ask(console: &Console, wanted: &ListSockets) -> Connections {
    let mut nodes = console.cluster.attached();
    nodes.sort_by(|a, b| a.id.0.cmp(&b.id.0));
    let asked = nodes.iter().map(|node| console.inquiries.sockets(node, wanted.clone()));
    let answers = join_all(asked).await;
    let (mut of_nodes, mut connections) = (Vec::new(), Vec::new());
    for (node, answer) in nodes.iter().zip(answers) {
        let name = node.id.to_string();
        let total = answer.as_ref().map(|answer| answer.total);
        let sockets = answer.into_iter().flat_map(|answer| answer.sockets);
        connections.extend(sockets.map(|socket| connection(&name, socket)));
        of_nodes.push(OfNode { node: name, total });
    }
    connections.sort_by_key(|connection| connection.age_ms);
    connections.truncate(SHOWN_MAX);
    Connections { nodes: of_nodes, connections }
}

fn connection(node: &str, socket: SocketView) -> Connection {
    let SocketView { socket_id, age_ms, user_id, channels, channels_total, waiting_bytes } = socket;
    let node = node.to_owned();
    Connection { node, socket_id, age_ms, user_id, channels, channels_total, waiting_bytes }
}
