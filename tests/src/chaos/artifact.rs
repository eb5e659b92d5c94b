//! What is kept of a run: one JSON file, and its history where somebody has to look into it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    process::Command,
};

use serde_json::{Value, json};

use super::{
    history::{Attempt, End, History, Socket, Step, What},
    verdicts::Verdict,
};
use crate::{
    arena::{Order, Part, Vitals},
    process::program,
};

/// What programs, system and machine a run was of.
#[must_use]
pub fn versions() -> Value {
    let says = |program: &Path, argument: &[&str]| {
        let output = Command::new(program).args(argument).output();
        let text = output.map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    json!({
        "commit": says(Path::new("git"), &["describe", "--always", "--dirty"]),
        "control_plane": says(&program("carillon-control-plane"), &["--version"]),
        "profile": if cfg!(debug_assertions) { "debug" } else { "release" },
        "etcd": says(Path::new("etcd"), &["--version"]),
        "system": says(Path::new("uname"), &["-srm"]),
        "cores": cores,
    })
}

/// What a run was of.
#[must_use]
pub fn order(order: &Order, has_namespaces: bool) -> Value {
    let Order { etcd, control_planes, gateways, nodes, all_in_one, .. } = order;
    json!({
        "etcd": etcd, "control_planes": control_planes, "gateways": gateways, "nodes": nodes,
        "all_in_one": all_in_one, "namespaces": has_namespaces,
    })
}

/// The fault plan, in milliseconds.
#[must_use]
pub fn timeline(plan: &[Step]) -> Value {
    let ms = |at: u64| at / 1_000;
    let step = |step: &Step| json!({ "what": step.what, "began_ms": ms(step.began), "done_ms": step.done.map(ms) });
    plan.iter().map(step).collect()
}

/// Memory, files and processor time of each part.
#[must_use]
pub fn vitals(vitals: &BTreeMap<Part, Vitals>) -> Value {
    let one = |vitals: &Vitals| {
        let Vitals { resident_kib, files, cpu } = vitals;
        json!({ "resident_kib": resident_kib, "files": files, "cpu_s": cpu.as_secs_f64() })
    };
    vitals.iter().map(|(part, vitals)| (part.to_string(), one(vitals))).collect::<Value>()
}

/// What each part has counted.
#[must_use]
pub fn counters(counters: &BTreeMap<Part, BTreeMap<String, f64>>) -> Value {
    let told = |counters: &BTreeMap<String, f64>| {
        let told = counters.iter().filter(|(_, value)| **value != 0.0);
        told.map(|(name, value)| (name.clone(), json!(value))).collect::<Value>()
    };
    counters.iter().map(|(part, counters)| (part.to_string(), told(counters))).collect()
}

/// All verdicts.
#[must_use]
pub fn verdicts(verdicts: &[Verdict]) -> Value {
    let one = |verdict: &Verdict| {
        let Verdict { rule, checked, faults, examples } = verdict;
        json!({ "rule": rule, "checked": checked, "faults": faults, "examples": examples })
    };
    verdicts.iter().map(one).collect()
}

/// Writes a history as JSON, one line per thing that happened.
pub fn spill(history: &History, path: &Path) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    writeln!(file, "{}", json!({ "channels": history.channels }))?;
    for attempt in &history.attempts {
        let Attempt { key, app, channel, start, end, status, excluded } = attempt;
        let key = [key.publisher, key.sequence];
        let line = json!({
            "publish": key, "app": app, "channel": channel, "start": start, "end": end,
            "status": status, "excluded": excluded,
        });
        writeln!(file, "{line}")?;
    }
    for socket in &history.sockets {
        spill_socket(socket, &mut file)?;
    }
    file.flush()
}

fn spill_socket(socket: &Socket, file: &mut impl Write) -> io::Result<()> {
    let Socket { number, app, node, user, opened, ended, entries } = socket;
    let ended = ended.map(|(at, end)| match end {
        End::Closed(code) => json!({ "at": at, "code": code }),
        End::Lost => json!({ "at": at }),
    });
    let line = json!({
        "socket": number, "app": app, "node": node, "user": user, "opened": opened, "ended": ended,
    });
    writeln!(file, "{line}")?;
    for entry in entries {
        let (what, value) = match &entry.what {
            What::Subscribed => ("subscribed", Value::Null),
            What::Entered(users) => ("entered", json!(users)),
            What::Event(key) => ("event", json!([key.publisher, key.sequence])),
            What::Added(user) => ("added", json!(user)),
            What::Removed(user) => ("removed", json!(user)),
            What::Leaving => ("leaving", Value::Null),
            What::Left => ("left", Value::Null),
            What::Strange(text) => ("strange", json!(text)),
        };
        let (at, channel) = (entry.at, entry.channel);
        writeln!(file, "{}", json!({ "on": number, "at": at, "channel": channel, what: value }))?;
    }
    Ok(())
}
