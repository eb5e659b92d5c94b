//! When a process is asked to end.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// Cancelled at the first SIGTERM or SIGINT; at the second the process ends at once.
#[must_use]
pub fn on_signal() -> CancellationToken {
    let token = CancellationToken::new();
    let asked = token.clone();
    tokio::spawn(async move {
        next_signal().await;
        info!("asked to end; draining");
        asked.cancel();
        next_signal().await;
        std::process::exit(1);
    });
    token
}

async fn next_signal() {
    let installed = signal(SignalKind::terminate()).and_then(|terminate| {
        signal(SignalKind::interrupt()).map(|interrupt| (terminate, interrupt))
    });
    match installed {
        Ok((mut terminate, mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        Err(_) => std::future::pending().await,
    }
}
