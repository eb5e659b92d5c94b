//! A sample of the deltas, decoded once more by the packages that clients use.

use std::{
    collections::HashMap,
    io::Write as _,
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::process::Command;

/// Lines for `tests/js/deltas.mjs`.
pub(super) struct Samples {
    per_cell: usize,
    lines: Mutex<Vec<u8>>,
}

impl Samples {
    pub(super) fn new(per_cell: usize) -> Self {
        Self { per_cell, lines: Mutex::new(Vec::new()) }
    }

    /// At least so many cases were sampled, and all are decoded.
    pub(super) async fn referee(&self, cases_min: usize) {
        let mut file = tempfile::tempfile().unwrap();
        let lines = std::mem::take(&mut *self.lines.lock().unwrap());
        let cases = lines.iter().filter(|byte| **byte == b'\n').count();
        assert!(cases >= cases_min, "{cases} cases");
        file.write_all(&lines).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("js/deltas.mjs");
        let node = Command::new("node").arg(script).stdin(Stdio::from(file)).output().await;
        let node = node.expect("node is installed");
        let said = String::from_utf8(node.stdout).unwrap();
        let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        assert_eq!(last, json!({ "type": "done", "cases": cases, "wrong": 0 }), "{said}");
        assert!(node.status.success());
    }
}

/// One listener's part: it remembers every text by its number.
pub(super) struct Sampler {
    samples: Arc<Samples>,
    texts: HashMap<u64, String>,
    deltas: usize,
    taken: usize,
}

/// Of a listener's deltas one in so many is taken.
const EVERY: usize = 4;

impl Sampler {
    pub(super) fn new(samples: Arc<Samples>) -> Self {
        Self { samples, texts: HashMap::new(), deltas: 0, taken: 0 }
    }

    pub(super) fn take(&mut self, frame: &str, text: &str) {
        if let Some(sequence) = number(frame, r#","__delta_seq":"#) {
            self.texts.insert(sequence, text.to_owned());
        } else if let Some(sequence) = number(frame, r#"","seq":"#) {
            self.deltas += 1;
            if self.deltas % EVERY == 1 && self.taken < self.samples.per_cell / 3 + 1 {
                self.sample(frame, text);
            }
            self.texts.insert(sequence, text.to_owned());
        }
    }

    fn sample(&mut self, frame: &str, text: &str) {
        let data = &serde_json::from_str::<Value>(frame).unwrap()["data"];
        let base = &self.texts[&data["base_index"].as_u64().unwrap()];
        let [base, target] = [base, text].map(|text| STANDARD.encode(text));
        let line = json!({
            "base": base, "delta": data["delta"], "target": target, "algorithm": data["algorithm"],
        });
        writeln!(self.samples.lines.lock().unwrap(), "{line}").unwrap();
        self.taken += 1;
    }
}

/// The number behind the last of these words.
fn number(frame: &str, words: &str) -> Option<u64> {
    let digits = &frame[frame.rfind(words)? + words.len()..];
    let end = digits.find(|c: char| !c.is_ascii_digit())?;
    digits[..end].parse().ok()
}
