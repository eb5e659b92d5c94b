//! Configuration: flag, then environment, then TOML file, then default.
//!
//! A program declares its options once, as a clap struct. For an option `--etcd-endpoints` the
//! environment variable is `CARILLON_ETCD_ENDPOINTS` and the key in the file `etcd_endpoints`. A
//! `CARILLON_` variable or a key that no option knows is an error that names the nearest valid one.

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use clap::{ArgMatches, Args, Command, FromArgMatches, parser::ValueSource};

const PREFIX: &str = "CARILLON_";

/// What is wrong with the configuration: every mistake, one per line.
#[derive(Debug)]
pub struct Mistakes(pub Vec<String>);

impl std::fmt::Display for Mistakes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Mistakes {}

/// Options that every program has; each flattens them into its own.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// TOML file with further options; keys are the option names with _ for -
    #[arg(long, value_name = "FILE")]
    pub config: Option<String>,
    /// Print what is in force, with where each value comes from, and exit
    #[arg(long)]
    pub print_config: bool,
    /// What to log: error, warn, info, debug, trace, or a tracing filter
    #[arg(long, default_value = "info")]
    pub log_level: String,
    /// How to log: text, json, or auto (text on a terminal)
    #[arg(long, default_value = "auto", value_parser = ["auto", "text", "json"])]
    pub log_format: String,
    /// What is traced.
    #[command(flatten)]
    pub traces: super::traces::Options,
}

/// Where options come from besides the command line; given as values so that tests need no process.
#[derive(Debug, Default)]
pub struct Sources {
    /// The command line, without the program's name.
    pub arguments: Vec<OsString>,
    /// The environment.
    pub environment: Vec<(String, String)>,
}

impl Sources {
    /// The process's own.
    #[must_use]
    pub fn of_process() -> Self {
        Self {
            arguments: std::env::args_os().skip(1).collect(),
            environment: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
        }
    }
}

/// A parsed configuration and what it was made of.
#[derive(Debug)]
pub struct Parsed<T> {
    /// The options.
    pub options: T,
    /// One line per option: name, value, source; secrets are redacted.
    pub effective: Vec<String>,
}

/// Reads the configuration of the process; prints and exits on `--help`, `--version`,
/// `--print-config` and on mistakes (exit code 64).
#[allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the program's voice")]
pub fn read_or_exit<T: Args + FromArgMatches>(command: Command) -> T {
    match parse::<T>(command, Sources::of_process()) {
        Ok((parsed, true)) => {
            println!("{}", parsed.effective.join("\n"));
            std::process::exit(0)
        }
        Ok((parsed, false)) => parsed.options,
        Err(ConfigError::Clap(error)) if !error.use_stderr() => error.exit(),
        Err(ConfigError::Clap(error)) => {
            eprint!("{}", error.render());
            std::process::exit(64)
        }
        Err(ConfigError::Mistakes(mistakes)) => {
            eprintln!("{mistakes}");
            std::process::exit(64)
        }
    }
}

/// Why there is no configuration.
#[derive(Debug)]
pub enum ConfigError {
    /// What clap says of the arguments; also `--help` and `--version`.
    Clap(clap::Error),
    /// Unknown names in the environment or the file, or a file that cannot be read.
    Mistakes(Mistakes),
}

/// Parses; the flag says whether `--print-config` was given.
pub fn parse<T: Args + FromArgMatches>(
    command: Command,
    sources: Sources,
) -> Result<(Parsed<T>, bool), ConfigError> {
    let command = T::augment_args(command).args_override_self(true);
    let known = options(&command);
    let mut mistakes = Vec::new();
    let environment = environment(&known, &sources.environment, &mut mistakes);
    let preview = command
        .clone()
        .ignore_errors(true)
        .try_get_matches_from(
            std::iter::once("carillon".into())
                .chain(environment.values().cloned().map(OsString::from))
                .chain(sources.arguments.iter().cloned()),
        )
        .ok();
    let path = preview.as_ref().and_then(|found| found.get_one::<String>("config").cloned());
    let file = path.map(|path| file(&known, Path::new(&path), &mut mistakes)).unwrap_or_default();
    if !mistakes.is_empty() {
        return Err(ConfigError::Mistakes(Mistakes(mistakes)));
    }
    // A later argument overrides an earlier one of the same name: file, environment, command line.
    // An option of many values is given as a whole by the strongest source that names it.
    let on_line = given(&command, &sources.arguments);
    let weaker = file
        .iter()
        .filter(|(name, _)| !environment.contains_key(*name) && !on_line.contains(name))
        .chain(environment.iter().filter(|(name, _)| !on_line.contains(name)))
        .flat_map(|(_, text)| text.split('\u{1f}').map(OsString::from));
    let arguments: Vec<OsString> = std::iter::once(OsString::from("carillon"))
        .chain(weaker)
        .chain(sources.arguments.iter().cloned())
        .collect();
    let found = command.try_get_matches_from(arguments).map_err(ConfigError::Clap)?;
    let options = T::from_arg_matches(&found).map_err(ConfigError::Clap)?;
    let effective = known
        .keys()
        .map(|name| {
            let source = if on_line.contains(name) {
                "flag"
            } else if environment.contains_key(name) {
                "environment"
            } else if file.contains_key(name) {
                "file"
            } else {
                "default"
            };
            format!("{name} = {}  # {source}", shown(&found, name))
        })
        .collect();
    Ok((Parsed { options, effective }, found.get_flag("print_config")))
}

/// The long options by their name in files: `etcd_endpoints` to whether it takes a value.
fn options(command: &Command) -> BTreeMap<String, bool> {
    command
        .get_arguments()
        .filter(|argument| argument.get_long().is_some())
        .filter(|argument| !matches!(argument.get_id().as_str(), "help" | "version"))
        .map(|argument| (argument.get_id().to_string(), argument.get_action().takes_values()))
        .collect()
}

/// The names that the command line gives.
fn given(command: &Command, arguments: &[OsString]) -> Vec<String> {
    let line = std::iter::once("carillon".into()).chain(arguments.iter().cloned());
    let Ok(found) = command.clone().ignore_errors(true).try_get_matches_from(line) else {
        return Vec::new();
    };
    found
        .ids()
        .map(|id| id.as_str().to_owned())
        .filter(|id| found.value_source(id) == Some(ValueSource::CommandLine))
        .collect()
}

/// One option as arguments, joined by the unit separator.
fn arguments(name: &str, takes_value: bool, values: &[String]) -> String {
    let flag = format!("--{}", name.replace('_', "-"));
    if takes_value {
        let each: Vec<_> = values.iter().map(|value| format!("{flag}={value}")).collect();
        return each.join("\u{1f}");
    }
    flag
}

fn environment(
    known: &BTreeMap<String, bool>,
    variables: &[(String, String)],
    mistakes: &mut Vec<String>,
) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (variable, value) in variables {
        let Some(name) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        let name = name.to_ascii_lowercase();
        match known.get(&name) {
            None => mistakes.push(format!(
                "{variable} is no option; did you mean {PREFIX}{}?",
                nearest(&name, known).to_ascii_uppercase()
            )),
            Some(false) if matches!(value.as_str(), "false" | "0" | "") => {}
            Some(takes_value) => {
                found.insert(
                    name.clone(),
                    arguments(&name, *takes_value, std::slice::from_ref(value)),
                );
            }
        }
    }
    found
}

fn file(
    known: &BTreeMap<String, bool>,
    path: &Path,
    mistakes: &mut Vec<String>,
) -> BTreeMap<String, String> {
    let table = std::fs::read_to_string(path)
        .map_err(|error| error.to_string())
        .and_then(|text| text.parse::<toml::Table>().map_err(|error| error.to_string()));
    let table = match table {
        Ok(table) => table,
        Err(error) => {
            mistakes.push(format!("{}: {error}", path.display()));
            return BTreeMap::new();
        }
    };
    let mut found = BTreeMap::new();
    for (name, value) in table {
        let Some(takes_value) = known.get(&name) else {
            let nearest = nearest(&name, known);
            let path = path.display();
            mistakes.push(format!("{path}: {name} is no option; did you mean {nearest}?"));
            continue;
        };
        let values: Vec<String> = match value {
            toml::Value::String(text) => vec![text],
            toml::Value::Array(items) => items
                .into_iter()
                .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
                .collect(),
            toml::Value::Boolean(false) if !takes_value => continue,
            toml::Value::Boolean(_)
            | toml::Value::Integer(_)
            | toml::Value::Float(_)
            | toml::Value::Datetime(_)
            | toml::Value::Table(_) => vec![value.to_string()],
        };
        found.insert(name.clone(), arguments(&name, *takes_value, &values));
    }
    found
}

fn shown(found: &ArgMatches, name: &str) -> String {
    if ["token", "secret", "encryption_key"].iter().any(|ending| name.ends_with(ending)) {
        return if found.contains_id(name) { "\"…\"".into() } else { "none".into() };
    }
    let Ok(Some(values)) = found.try_get_raw(name) else {
        return "none".into();
    };
    let values: Vec<_> = values.map(|value| format!("{:?}", value.to_string_lossy())).collect();
    values.join(", ")
}

/// The known name that takes the fewest edits.
fn nearest<'a>(name: &str, known: &'a BTreeMap<String, bool>) -> &'a str {
    known.keys().min_by_key(|candidate| edits(name, candidate)).map_or("", String::as_str)
}

/// Levenshtein distance, for "did you mean".
#[must_use]
pub fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, right) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Args, Debug)]
    struct Options {
        #[command(flatten)]
        common: Common,
        #[arg(long, default_value = "127.0.0.1:1")]
        listen: String,
        #[arg(long)]
        etcd_endpoints: Vec<String>,
        #[arg(long)]
        admin_token: Option<String>,
    }

    fn read(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Parsed<Options>, String> {
        let sources = Sources {
            arguments: arguments.iter().map(OsString::from).collect(),
            environment: environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        };
        parse(Command::new("test"), sources).map(|(parsed, _)| parsed).map_err(
            |error| match error {
                ConfigError::Clap(error) => error.to_string(),
                ConfigError::Mistakes(mistakes) => mistakes.to_string(),
            },
        )
    }

    #[test]
    fn flag_beats_environment_beats_file_beats_default() {
        let folder = std::env::temp_dir().join(format!("carillon-config-{}", std::process::id()));
        std::fs::write(&folder, "listen = 'file'\netcd_endpoints = ['a', 'b']\n").unwrap();
        let config = format!("--config={}", folder.display());
        assert_eq!(read(&[], &[]).unwrap().options.listen, "127.0.0.1:1");
        let from_file = read(&[&config], &[]).unwrap().options;
        assert_eq!((&*from_file.listen, from_file.etcd_endpoints.len()), ("file", 2));
        let environment = [("CARILLON_LISTEN", "env"), ("CARILLON_ETCD_ENDPOINTS", "c")];
        let from_environment = read(&[&config], &environment).unwrap().options;
        assert_eq!(from_environment.listen, "env");
        assert_eq!(from_environment.etcd_endpoints, ["c"]);
        let from_flag = read(&[&config, "--listen=flag"], &environment).unwrap().options;
        assert_eq!(from_flag.listen, "flag");
        std::fs::remove_file(folder).unwrap();
    }

    #[test]
    fn unknown_names_are_mistakes_with_a_hint() {
        let error = read(&[], &[("CARILLON_LISTENN", "x"), ("CARILLON_ETCD", "y")]).unwrap_err();
        assert!(error.contains("CARILLON_LISTENN is no option; did you mean CARILLON_LISTEN?"));
        assert!(error.contains("CARILLON_ETCD is no option"));
        assert!(read(&["--listten=x"], &[]).unwrap_err().contains("--listen"));
        let missing = read(&["--config=/nowhere/x.toml"], &[]).unwrap_err();
        assert!(missing.contains("/nowhere/x.toml"), "{missing}");
    }

    #[test]
    fn secrets_are_redacted() {
        let parsed = read(&["--admin-token=hush"], &[]).unwrap();
        let effective = parsed.effective.join("\n");
        assert!(!effective.contains("hush") && effective.contains("admin_token = \"…\"  # flag"));
        assert_eq!(parsed.options.admin_token.as_deref(), Some("hush"));
    }
}
