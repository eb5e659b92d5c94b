//! Whether the programs know what the manifests tell them: options, variables, ports, metrics.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::{Command, Output},
};

use tests::process;

use crate::{
    container::Container,
    image::Image,
    manifests::{Manifests, OVERLAYS, root},
};

/// `--print-config` refuses what the program does not know, and says where each value comes from.
#[test]
fn programs_know_every_option_and_variable() {
    each_of_ours(|overlay, container| {
        let (environment, arguments) = command_line(container);
        let output = print_config(container, &environment, &arguments);
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{overlay}, {}: {complaints}", container.name());
        let values = values(&output);
        for argument in &arguments {
            let name = argument.trim_start_matches("--").split('=').next().unwrap_or_default();
            let source = values[&name.replace('-', "_")].1.as_str();
            assert_eq!(source, "flag", "{argument}");
        }
        for (variable, _) in &environment {
            if let Some(name) = variable.strip_prefix("CARILLON_") {
                let source = values[&name.to_ascii_lowercase()].1.as_str();
                assert_eq!(source, "environment", "{variable}");
            }
        }
    });
}

/// The refusals that the test above rests on.
#[test]
fn programs_refuse_what_they_do_not_know() {
    each_of_ours(|_, container| {
        let (environment, arguments) = command_line(container);
        for (option, variable) in [("--no-such-option=1", None), ("", Some("CARILLON_NONE_SUCH"))] {
            let mut arguments = arguments.clone();
            arguments.extend((!option.is_empty()).then(|| option.to_owned()));
            let mut environment = environment.clone();
            environment.extend(variable.map(|name| (name.to_owned(), "1".to_owned())));
            let output = print_config(container, &environment, &arguments);
            assert_eq!(output.status.code(), Some(64), "{}", container.name());
        }
    });
}

/// Every address that a program listens on is a port of its container, and the other way round; all
/// listen to more than loopback.
#[test]
fn ports_are_those_that_are_listened_on() {
    each_of_ours(|overlay, container| {
        let (environment, arguments) = command_line(container);
        let output = print_config(container, &environment, &arguments);
        let listening = values(&output).into_iter().filter(|(name, _)| name.ends_with("listen"));
        let ports: BTreeSet<u16> = listening
            .map(|(name, (value, _))| {
                let port = value.strip_prefix("0.0.0.0:");
                let port = port.unwrap_or_else(|| panic!("{overlay}: {name} is {value}"));
                port.parse().expect("a port")
            })
            .collect();
        assert_eq!(ports, container.ports().into_values().collect(), "{}", container.name());
    });
}

/// `SCHEME` and the certificates go together.
#[test]
fn planes_are_encrypted_with_certificates_and_only_then() {
    each_of_ours(|overlay, container| {
        let (environment, arguments) = command_line(container);
        let variable = |name: &str| environment.iter().find(|(known, _)| known == name);
        let has_certificate = variable("CARILLON_INTERNAL_CERTIFICATE").is_some();
        assert_eq!(has_certificate, overlay != "dev", "{}", container.name());
        assert_ne!(has_certificate, variable("CARILLON_INTERNAL_PLAINTEXT").is_some());
        let scheme = if has_certificate { "https://" } else { "http://" };
        let urls = arguments.iter().filter(|argument| argument.contains("://"));
        assert!(urls.clone().count() > 0, "{}", container.name());
        for url in urls {
            assert!(url.contains(scheme), "{overlay}: {url}");
        }
    });
}

/// What the autoscalers ask for is made of what the programs tell; `rollout` scrapes them.
#[test]
fn the_adapter_makes_the_autoscalers_metrics() {
    let rules = root().join("k8s/components/autoscaling/adapter-rules.yaml");
    let rules = fs::read_to_string(rules).expect("it is there");
    for scaler in Manifests::of("production").of_kind("HorizontalPodAutoscaler") {
        let metric = &scaler["spec"]["metrics"][0]["pods"]["metric"]["name"];
        if let Some(name) = metric.as_str() {
            let series = name.replace("_per_second", "_total");
            assert!(rules.contains(&format!("seriesQuery: {series}{{")), "{name}");
        }
    }
}

fn each_of_ours(check: impl Fn(&str, Container<'_>)) {
    for overlay in OVERLAYS {
        let ours = Manifests::of(overlay).containers().filter(Container::is_ours);
        ours.for_each(|container| check(overlay, container));
    }
}

/// The environment and the arguments; what stands in Secrets does not matter here.
fn command_line(container: Container<'_>) -> (Vec<(String, String)>, Vec<String>) {
    let environment = container.environment("pod-0", |_, key| key.to_owned());
    let arguments = container.arguments(&environment);
    (environment, arguments)
}

fn print_config(
    container: Container<'_>,
    environment: &[(String, String)],
    arguments: &[String],
) -> Output {
    assert!(container.container["command"].is_null(), "the image says what it starts");
    let entry = Image::of(container.image()).entry;
    let mut command = Command::new(process::program(entry.trim_matches('/')));
    command.args(arguments).arg("--print-config").env_clear();
    command.envs(environment.iter().cloned());
    command.output().expect("the program can be started")
}

/// Each option's value and where it comes from.
fn values(output: &Output) -> BTreeMap<String, (String, String)> {
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let of_line = |line: &str| {
        let (name, rest) = line.split_once(" = ")?;
        let (value, source) = rest.rsplit_once("  # ")?;
        Some((name.to_owned(), (value.trim_matches('"').to_owned(), source.to_owned())))
    };
    printed.lines().filter_map(of_line).collect()
}
