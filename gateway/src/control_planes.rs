//! Hands a call to the control plane that owns what it is about, or to the next one that lives.

use std::{cmp::Reverse, future::Future, time::Duration};

use model::{Reason, Rejection, ShardId, replica};
use prometheus_client::metrics::counter::Counter;
use proto::{
    internal::dispatch_service_client::DispatchServiceClient,
    link::Link,
    replicas::{LOST_AFTER, Replica, Replicas},
    status,
};
use tokio::time::Instant;
use tonic::{Response, Status};

/// Bytes of one answer: a page of 10,000 users with the longest ids, and room.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Pauses between rounds in which no control plane took the call.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// Where all have been gone for this long, none is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// What calls a control plane.
pub(crate) type Client = DispatchServiceClient<Link>;

/// All control planes.
#[derive(Debug)]
pub(crate) struct ControlPlanes {
    replicas: Replicas,
    timeout: Duration,
    retries: Counter,
}

impl ControlPlanes {
    pub(crate) fn new(replicas: Replicas, timeout: Duration, retries: Counter) -> Self {
        Self { replicas, timeout, retries }
    }

    /// Calls the owner of a shard. While control planes die or are unavailable it goes round among
    /// those that live with the same request: a publish or batch carries its message id, so that it is
    /// delivered once although two may have seen it; the other calls may be answered twice.
    pub(crate) async fn call<Q, A, F>(
        &self,
        shard: ShardId,
        request: Q,
        rpc: impl Fn(Client, Q) -> F,
    ) -> Result<A, Rejection>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let mut last = None;
        let go_round = self.go_round(shard, |client| rpc(client, request.clone()), &mut last);
        let answered = tokio::time::timeout(self.timeout, go_round).await;
        answered.unwrap_or_else(|_| {
            Err(last.unwrap_or_else(|| {
                let milliseconds = self.timeout.as_millis();
                let message = format!("no control plane answered within {milliseconds} ms");
                Rejection::new(Reason::Unavailable, message)
            }))
        })
    }

    async fn go_round<A, F>(
        &self,
        shard: ShardId,
        rpc: impl Fn(Client) -> F,
        last: &mut Option<Rejection>,
    ) -> Result<A, Rejection>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let mut pause = PAUSE_MIN;
        let mut tried = Vec::new();
        loop {
            let Some(replica) = self.replicas.look(|known| next(known, shard, &tried)) else {
                if tried.is_empty() {
                    self.wait_for_life().await?;
                } else {
                    tried.clear();
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                continue;
            };
            let refused = match self.ask(&replica, &rpc).await {
                Ok(answer) => return Ok(answer),
                Err(refused) => refused,
            };
            if refused.reason != Reason::Unavailable {
                return Err(refused);
            }
            *last = Some(refused);
            self.retries.inc();
            tried.push(replica.owner);
        }
    }

    /// Calls one control plane, until it dies and another one can be asked. While there is no other it may
    /// only be slow: its connection says when it is gone.
    async fn ask<A, F>(&self, replica: &Replica, rpc: impl Fn(Client) -> F) -> Result<A, Rejection>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let link = replica.clock.stamp(replica.link.clone());
        let client = Client::new(link).max_decoding_message_size(ANSWER_BYTES_MAX);
        let forsaken = async {
            replica.life.clone().unwrap_or_default().cancelled_owned().await;
            let is_another = |one: &Replica| one.life.is_some() && one.owner != replica.owner;
            let mut known = self.replicas.follow();
            let another = known.wait_for(|known| known.iter().any(is_another)).await;
            drop(another);
        };
        tokio::select! {
            biased;
            answer = rpc(client) => match answer {
                Ok(response) => Ok(response.into_inner()),
                Err(refused) => Err(status::to_rejection(&refused)),
            },
            () = forsaken => {
                let message = "the control plane fell silent over the call; it may be tried again";
                Err(Rejection::new(Reason::Unavailable, message))
            }
        }
    }

    /// Waits until some control plane lives: a moment, for the one that has just gone may be replaced.
    async fn wait_for_life(&self) -> Result<(), Rejection> {
        let mut known = self.replicas.follow();
        let gone = self.replicas.dead_since();
        // One that is only silent comes back, or is gone, in this time.
        let until = gone.map_or_else(|| Instant::now() + LOST_AFTER, |since| since + PATIENCE);
        let lives = known.wait_for(|known| known.iter().any(|one| one.life.is_some()));
        match tokio::time::timeout_at(until, lives).await {
            Ok(Ok(_)) => Ok(()),
            Err(_) if gone.is_none() => Ok(()),
            Ok(Err(_)) | Err(_) => {
                let message = "no control plane can be reached; the call may be tried again";
                Err(Rejection::new(Reason::Unavailable, message))
            }
        }
    }
}

/// The living control plane that is asked next: those that shards are given to before the others, of
/// them the owner first.
fn next(known: &[Replica], shard: ShardId, tried: &[u64]) -> Option<Replica> {
    let living = known.iter().filter(|one| one.life.is_some() && !tried.contains(&one.owner));
    let order = |one: &&Replica| (one.eligible, replica::rank(&one.name, shard), one.name.clone());
    living.min_by_key(|one| Reverse(order(one))).cloned()
}

#[cfg(test)]
mod tests {
    use proto::{link, replicas::age::ClockThere};
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn replica(name: &str, owner: u64, eligible: bool, alive: bool) -> Replica {
        let link = link::remote("http://127.0.0.1:1").unwrap();
        let life = alive.then(CancellationToken::new);
        let clock = ClockThere::default();
        Replica { address: name.into(), name: name.into(), owner, eligible, link, life, clock }
    }

    fn order(known: &[Replica], shard: ShardId) -> Vec<String> {
        let mut tried = Vec::new();
        let mut names = Vec::new();
        while let Some(replica) = next(known, shard, &tried) {
            tried.push(replica.owner);
            names.push(replica.name.to_string());
        }
        names
    }

    #[tokio::test]
    async fn the_owner_is_asked_first_and_the_dead_never() {
        for number in 0..100 {
            let shard = ShardId::new(number).unwrap();
            let names = ["cp-0", "cp-1", "cp-2"];
            let first = replica::owner(names, shard).unwrap();
            let known = |state: fn(&str, &str) -> (bool, bool)| -> Vec<_> {
                let replicas = names.iter().zip(1..).map(|(name, owner)| {
                    let (eligible, alive) = state(name, first);
                    replica(name, owner, eligible, alive)
                });
                replicas.collect()
            };
            let all = order(&known(|_, _| (true, true)), shard);
            assert_eq!((all.len(), &*all[0]), (3, first));
            let warming = order(&known(|name, first| (name != first, true)), shard);
            assert_eq!(warming, [&all[1..], &all[..1]].concat(), "it is asked last");
            assert_eq!(order(&known(|name, first| (true, name != first)), shard), &all[1..]);
            assert_eq!(order(&known(|_, _| (false, true)), shard), all);
        }
    }
}
