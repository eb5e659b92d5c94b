//! Who is there.

use prometheus_client::metrics::counter::Counter;

use super::*;
use crate::shards::Budget;

const PEER: &str = "http://peer:6003";

fn identity(owner: u64) -> Identity {
    let name: Arc<str> = owner.to_string().into();
    Identity { name, address: PEER.to_owned(), owner: OwnerId(owner) }
}

#[test]
fn who_was_left_alone_has_no_peers_but_may_be_cut_off() {
    let now = tokio::time::Instant::now().into_std();
    let me = identity(1);
    let cache = Budget::new(Duration::from_secs(1), 1 << 20, Counter::default());
    let shards = Arc::new(Shards::new(me.owner, cache, now));
    let nodes = Arc::new(Nodes::new(me.owner));
    let replicas = Replicas::new(me, (shards, nodes), DispatchMetrics::default());
    replicas.look(now);
    assert_eq!((replicas.has_peers(), replicas.is_apart()), (false, false), "always alone");
    let replica = Replica { name: "2".into(), owner: 2, eligible: true, ..Replica::default() };
    let said = FollowResponse { replica: Some(replica), ..FollowResponse::default() };
    replicas.heard(PEER, said.clone(), now);
    assert_eq!((replicas.has_peers(), replicas.is_apart()), (true, false));
    let reaches_more = FollowResponse { nodes: vec!["n".into()], ..said };
    replicas.heard(PEER, reaches_more, now);
    assert_eq!((replicas.has_peers(), replicas.is_apart()), (true, true));
    replicas.lost(PEER, now);
    assert!(!replicas.has_peers(), "nobody is waited for when it ends");
    assert!(replicas.is_apart());
}
