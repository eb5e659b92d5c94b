//! Who comes into a presence channel and who leaves it, over all nodes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use model::{Joined, Left, Roster, UserId, UserInfo};

use crate::node::{Attachment, Node};

/// How long a user who left a node that shuts down is kept: it comes back on another one.
pub(super) const KEPT: Duration = Duration::from_secs(5);

/// A node that holds a user.
#[derive(Clone, Debug)]
pub(super) struct Contribution {
    node: Arc<Node>,
    /// The attachment in which the node last named the user.
    attachment: u32,
    /// Since when the user is not on the node any more, but is kept.
    left: Option<Instant>,
}

/// A node holds a user once.
impl PartialEq for Contribution {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.node, &other.node)
    }
}

impl Contribution {
    fn of(node: &Arc<Node>) -> Self {
        Self { node: Arc::clone(node), attachment: 0, left: None }
    }
}

/// What became of a user that a node names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// It is new in the channel.
    Joined,
    /// It was there already.
    Present,
    /// The channel has as many users as it may.
    Full,
}

/// What became of a user that a node has no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exited {
    /// It is gone.
    Left,
    /// It is kept until then.
    Kept(Instant),
    /// It is still there through others, or was not there through this node.
    Unchanged,
}

/// What a node's end left of its users.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    /// These are gone.
    pub(super) gone: Vec<UserId>,
    /// These are kept until then.
    pub(super) kept: Vec<(UserId, Instant)>,
}

/// The users of one channel.
pub(super) type Users = Roster<Contribution>;

/// A node has a user. `limit`: how many users there may be.
pub(super) fn enter(
    users: &mut Users,
    (user, info): (&UserId, &UserInfo),
    from: &Attachment,
    limit: Option<usize>,
) -> Entered {
    let known = users.contains(user.as_str());
    if !known && limit.is_some_and(|limit| users.len() >= limit) {
        return Entered::Full;
    }
    let contribution = Contribution { attachment: from.number, ..Contribution::of(&from.node) };
    if let Some(held) = find(users, user, &from.node) {
        *held = contribution;
        return Entered::Present;
    }
    match users.join(user, info, contribution) {
        Joined::First => Entered::Joined,
        Joined::Again => Entered::Present,
    }
}

/// A node has a user no longer.
pub(super) fn exit(users: &mut Users, user: &UserId, node: &Arc<Node>, now: Instant) -> Exited {
    if !node.is_draining() {
        return remove(users, user, node);
    }
    match find(users, user, node) {
        Some(held) if held.left.is_none() => {
            held.left = Some(now);
            Exited::Kept(now + KEPT)
        }
        Some(_) | None => Exited::Unchanged,
    }
}

/// The time of a user that was kept may be over.
pub(super) fn expire(users: &mut Users, user: &UserId, node: &Arc<Node>, now: Instant) -> Exited {
    let left = find(users, user, node).and_then(|held| held.left);
    match left {
        Some(left) if left + KEPT <= now => remove(users, user, node),
        Some(_) | None => Exited::Unchanged,
    }
}

/// A node is gone with all that it held, or (`kept`) with what it did not name in its latest attachment.
pub(super) fn drop_node(
    users: &mut Users,
    node: &Arc<Node>,
    kept: Option<u32>,
    now: Instant,
) -> Dropped {
    let mut dropped = Dropped::default();
    // A node that shut down had closed its sockets when its stream ended, whatever it still reported.
    let left = if kept.is_none() { node.lost_at().min(now) } else { now };
    dropped.gone = users.retain(|user, held| {
        let stays = !Arc::ptr_eq(&held.node, node)
            || held.left.is_some()
            || kept.is_some_and(|kept| held.attachment == kept);
        if !stays && node.is_draining() {
            held.left = Some(left);
            dropped.kept.push((user.clone(), left + KEPT));
            return true;
        }
        stays
    });
    dropped
}

fn find<'a>(users: &'a mut Users, user: &UserId, node: &Arc<Node>) -> Option<&'a mut Contribution> {
    users.holders_mut(user.as_str()).iter_mut().find(|held| Arc::ptr_eq(&held.node, node))
}

fn remove(users: &mut Users, user: &UserId, node: &Arc<Node>) -> Exited {
    match users.leave(user.as_str(), &Contribution::of(node)) {
        Left::Last => Exited::Left,
        Left::Held | Left::NotThere => Exited::Unchanged,
    }
}
