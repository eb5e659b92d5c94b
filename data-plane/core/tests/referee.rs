//! The npm packages that clients use decode what we encode (`npm ci` in tests/js puts them there).

#[path = "../benches/delta/series.rs"]
mod series;

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use data_plane_core::{delta::Encoder, frame};
use model::DeltaAlgorithm;
use serde_json::{Value, json};

/// Bases and targets: neighbours and strangers of the series, pieces of them, and small texts.
fn pairs() -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut pairs = Vec::new();
    for series in series::ALL {
        let payloads = series.payloads(400);
        let key = series.conflation_key.map(|key| format!(r#""{key}":""#)).unwrap_or_default();
        assert!(payloads.iter().all(|data| data.contains(&key)), "{}", series.name);
        let text = |data: &String| frame::event(series.event, series.channel, data, None);
        let texts: Vec<String> = payloads.iter().map(text).collect();
        for distance in [1, 20, 199] {
            let neighbours = texts.iter().zip(&texts[distance..]);
            pairs.extend(
                neighbours.map(|(base, target)| (base.clone().into(), target.clone().into())),
            );
        }
        for (cut, text) in texts.iter().enumerate() {
            let (front, back) = text.as_bytes().split_at(cut % text.len());
            pairs.push((text.clone().into(), [back, front, front].concat()));
            pairs.push((front.to_vec(), back.to_vec()));
        }
        pairs.push((texts.concat().into(), texts[7..].concat().into()));
    }
    for text in ["", "a", "abcd", "Zoë 🎉 \u{2028}", &"x".repeat(1_000)] {
        for base in ["", "abc", "Zoë 🎉 \u{2028}!", &"x".repeat(300)] {
            pairs.push((base.into(), text.into()));
        }
    }
    pairs
}

#[test]
fn the_packages_of_clients_decode_what_we_encode() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/js");
    let mut node = Command::new("node")
        .arg(folder.join("deltas.mjs"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node is installed");
    let (mut encoder, mut cases) = (Encoder::default(), 0);
    let mut lines = Vec::new();
    for (base, target) in pairs() {
        for algorithm in DeltaAlgorithm::ALL {
            let delta = STANDARD.encode(encoder.encode(algorithm, &base, &target));
            let (base, target) = (STANDARD.encode(&base), STANDARD.encode(&target));
            let line = json!({ "base": base, "delta": delta, "target": target, "algorithm": algorithm.name() });
            writeln!(lines, "{line}").unwrap();
            cases += 1;
        }
    }
    // The script reads all before its few lines could fill the pipe.
    node.stdin.take().unwrap().write_all(&lines).unwrap();
    let output = node.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let last: Value =
        serde_json::from_str(said.lines().last().expect("it says something")).unwrap();
    assert_eq!(last, json!({ "type": "done", "cases": cases, "wrong": 0 }), "{said}");
    assert!(output.status.success());
}
