//! Who runs beside whom: tests that measure time or memory run alone, all others together.

use crate::process;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

static MACHINE: RwLock<()> = RwLock::const_new(());

/// Held by a test that others may run beside.
pub type Shared = RwLockReadGuard<'static, ()>;
/// Held by a test that measures.
pub type Alone = RwLockWriteGuard<'static, ()>;

/// A place on the machine: shared, or for this test alone.
#[derive(Debug)]
pub enum Place {
    /// Others run too.
    Shared(Shared),
    /// Nobody else does.
    Alone(Alone),
}

impl Place {
    /// Waits for a place, and until the programs are built.
    pub async fn take(alone: bool) -> Self {
        process::build();
        if alone { Self::Alone(MACHINE.write().await) } else { Self::Shared(MACHINE.read().await) }
    }
}
