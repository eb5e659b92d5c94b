//! A process that takes part, and what the kernel says of it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;

/// A child; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Part(Child);

/// What a child says and hears.
pub(crate) struct Talk {
    pub(crate) says: Lines<BufReader<ChildStdout>>,
    pub(crate) hears: ChildStdin,
}

impl Part {
    /// Starts this program in another role.
    pub(crate) fn role(name: &str, arguments: &[(&str, String)]) -> anyhow::Result<(Self, Talk)> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(name);
        for (option, value) in arguments {
            command.arg(option).arg(value);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("a part cannot be started")?;
        let says = BufReader::new(child.stdout.take().context("stdout is piped")?).lines();
        let hears = child.stdin.take().context("stdin is piped")?;
        Ok((Self(child), Talk { says, hears }))
    }

    /// Starts another program, of which nothing is heard but errors.
    pub(crate) fn program(mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn();
        Ok(Self(child.with_context(|| format!("{command:?}"))?))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Both fail only where the child has ended, which is as good.
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// CPU time of all threads of some processes, in user and kernel.
pub(crate) fn cpu(pids: &[u32]) -> anyhow::Result<Duration> {
    let mut total = Duration::ZERO;
    for pid in pids {
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let line = fs::read_to_string(task?.path().join("schedstat"))?;
            let on_cpu = line.split(' ').next().context("schedstat begins with it")?;
            total += Duration::from_nanos(on_cpu.parse()?);
        }
    }
    Ok(total)
}
