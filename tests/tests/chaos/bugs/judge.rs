//! A run of a lane, as a command of its own that builds what it runs, with a bug or without.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// So many seeds are tried, from 0, until one breaks a rule.
const SEEDS: u32 = 200;

/// What stands before the words of an assertion that compares.
const COMPARED: &str = "assertion `left == right` failed: ";

/// A run that knows nothing of bugs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judge {
    /// Seeds of the simulation.
    Simulation,
    /// A scenario of this harness, in the size of the short lane.
    Chaos(&'static str),
    /// A test of the endurance lane, in its everyday size.
    Endurance(&'static str),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    /// It ran, and these rules are broken, or this was not as it was to be.
    Failed(Vec<String>),
    /// It did not run to its end; with the last that it said.
    DidNotRun(String),
}

impl Judge {
    /// Runs it. What it says is kept beside what is built.
    pub(super) fn hear(self, feature: Option<&str>) -> Outcome {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        // Builds of programs without bugs stay as they are.
        let target = root.join("target/bugs");
        fs::create_dir_all(&target).expect("a folder for builds");
        let target = target.canonicalize().expect("it has just been made");
        let output = self.command(feature, &target).current_dir(root).output();
        let output = output.expect("cargo can be started");
        self.keep(feature, &target, &output);
        let [told, errors] =
            [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        Outcome::of(&self.test(), &told, &errors)
    }

    fn command(self, feature: Option<&str>, target: &Path) -> Command {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["test", "--package=tests", "--test", self.binary()]);
        cargo.args(feature.map(|feature| format!("--features={feature}")));
        cargo.args(["--", "--show-output", "--exact", &self.test()]);
        // Fast enough for load, and soon built. With one set of flags for all, libraries are built once.
        cargo
            .env("CARGO_TARGET_DIR", target)
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("RUSTFLAGS", "--cfg tokio_unstable")
            .env("CHAOS_FEATURES", feature.unwrap_or_default())
            .env("SIMULATION_SEED", "0")
            .env("SIMULATION_SEEDS", SEEDS.to_string())
            .env("SIMULATION_UNTIL_BROKEN", "1");
        cargo.env("CHAOS", "bugs");
        for name in ["CHAOS_SEED", "ENDURANCE", "ENDURANCE_SEED"] {
            cargo.env_remove(name);
        }
        cargo
    }

    fn binary(self) -> &'static str {
        match self {
            Self::Simulation => "simulation",
            Self::Chaos(_) => "chaos",
            Self::Endurance(_) => "endurance",
        }
    }

    fn test(self) -> String {
        match self {
            Self::Simulation => "no_seed_breaks_an_invariant".to_owned(),
            Self::Chaos(scenario) => format!("{scenario}::{scenario}"),
            Self::Endurance(test) => test.to_owned(),
        }
    }

    fn keep(self, feature: Option<&str>, target: &Path, output: &Output) {
        let name = feature.unwrap_or("none").replace('/', "-");
        let file = target.join(format!("{name}-{}.log", self.test().replace("::", "-")));
        let all = [&output.stdout[..], &output.stderr].concat();
        fs::write(file, all).expect("the folder is writable");
    }
}

impl Outcome {
    /// By what the test harness has told.
    fn of(test: &str, told: &str, errors: &str) -> Self {
        let prefix = format!("test {test} ... ");
        match told.lines().find_map(|line| line.strip_prefix(&prefix)) {
            Some("ok") if !told.contains("LEFT OUT") => Self::Passed,
            Some("FAILED") => Self::Failed(broken(told)),
            Some(_) | None => {
                let last = errors.lines().rev().find(|line| !line.trim().is_empty());
                Self::DidNotRun(last.unwrap_or_default().to_owned())
            }
        }
    }

    /// Whether a rule that begins like that is broken.
    pub(super) fn breaks(&self, rule: &str) -> bool {
        match self {
            Self::Failed(broken) => broken.iter().any(|broken| broken.starts_with(rule)),
            Self::Passed | Self::DidNotRun(_) => false,
        }
    }
}

/// The rules that are broken, each once: those of verdicts, those that the simulation begins a line with,
/// and the first line of what was asserted.
fn broken(told: &str) -> Vec<String> {
    let mut broken: Vec<String> = Vec::new();
    let mut lines = told.lines();
    while let Some(line) = lines.next() {
        let rule = if line.contains("' panicked at ") || line.contains(") panicked at ") {
            lines.next().map(|said| said.strip_prefix(COMPARED).unwrap_or(said))
        } else if is_of_simulation(line) {
            line.split([':', ',']).next()
        } else {
            let rule = line.trim().strip_prefix("rule: \"");
            rule.map(|rule| rule.trim_end_matches("\","))
        };
        if let Some(rule) = rule.filter(|rule| !broken.iter().any(|known| known == rule)) {
            broken.push(rule.to_owned());
        }
    }
    broken
}

/// `V2 unique: 1 of 4,000: …`
fn is_of_simulation(line: &str) -> bool {
    let number = line.strip_prefix('V').and_then(|rest| rest.split(' ').next());
    number.is_some_and(|number| number.parse::<u8>().is_ok())
}

impl fmt::Display for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simulation => write!(f, "the simulation"),
            Self::Chaos(_) | Self::Endurance(_) => write!(f, "{} {}", self.binary(), self.test()),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => write!(f, "passed"),
            Self::Failed(broken) => write!(f, "{}", broken.join("; ")),
            Self::DidNotRun(last) => write!(f, "did not run: {last}"),
        }
    }
}

#[test]
fn only_what_ran_and_broke_the_rule_has_caught_a_bug() {
    let heard = |told: &str| Outcome::of("a::b", told, "error: it cannot be built\n\n");
    let verdict = "test a::b ... FAILED\nthread 'a::b' (7) panicked at a.rs:1:2:\na: [\n    Verdict {\n        \
                   rule: \"V2 unique\",\n";
    assert!(heard(verdict).breaks("V2 unique") && !heard(verdict).breaks("V3 reliable"));
    let seed = "test a::b ... FAILED\nV3 reliable, 1 of 8: x\nV3 reliable, 1 of 8: y\n";
    assert_eq!(heard(seed), Outcome::Failed(vec!["V3 reliable".to_owned()]));
    let asserted =
        "test a::b ... FAILED\nthread 'a::b' panicked at a.rs:1:2:\nclosed at once: 9 of 9\n";
    assert!(heard(asserted).breaks("closed at once"));
    let compared = "test a::b ... FAILED\nthread 'a::b' (7) panicked at a.rs:1:2:\nassertion `left == right` \
         failed: apps went\n";
    assert_eq!(heard(compared), Outcome::Failed(vec!["apps went".to_owned()]));
    assert_eq!(heard("test a::b ... ok\n"), Outcome::Passed);
    for nothing in ["", "test a::c ... FAILED\n", "test a::b ... ok\na: LEFT OUT\n"] {
        let outcome = heard(nothing);
        assert_eq!(outcome, Outcome::DidNotRun("error: it cannot be built".to_owned()));
        assert!(!outcome.breaks(""));
    }
}
