//! One presence channel on a node: who is here through which socket, and what the sockets here have
//! been told of everybody.
//!
//! `member_added` and `member_removed` are the difference between what was told and what is true, so
//! that a repeated, late or lost message still gives each transition once. The control plane decides
//! who is in the channel; this says what follows from it for the sockets of one node.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use model::{Joined, Left, Roster, UserId, UserInfo};

/// The presence of one channel; `K` names a socket of the node.
#[derive(Debug)]
pub struct Presence<K> {
    /// Users of this node's sockets, waiting ones included.
    local: Roster<K>,
    /// Local users whom the control plane has let in.
    admitted: BTreeSet<UserId>,
    /// Everybody, as the sockets here know it.
    told: BTreeMap<UserId, UserInfo>,
    /// Those of them who are here and of whom the control plane does not know, or not yet: it was told
    /// anew, after the connection to it had been lost. They left nobody.
    kept: BTreeSet<UserId>,
    /// Whether the control plane has told the whole of it.
    complete: bool,
    /// Sockets that are not in yet, in the order in which they came.
    waiting: Vec<Waiting<K>>,
}

#[derive(Debug)]
struct Waiting<K> {
    user: UserId,
    socket: K,
    since: Instant,
}

/// What the sockets of the channel must be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Users who came.
    pub added: Vec<(UserId, UserInfo)>,
    /// Users who went.
    pub removed: Vec<UserId>,
}

impl<K> Default for Presence<K> {
    fn default() -> Self {
        Self {
            local: Roster::default(),
            admitted: BTreeSet::new(),
            told: BTreeMap::new(),
            kept: BTreeSet::new(),
            complete: false,
            waiting: Vec::new(),
        }
    }
}

impl<K: Copy + PartialEq> Presence<K> {
    /// A socket comes as a user. It waits until [`Presence::confirmed`] names it, which may be at
    /// once. Returns whether the user is new here and must be reported.
    pub fn join(&mut self, user: &UserId, info: &UserInfo, socket: K, now: Instant) -> bool {
        let joined = self.local.join(user, info, socket);
        if !self.waiting.iter().any(|waiting| waiting.socket == socket) {
            self.waiting.push(Waiting { user: user.clone(), socket, since: now });
        }
        joined == Joined::First
    }

    /// A socket goes. Returns whether it was the user's last one here, which must be reported, and
    /// what the others must be told already.
    pub fn leave(&mut self, user: &UserId, socket: K) -> (bool, Change) {
        self.waiting.retain(|waiting| waiting.socket != socket);
        let last = self.local.leave(user.as_str(), &socket) == Left::Last;
        if !last {
            return (false, Change::default());
        }
        self.admitted.remove(user);
        // Of whom the control plane does not know, it cannot say that they have gone.
        let unknown = self.kept.remove(user).then(|| user.clone());
        (true, self.change(Vec::new(), unknown.into_iter().collect()))
    }

    /// The control plane has let the user in.
    pub fn admit(&mut self, user: &UserId) {
        self.kept.remove(user);
        if self.local.contains(user.as_str()) {
            self.admitted.insert(user.clone());
        }
    }

    /// The control plane has not let the user in: the channel is full. Returns the user's sockets,
    /// which are out, and what the others must be told.
    pub fn refuse(&mut self, user: &UserId) -> (Vec<K>, Change) {
        let sockets = self.local.holders(user.as_str()).to_vec();
        let mut change = Change::default();
        for socket in &sockets {
            change.removed.append(&mut self.leave(user, *socket).1.removed);
        }
        (sockets, change)
    }

    /// Takes the sockets that are in from here on, and their users: those who are admitted, once the
    /// whole roster is known.
    pub fn confirmed(&mut self) -> Vec<(UserId, K)> {
        if !self.complete {
            return Vec::new();
        }
        let (confirmed, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition::<Vec<_>, _>(|waiting| self.admitted.contains(&waiting.user));
        self.waiting = waiting;
        confirmed.into_iter().map(|waiting| (waiting.user, waiting.socket)).collect()
    }

    /// Lets in who has waited since `since` or longer without an answer: nobody may wait for ever
    /// because no control plane can be reached; [`Presence::confirmed`] names them. What it says later
    /// mends what was wrong.
    pub fn give_up(&mut self, since: Instant) -> Change {
        let mut change = Change::default();
        for waiting in self.waiting.iter().filter(|waiting| waiting.since <= since) {
            self.complete = true;
            self.admitted.insert(waiting.user.clone());
            if !self.told.contains_key(&waiting.user) {
                let info = self.local.info(waiting.user.as_str()).cloned().unwrap_or_default();
                self.told.insert(waiting.user.clone(), info.clone());
                change.added.push((waiting.user.clone(), info));
            }
        }
        change
    }

    /// Whether somebody has waited since `since` or longer.
    #[must_use]
    pub fn is_overdue(&self, since: Instant) -> bool {
        self.waiting.first().is_some_and(|first| first.since <= since)
    }

    /// Some came, some went. Of a user who is here and was let in, what went is what the control plane
    /// knew of the user before it lost the node.
    pub fn change(&mut self, joined: Vec<(UserId, UserInfo)>, left: Vec<UserId>) -> Change {
        for (user, _) in &joined {
            self.kept.remove(user);
        }
        let (kept, gone): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|user| self.admitted.contains(user));
        self.kept.extend(kept);
        let removed = gone.into_iter().filter(|user| self.told.remove(user).is_some()).collect();
        let added = joined.into_iter().filter(|(user, info)| {
            self.told.insert(user.clone(), UserInfo::clone(info)).is_none()
                || cfg!(feature = "bug-presence-edges")
        });
        Change { added: added.collect(), removed }
    }

    /// The whole truth, but for users of this node of whom it does not know yet: those who are not
    /// `heard`. One of them may be in it as who it was before it left and came again.
    pub fn replace(
        &mut self,
        members: Vec<(UserId, UserInfo)>,
        heard: impl Fn(&UserId) -> bool,
    ) -> Change {
        self.complete = true;
        let there: BTreeSet<_> = members.iter().map(|(user, _)| user.clone()).collect();
        // Who is in has been let in, though the verdict may have gone with the control plane that gave it.
        let here = there.iter().filter(|user| self.local.contains(user.as_str()) && heard(user));
        self.admitted.extend(here.cloned());
        let missing = self.told.keys().filter(|user| !there.contains(*user)).cloned();
        let (kept, gone) = missing.partition::<Vec<_>, _>(|user| self.admitted.contains(user));
        self.kept = kept.into_iter().collect();
        self.change(members, gone)
    }

    /// Everybody, as the sockets here know it, by id.
    pub fn users(&self) -> impl ExactSizeIterator<Item = (&UserId, &UserInfo)> {
        self.told.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn user(text: &str) -> UserId {
        UserId::trusted(text)
    }

    fn member(text: &str) -> (UserId, UserInfo) {
        (user(text), UserInfo::from("{}"))
    }

    fn names<'a>(users: impl IntoIterator<Item = &'a UserId>) -> Vec<&'a str> {
        users.into_iter().map(UserId::as_str).collect()
    }

    fn check(change: &Change, added: &[&str], removed: &[&str]) {
        assert_eq!(names(change.added.iter().map(|(user, _)| user)), added);
        assert_eq!(names(&change.removed), removed);
    }

    #[allow(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_socket_is_in_when_the_user_is_admitted_and_the_roster_is_known() {
        let now = start();
        let mut presence = Presence::default();
        assert!(presence.join(&user("ann"), &UserInfo::default(), 1, now));
        assert!(presence.confirmed().is_empty());
        presence.admit(&user("ann"));
        assert!(presence.confirmed().is_empty(), "who else is there is not known");
        check(
            &presence.replace(vec![member("ann"), member("bob")], |_| true),
            &["ann", "bob"],
            &[],
        );
        assert_eq!(presence.confirmed(), [(user("ann"), 1)]);
        assert!(!presence.join(&user("ann"), &UserInfo::default(), 2, now), "a second tab");
        assert_eq!(presence.confirmed(), [(user("ann"), 2)]);
        assert!(!presence.leave(&user("ann"), 1).0);
        assert_eq!(presence.leave(&user("ann"), 2), (true, Change::default()));
        assert!(presence.join(&user("ann"), &UserInfo::default(), 3, now), "it is reported anew");
        assert!(presence.confirmed().is_empty());
    }

    #[test]
    fn who_came_again_is_let_in_by_what_knows_it() {
        let now = start();
        let mut presence = Presence::default();
        presence.join(&user("ann"), &UserInfo::default(), 1, now);
        check(&presence.replace(vec![member("ann")], |_| false), &["ann"], &[]);
        assert!(presence.confirmed().is_empty(), "that is who it was before it left");
        check(&presence.change(vec![], vec![user("ann")]), &[], &["ann"]);
        check(&presence.replace(vec![member("ann")], |_| true), &["ann"], &[]);
        assert_eq!(presence.confirmed(), [(user("ann"), 1)]);
    }

    #[test]
    fn sockets_hear_differences_only() {
        let mut presence = Presence::<u32>::default();
        check(&presence.replace(vec![member("ann")], |_| true), &["ann"], &[]);
        check(&presence.replace(vec![member("ann")], |_| true), &[], &[]);
        check(&presence.change(vec![member("ann"), member("bob")], vec![]), &["bob"], &[]);
        check(&presence.change(vec![], vec![user("bob"), user("bob"), user("eve")]), &[], &["bob"]);
        check(&presence.replace(vec![member("eve")], |_| true), &["eve"], &["ann"]);
    }

    #[test]
    fn a_full_channel_puts_the_users_sockets_out() {
        let now = start();
        let mut presence = Presence::default();
        presence.replace(vec![member("ann")], |_| true);
        for socket in [1, 2] {
            presence.join(&user("bob"), &UserInfo::default(), socket, now);
        }
        assert_eq!(presence.refuse(&user("bob")), (vec![1, 2], Change::default()));
        presence.admit(&user("bob"));
        assert!(presence.confirmed().is_empty());
        assert!(!presence.leave(&user("bob"), 1).0);
    }

    #[test]
    fn who_is_here_is_not_missed_when_the_control_plane_begins_anew() {
        let now = start();
        let mut presence = Presence::default();
        for (name, socket) in [("ann", 1), ("bob", 2), ("eve", 3)] {
            presence.join(&user(name), &"{}".into(), socket, now);
            presence.admit(&user(name));
        }
        presence
            .replace(vec![member("ann"), member("bob"), member("eve"), member("far")], |_| true);
        check(&presence.replace(vec![], |_| true), &[], &["far"]);
        check(&presence.change(vec![member("ann")], vec![]), &[], &[]);
        presence.admit(&user("ann"));
        let (last, change) = presence.leave(&user("bob"), 2);
        assert!(last);
        check(&change, &[], &["bob"]);
        let (sockets, change) = presence.refuse(&user("eve"));
        assert_eq!(sockets, [3]);
        check(&change, &[], &["eve"]);
        assert_eq!(presence.leave(&user("ann"), 1), (true, Change::default()));
        check(&presence.change(vec![], vec![user("ann")]), &[], &["ann"]);
    }

    #[test]
    fn a_roster_with_the_user_in_it_is_a_verdict() {
        let now = start();
        let mut presence = Presence::default();
        presence.join(&user("ann"), &UserInfo::default(), 1, now);
        presence.join(&user("bob"), &UserInfo::default(), 2, now);
        check(
            &presence.replace(vec![member("ann"), member("eve")], |_| true),
            &["ann", "eve"],
            &[],
        );
        assert_eq!(presence.confirmed(), [(user("ann"), 1)], "of bob nothing is known");
        check(&presence.replace(vec![member("bob")], |_| true), &["bob"], &["eve"]);
        assert_eq!(presence.confirmed(), [(user("bob"), 2)]);
    }

    #[test]
    fn waiting_ends_by_itself_and_is_mended_later() {
        let now = start();
        let mut presence = Presence::default();
        presence.join(&user("ann"), &UserInfo::default(), 1, now);
        assert!(!presence.is_overdue(now - Duration::from_millis(1)));
        check(&presence.give_up(now), &["ann"], &[]);
        assert_eq!(presence.confirmed(), [(user("ann"), 1)]);
        check(&presence.replace(vec![member("ann"), member("bob")], |_| true), &["bob"], &[]);
    }
}
