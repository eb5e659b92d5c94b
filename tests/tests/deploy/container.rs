//! A container as a kubelet reads it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::manifests::{items, name_of, text};

/// A container of a workload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Container<'a> {
    pub(crate) workload: &'a Value,
    pub(crate) container: &'a Value,
}

impl<'a> Container<'a> {
    /// `Deployment gateway, container gateway`.
    pub(crate) fn name(&self) -> String {
        let kind = text(&self.workload["kind"]);
        format!("{kind} {}, container {}", name_of(self.workload), text(&self.container["name"]))
    }

    /// The image without its tag.
    pub(crate) fn image(&self) -> &'a str {
        let image = text(&self.container["image"]);
        image.rsplit_once(':').map_or(image, |(name, _)| name)
    }

    /// Whether it is one of ours.
    pub(crate) fn is_ours(&self) -> bool {
        self.image().starts_with("carillon-")
    }

    /// What is said for the whole pod.
    pub(crate) fn pod(&self) -> &'a Value {
        &self.workload["spec"]["template"]["spec"]
    }

    /// Its ports by name.
    pub(crate) fn ports(&self) -> BTreeMap<&'a str, u16> {
        let ports = items(&self.container["ports"]);
        ports.map(|port| (text(&port["name"]), number(&port["containerPort"]))).collect()
    }

    /// A probe's path and port.
    pub(crate) fn probe(&self, probe: &str) -> (&'a str, u16) {
        let get = &self.container[probe]["httpGet"];
        (text(&get["path"]), self.ports()[text(&get["port"])])
    }

    /// The environment: a variable may name those before it. `secret` is asked for what stands in
    /// Secrets and ConfigMaps, by name and key.
    pub(crate) fn environment(
        &self,
        pod: &str,
        secret: impl Fn(&str, &str) -> String,
    ) -> Vec<(String, String)> {
        let mut known: Vec<(String, String)> = Vec::new();
        for variable in items(&self.container["env"]) {
            let from = &variable["valueFrom"];
            let reference = ["secretKeyRef", "configMapKeyRef"].map(|kind| &from[kind]);
            let value = if let Some(key) = reference.into_iter().find(|key| key.is_object()) {
                secret(text(&key["name"]), text(&key["key"]))
            } else if let Some(path) = from["fieldRef"]["fieldPath"].as_str() {
                match path {
                    "metadata.name" => pod.to_owned(),
                    "metadata.namespace" => text(&self.workload["metadata"]["namespace"]).into(),
                    other => panic!("no field {other} is known"),
                }
            } else {
                expanded(text(&variable["value"]), &known)
            };
            known.push((text(&variable["name"]).to_owned(), value));
        }
        known
    }

    /// The arguments, with variables in place.
    pub(crate) fn arguments(&self, environment: &[(String, String)]) -> Vec<String> {
        items(&self.container["args"]).map(|each| expanded(text(each), environment)).collect()
    }

    /// Where the volumes are: name, path, and whether they are read-only.
    pub(crate) fn mounts(&self) -> impl Iterator<Item = (&'a str, &'a str, bool)> {
        items(&self.container["volumeMounts"]).map(|mount| {
            (text(&mount["name"]), text(&mount["mountPath"]), mount["readOnly"] == true)
        })
    }
}

/// A number of a port or of seconds.
pub(crate) fn number(value: &Value) -> u16 {
    let number = value.as_u64().and_then(|number| number.try_into().ok());
    number.unwrap_or_else(|| panic!("{value} is no such number"))
}

/// `$(NAME)` replaced; one that nobody knows stays, as a kubelet leaves it, and fails the test.
fn expanded(template: &str, known: &[(String, String)]) -> String {
    let whole = known.iter().fold(template.to_owned(), |whole, (name, value)| {
        whole.replace(&format!("$({name})"), value)
    });
    assert!(!whole.contains("$("), "{template} names a variable that does not stand before it");
    whole
}
