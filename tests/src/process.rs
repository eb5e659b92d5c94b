//! The programs as processes of their own.

use std::{
    fs::File,
    net::TcpListener,
    path::PathBuf,
    process::{Command as BlockingCommand, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU16, Ordering},
    },
};

use tokio::process::{Child, Command};

use crate::chaos::lane::features;

/// Ports below those that the system gives to outgoing connections (32,768 and up on Linux): a port
/// from up there may be a client's before the program that it was meant for has bound it.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// A free port that no other caller in this process is given, and no outgoing connection either.
#[must_use]
pub fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let span = PORTS.end - PORTS.start;
    // Processes that run side by side begin at different places.
    let first = (std::process::id() % u32::from(span)) as u16;
    let next = || PORTS.start + (first + TAKEN.fetch_add(1, Ordering::Relaxed) % span) % span;
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let mut tried = std::iter::repeat_with(next).take(span.into());
    tried.find(is_free).expect("some port is free")
}

/// The folder with the programs, built as this test is: once, and at once where nothing has changed.
/// Where the test has features of theirs, `CHAOS_FEATURES` names the same for them.
static PROGRAMS: LazyLock<PathBuf> = LazyLock::new(|| {
    let test = std::env::current_exe().expect("a test is a program");
    let folder = test.ancestors().nth(2).expect("target/<profile>/deps/test");
    let mut cargo = BlockingCommand::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--workspace", "--bins"]);
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    if let Some(features) = features() {
        cargo.args(["--features", &features]);
    }
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    let built = cargo.status().expect("cargo can be started");
    assert!(built.success(), "the programs cannot be built");
    folder.to_owned()
});

/// Builds the programs, if that has not been done: while a test has nothing running that would have
/// to wait meanwhile.
pub fn build() {
    LazyLock::force(&PROGRAMS);
}

/// The file of a program of ours.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    PROGRAMS.join(name)
}

/// What to start, where, and who keeps what it says.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The file, or a name that the system finds.
    pub program: PathBuf,
    /// Its command line.
    pub arguments: Vec<String>,
    /// The network namespace that it runs in; `None`: that of the test.
    pub namespace: Option<String>,
    /// What it prints is appended here.
    pub log: PathBuf,
}

/// A running program; it is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts `carillon`, `carillon-gateway` and so on.
    #[must_use]
    pub fn start(program: &str, arguments: &[String]) -> Self {
        Self::start_with_log(program, arguments, Stdio::null())
    }

    /// The same with what it logs going somewhere.
    #[must_use]
    pub fn start_with_log(program: &str, arguments: &[String], log: impl Into<Stdio>) -> Self {
        let child = Command::new(PROGRAMS.join(program))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn();
        Self { child: child.expect("the program can be started") }
    }

    /// Starts any program in any place.
    #[must_use]
    pub fn launch(launch: &Launch) -> Self {
        let log = File::options().create(true).append(true).open(&launch.log);
        let log = log.expect("the log's folder is there");
        let mut command = match &launch.namespace {
            // It becomes the program: the process id is the program's.
            Some(namespace) => {
                let mut inside = Command::new("ip");
                inside.args(["netns", "exec", namespace]).arg(&launch.program);
                inside
            }
            None => Command::new(&launch.program),
        };
        let child = command
            .args(&launch.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("an open file can be shared"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn();
        Self { child: child.expect("the program can be started") }
    }

    /// Starts a program that may have so many file descriptors, and cannot raise that by itself.
    #[must_use]
    pub fn start_limited(program: &str, arguments: &[String], descriptors: u32) -> Self {
        let child = Command::new("sh")
            .args(["-c", "ulimit -n \"$1\"; shift; exec \"$@\"", "sh", &descriptors.to_string()])
            .arg(PROGRAMS.join(program))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        Self { child: child.expect("the program can be started") }
    }

    /// What a command prints; fails where it fails.
    pub async fn output(program: &str, arguments: &[&str]) -> String {
        let printed = Self::try_output(program, arguments).await;
        printed.unwrap_or_else(|error| panic!("{program} {arguments:?}: {error}"))
    }

    /// What a command prints, or what it says where it fails.
    pub async fn try_output(program: &str, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(PROGRAMS.join(program)).args(arguments).output().await;
        let output = output.expect("the program can be started");
        let told = if output.status.success() { Ok(output.stdout) } else { Err(output.stderr) };
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        told.map(text).map_err(text)
    }

    /// Resident memory, in KiB.
    #[must_use]
    pub fn resident_kib(&self) -> u64 {
        resident_kib(&self.pid().to_string())
    }

    /// Sends a signal by its name, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let sent = BlockingCommand::new("kill")
            .args([format!("-{name}"), self.pid().to_string()])
            .status();
        assert!(sent.expect("kill can be started").success());
    }

    /// The exit code, once it has ended by itself.
    pub async fn ended(&mut self) -> Option<i32> {
        crate::soon("the program's end", self.ended_by_itself()).await
    }

    /// The same, however long it takes.
    pub async fn ended_by_itself(&mut self) -> Option<i32> {
        self.child.wait().await.expect("it can be waited for").code()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it has not been waited for")
    }
}

/// Resident memory of a process (or of `self`), in KiB.
#[must_use]
pub fn resident_kib(pid: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    let status = status.expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    let number = number.and_then(|number| number.parse().ok());
    number.expect("Linux says how much memory a process has")
}
