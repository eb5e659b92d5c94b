//! The images are what the manifests take them for.

use std::{collections::BTreeSet, fs};

use crate::manifests::{Manifests, OVERLAYS, root};

/// What the Dockerfile says of one target.
#[derive(Debug)]
pub(crate) struct Image {
    /// The program that it starts.
    pub(crate) entry: String,
    /// The ports that it names.
    pub(crate) ports: BTreeSet<u16>,
}

impl Image {
    /// The image that is built as `carillon-TARGET`.
    pub(crate) fn of(name: &str) -> Self {
        let dockerfile = fs::read_to_string(root().join("Dockerfile")).expect("it is there");
        let target = name.strip_prefix("carillon-").expect("an image of ours");
        let begins = format!("FROM base AS {target}\n");
        let (_, stage) = dockerfile.split_once(&begins).expect("a target of that name");
        let stage = stage.split("\nFROM").next().unwrap_or(stage);
        let line = |word: &str| {
            let found = stage.lines().find_map(|line| line.strip_prefix(word));
            found.unwrap_or_else(|| panic!("{target} has no {word}"))
        };
        Self {
            entry: line("ENTRYPOINT ").trim_matches(['[', ']', '"']).to_owned(),
            ports: line("EXPOSE ").split(' ').map(|port| port.parse().unwrap()).collect(),
        }
    }
}

#[test]
fn ports_and_users_are_those_of_the_manifests() {
    let dockerfile = fs::read_to_string(root().join("Dockerfile")).unwrap();
    for overlay in OVERLAYS {
        let manifests = Manifests::of(overlay);
        let ours: Vec<_> = manifests.containers().filter(|each| each.is_ours()).collect();
        assert_eq!(ours.len(), 3, "{overlay}");
        for container in ours {
            let image = Image::of(container.image());
            assert_eq!(image.ports, container.ports().into_values().collect());
            assert_eq!(image.entry, format!("/{}", container.image()));
            let security = &container.pod()["securityContext"];
            let user = format!("\nUSER {}:{}\n", security["runAsUser"], security["runAsGroup"]);
            assert!(dockerfile.contains(&user), "{user}");
        }
    }
}
