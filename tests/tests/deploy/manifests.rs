//! An overlay, rendered and valid.

use std::{collections::BTreeMap, path::Path, process::Command, sync::LazyLock};

use serde_json::Value;

use crate::container::Container;

/// All that there are.
pub(crate) const OVERLAYS: [&str; 3] = ["dev", "production", "external-etcd"];

static RENDERED: LazyLock<BTreeMap<&str, Manifests>> =
    LazyLock::new(|| OVERLAYS.map(|overlay| (overlay, Manifests::render(overlay))).into());

/// The objects of one overlay.
#[derive(Debug)]
pub(crate) struct Manifests {
    objects: Vec<Value>,
}

impl Manifests {
    /// Those of one overlay; all are rendered once.
    pub(crate) fn of(overlay: &str) -> &'static Self {
        &RENDERED[overlay]
    }

    /// Renders with kubectl; fails where the schemas of some version of Kubernetes say no.
    fn render(overlay: &str) -> Self {
        let root = root();
        let output = Command::new(root.join(".tools/venv/bin/python"))
            .arg(root.join("tests/python/manifests.py"))
            .arg(root.join("k8s/overlays").join(overlay))
            .output()
            .expect("the Python packages are installed (./test installs them)");
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{overlay}: {complaints}");
        let objects = serde_json::from_slice(&output.stdout).expect("it prints JSON");
        Self { objects }
    }

    /// The objects of one kind.
    pub(crate) fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    /// An object by its kind and name.
    pub(crate) fn get<'a>(&'a self, kind: &'a str, name: &'a str) -> &'a Value {
        self.find(kind, name).unwrap_or_else(|| panic!("there is no {kind} {name}"))
    }

    /// An object that need not be there.
    pub(crate) fn find<'a>(&'a self, kind: &'a str, name: &'a str) -> Option<&'a Value> {
        self.of_kind(kind).find(|object| name_of(object) == name)
    }

    /// What runs pods.
    pub(crate) fn workloads(&self) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(|object| object["spec"]["template"].is_object())
    }

    /// Every container of every workload.
    pub(crate) fn containers(&self) -> impl Iterator<Item = Container<'_>> {
        self.workloads().flat_map(|workload| {
            items(&workload["spec"]["template"]["spec"]["containers"])
                .map(move |container| Container { workload, container })
        })
    }

    /// The workloads whose pods a selector's labels choose.
    pub(crate) fn selected<'a>(&'a self, labels: &'a Value) -> impl Iterator<Item = &'a Value> {
        self.workloads().filter(move |workload| has_labels(pod_labels(workload), labels))
    }
}

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests is a folder of it")
}

/// The items of a list; none where there is none.
pub(crate) fn items(list: &Value) -> std::slice::Iter<'_, Value> {
    list.as_array().map_or(&[][..], Vec::as_slice).iter()
}

/// A string.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no string"))
}

/// An object's name.
pub(crate) fn name_of(object: &Value) -> &str {
    text(&object["metadata"]["name"])
}

/// The labels of a workload's pods.
pub(crate) fn pod_labels(workload: &Value) -> &Value {
    &workload["spec"]["template"]["metadata"]["labels"]
}

/// Whether all of `wanted` are among `labels`.
pub(crate) fn has_labels(labels: &Value, wanted: &Value) -> bool {
    let mut wanted = wanted.as_object().into_iter().flatten();
    wanted.all(|(name, value)| labels[name] == *value)
}
