//! The official libraries, run as their users run them: one JSON object per line comes back.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::{PATIENCE, soon};

/// A script that runs.
#[derive(Debug)]
pub struct Rig {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// Lines that came while another one was waited for.
    kept: Vec<Value>,
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
        let stdin = child.stdin.take().expect("it is piped");
        let stdout = child.stdout.take().expect("it is piped");
        Self { child, stdin, lines: BufReader::new(stdout).lines(), kept: Vec::new() }
    }

    /// Writes an order to the script.
    pub async fn order(&mut self, order: &Value) {
        let line = format!("{order}\n");
        let written = soon("room for an order", self.stdin.write_all(line.as_bytes())).await;
        written.expect("the script reads its orders");
    }

    /// The next line; `None` after the last one.
    pub async fn line(&mut self) -> Option<Value> {
        soon("a line of the script", self.read()).await
    }

    async fn read(&mut self) -> Option<Value> {
        let line = self.lines.next_line().await.expect("the script can be read")?;
        Some(serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}")))
    }

    /// The next line of that type; others before it are kept.
    pub async fn expect(&mut self, kind: &str) -> Value {
        self.take(&json!({ "type": kind })).await
    }

    /// The first line with these fields that nobody has taken; others before it are kept.
    pub async fn take(&mut self, wanted: &Value) -> Value {
        if let Some(place) = self.kept.iter().position(|line| has(line, wanted)) {
            return self.kept.remove(place);
        }
        let seen = self.kept.len();
        match timeout(PATIENCE, self.wait_for(wanted)).await {
            Ok(Some(line)) => line,
            Ok(None) => panic!("ended before a line with {wanted}, after {:#?}", self.kept),
            Err(_) => panic!("no line with {wanted}, but {:#?}", &self.kept[seen..]),
        }
    }

    async fn wait_for(&mut self, wanted: &Value) -> Option<Value> {
        loop {
            let line = self.read().await?;
            if has(&line, wanted) {
                return Some(line);
            }
            self.kept.push(line);
        }
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

/// Whether a line has all fields of another one, with the same values.
fn has(line: &Value, wanted: &Value) -> bool {
    let wanted = wanted.as_object().expect("what is wanted is an object");
    wanted.iter().all(|(name, value)| line[name] == *value)
}

fn tests() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn needs(path: &Path) {
    let path = path.display();
    let there = Path::new(&path.to_string()).exists();
    assert!(there, "{path} is missing: run ./test, which installs it");
}
