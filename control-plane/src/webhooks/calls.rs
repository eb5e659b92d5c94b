//! The calls under way: bounded in number, and those to targets that fail bounded once more.

use std::{collections::HashMap, sync::Arc};

use model::{AppId, MessageId};
use tokio::{
    sync::Semaphore,
    task::{AbortHandle, Id, JoinSet},
};

use super::{
    call::{Call, Outcome},
    client::Client,
};

/// All calls under way.
#[derive(Debug)]
pub(super) struct Calls {
    client: Client,
    tasks: JoinSet<Outcome>,
    whose: HashMap<Id, Whose>,
    places: Arc<Semaphore>,
    /// Half of them: targets that hang may not take the places of those that answer.
    failing_places: Arc<Semaphore>,
}

#[derive(Debug)]
struct Whose {
    app: AppId,
    target: MessageId,
    task: AbortHandle,
}

/// A call that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) app: AppId,
    pub(super) target: MessageId,
    pub(super) outcome: Outcome,
}

impl Calls {
    pub(super) fn new(client: Client, most: usize) -> Self {
        Self {
            client,
            tasks: JoinSet::new(),
            whose: HashMap::new(),
            places: Arc::new(Semaphore::new(most.max(1))),
            failing_places: Arc::new(Semaphore::new(most.div_ceil(2).max(1))),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.whose.len()
    }

    /// Makes the call as soon as there is a place.
    pub(super) fn start(&mut self, call: Call) {
        let (app, target) = (call.app.id.clone(), call.target);
        let (places, client) = (Arc::clone(&self.places), self.client.clone());
        let failing_places = call.failing.then(|| Arc::clone(&self.failing_places));
        let task = self.tasks.spawn(async move {
            let _failing_place = match failing_places {
                Some(places) => Some(places.acquire_owned().await),
                None => None,
            };
            let _place = places.acquire().await;
            client.make(&call).await
        });
        self.whose.insert(task.id(), Whose { app, target, task });
    }

    /// Breaks off the calls to a target that is gone.
    pub(super) fn abort(&mut self, target: MessageId) {
        self.whose.retain(|_, whose| {
            let gone = whose.target == target;
            if gone {
                whose.task.abort();
            }
            !gone
        });
    }

    /// The next call that ends; never, while there is none.
    pub(super) async fn next(&mut self) -> Ended {
        loop {
            let Some(joined) = self.tasks.join_next_with_id().await else {
                return std::future::pending().await;
            };
            let (id, outcome) = match joined {
                Ok(ended) => ended,
                Err(error) => (error.id(), Outcome::Unreachable("the call was broken off".into())),
            };
            if let Some(Whose { app, target, .. }) = self.whose.remove(&id) {
                return Ended { app, target, outcome };
            }
        }
    }
}
