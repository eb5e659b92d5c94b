//! A tab of a user who comes and goes at random.

use std::{future::pending, net::SocketAddr, time::Duration};

use tests::chance::Chance;
use tokio::{sync::watch, time::sleep};

use crate::seat::{Seat, Told};

/// What all guests do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// They come and go.
    ComeAndGo,
    /// Who is there stays, and who is away stays away.
    Stay,
    /// All tell what they have seen.
    Tell,
}

/// Time at most in the room, and away from it.
const THERE_MAX: Duration = Duration::from_secs(12);
const AWAY_MAX: Duration = Duration::from_secs(6);
/// Before a further attempt where nobody answers.
const RETRY: Duration = Duration::from_millis(50);

/// One tab.
pub(crate) struct Guest {
    nodes: Vec<SocketAddr>,
    chance: Chance,
    phases: watch::Receiver<Phase>,
    visit: Visit,
}

/// What a tab has seen.
#[derive(Default)]
pub(crate) struct Visit {
    pub(crate) user: String,
    /// Its place at the end, if it had one. It keeps it until all have told: nobody sees others go.
    pub(crate) seat: Option<Seat>,
    /// Members that it was told of.
    pub(crate) told: usize,
    /// Connections that ended by themselves.
    pub(crate) lost: usize,
    pub(crate) faults: Vec<String>,
}

/// How a stay in the room ended.
enum Stay {
    /// It has left the channel; the socket is open.
    Left(Box<Seat>),
    /// There is no socket any more.
    Closed,
    /// The connection was lost.
    Lost,
    /// Nobody comes and goes any more.
    Over,
}

impl Guest {
    pub(crate) fn new(
        user: String,
        nodes: Vec<SocketAddr>,
        chance: Chance,
        phases: watch::Receiver<Phase>,
    ) -> Self {
        Self { nodes, chance, phases, visit: Visit { user, ..Visit::default() } }
    }

    pub(crate) async fn run(mut self) -> Visit {
        let (mut seat, mut hurry) = (None, false);
        while hurry || self.waits().await {
            match self.stay(seat.take()).await {
                Stay::Left(left) => (seat, hurry) = (Some(*left), false),
                Stay::Closed => hurry = false,
                // As every client library does.
                Stay::Lost => hurry = true,
                Stay::Over => break,
            }
        }
        let _end = self.phases.wait_for(|phase| *phase == Phase::Tell).await;
        self.visit
    }

    /// Stays away for a while; whether it may come then.
    async fn waits(&mut self) -> bool {
        // Half of those who leave are back at once.
        if self.chance.below(2) == 0 {
            sleep(self.chance.pause(AWAY_MAX)).await;
        }
        *self.phases.borrow() == Phase::ComeAndGo
    }

    async fn stay(&mut self, seat: Option<Seat>) -> Stay {
        let seat = match seat {
            Some(seat) => Some(seat),
            None => Seat::take(self.chance.pick(&self.nodes), &self.visit.user).await,
        };
        let Some(mut seat) = seat else {
            sleep(RETRY).await;
            return Stay::Lost;
        };
        seat.join().await;
        let time = sleep(self.chance.pause(THERE_MAX));
        tokio::pin!(time);
        let (mut phases, mut confirmed) = (self.phases.clone(), false);
        loop {
            let phase = *phases.borrow_and_update();
            let leave = async {
                match phase {
                    Phase::ComeAndGo if confirmed => (&mut time).await,
                    Phase::ComeAndGo | Phase::Stay | Phase::Tell => pending().await,
                }
            };
            tokio::select! {
                told = seat.next() => match told {
                    Told::Roster => confirmed = true,
                    Told::Added(_) | Told::Removed(_) => self.visit.told += 1,
                    Told::Fault(fault) => self.visit.faults.push(fault),
                    Told::Closed(code) => {
                        self.visit.faults.push(format!("closed with {code}"));
                        return Stay::Lost;
                    }
                    Told::Lost => {
                        self.visit.lost += 1;
                        return Stay::Lost;
                    }
                },
                () = leave => return self.go(seat).await,
                _ = phases.changed() => {}
            }
            if *phases.borrow() == Phase::Tell {
                self.visit.seat = Some(seat);
                return Stay::Over;
            }
        }
    }

    /// The three ways to go.
    async fn go(&mut self, mut seat: Seat) -> Stay {
        match self.chance.below(3) {
            0 => seat.close().await,
            1 => drop(seat),
            _ => {
                seat.leave().await;
                return Stay::Left(Box::new(seat));
            }
        }
        Stay::Closed
    }
}
