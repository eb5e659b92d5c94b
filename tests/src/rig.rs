//! The official libraries, run as their users run them: one JSON object per line comes back.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::soon;

/// A script that runs.
#[derive(Debug)]
pub struct Rig {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Rig {
    /// Starts a script of `tests/js`.
    #[must_use]
    pub fn node(script: &str, arguments: &[&str]) -> Self {
        let folder = tests().join("js");
        needs(&folder.join("node_modules"));
        Self::start(Path::new("node"), &folder.join(script), arguments)
    }

    /// Starts a script of `tests/python`.
    #[must_use]
    pub fn python(script: &str, arguments: &[&str]) -> Self {
        let python = tests().join("../.tools/venv/bin/python");
        needs(&python);
        Self::start(&python, &tests().join("python").join(script), arguments)
    }

    fn start(program: &Path, script: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(program)
            .arg(script)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", program.display()));
        let stdout = child.stdout.take().expect("it is piped");
        let lines = BufReader::new(stdout).lines();
        Self { child, lines }
    }

    /// The next line; `None` after the last one.
    pub async fn line(&mut self) -> Option<Value> {
        let line = soon("a line of the script", self.lines.next_line()).await;
        let line = line.expect("the script can be read")?;
        Some(serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}")))
    }

    /// The next line of that type; others before it are passed over.
    pub async fn expect(&mut self, kind: &str) -> Value {
        let mut seen = Vec::new();
        while let Some(line) = self.line().await {
            if line["type"] == kind {
                return line;
            }
            seen.push(line);
        }
        panic!("no line of type {kind}, but {seen:?}");
    }

    /// All lines to the end, and whether the script ended well.
    pub async fn finish(mut self) -> (Vec<Value>, bool) {
        let mut lines = Vec::new();
        while let Some(line) = self.line().await {
            lines.push(line);
        }
        let status = soon("the script's end", self.child.wait()).await;
        (lines, status.expect("it can be waited for").success())
    }
}

fn tests() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn needs(path: &Path) {
    let path = path.display();
    let there = Path::new(&path.to_string()).exists();
    assert!(there, "{path} is missing: run ./test, which installs it");
}
