//! The official libraries, unchanged, against real processes.

mod libraries;
mod planes;

mod browser;
mod channels;
mod client;
mod client_events;
mod command_line;
mod counts;
mod echo;
mod presence;
mod publish;
mod reads;
mod reconnect;
mod reflection;
mod users;
mod webhooks;

/// Two tests for each scenario: everything in one process, and a process for each plane.
macro_rules! in_both_layouts {
    ($($scenario:ident),+ $(,)?) => {$(
        mod $scenario {
            use crate::sdk::planes::Layout;

            #[tokio::test]
            async fn in_one_process() {
                super::$scenario(Layout::OneProcess).await;
            }

            #[tokio::test]
            async fn in_three_processes() {
                super::$scenario(Layout::ThreeProcesses).await;
            }
        }
    )+};
}
use in_both_layouts;
