//! More than a node can take: those who do nothing wrong do not notice.

mod descriptors;
mod goodput;
mod idlers;
mod outboxes;
mod readers;

use std::{net::SocketAddr, time::Duration};

use tempfile::TempDir;
use tests::{
    cluster::is_ready,
    process::{Process, free_port},
    rest::{Backend, Credentials, get},
};

/// The all-in-one as a process of its own.
struct Server {
    process: Process,
    public: SocketAddr,
    operations: SocketAddr,
    _folder: TempDir,
}

impl Server {
    /// With these further arguments; with so many file descriptors, where that is said.
    async fn start(further: &[&str], descriptors: Option<u32>) -> Self {
        let folder = TempDir::new().unwrap();
        let [public, operations]: [SocketAddr; 2] =
            [(); 2].map(|()| ([127, 0, 0, 1], free_port()).into());
        let mut arguments = vec![
            format!("--listen={public}"),
            format!("--operations-listen={operations}"),
            format!("--data={}", folder.path().display()),
        ];
        arguments.extend(further.iter().map(|&argument| argument.to_owned()));
        let process = match descriptors {
            Some(descriptors) => Process::start_limited("carillon", &arguments, descriptors),
            None => Process::start("carillon", &arguments),
        };
        is_ready(operations).await;
        Self { process, public, operations, _folder: folder }
    }

    fn backend(&self) -> Backend {
        Backend::new(self.public, Credentials::default())
    }

    /// A counter or gauge; 0 where it has not been counted yet.
    async fn metric(&self, name: &str) -> u64 {
        let (_, text) = get(self.operations, "/metrics").await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |number| number.parse().unwrap())
    }
}

/// What stands at this share of the values, from 0 to 1.
fn quantile(values: &mut [Duration], share: f64) -> Duration {
    values.sort_unstable();
    let place = (values.len() as f64 * share) as usize;
    values[place.min(values.len() - 1)]
}
