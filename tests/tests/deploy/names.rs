//! The cluster's DNS, as a hosts file that all pods share: headless Services, and pods by their names.

use std::{
    fmt::Write as _,
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
};

/// One line each: an address and a name.
#[derive(Debug)]
pub(crate) struct Names {
    path: PathBuf,
    entries: Vec<(String, String)>,
}

impl Names {
    /// Nobody has a name yet.
    pub(crate) fn new(folder: &Path) -> Self {
        let path = folder.join("hosts");
        File::create(&path).expect("the test's folder is writable");
        Self { path, entries: Vec::new() }
    }

    /// The file that stands at /etc/hosts in every pod.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// An address gets a name: `control-plane`, which others may have too, or `etcd-0.etcd`.
    pub(crate) fn add(&mut self, address: &str, name: &str) {
        self.entries.push((address.to_owned(), name.to_owned()));
        self.write();
    }

    /// An address has no name any more.
    pub(crate) fn remove(&mut self, address: &str) {
        self.entries.retain(|(known, _)| known != address);
        self.write();
    }

    /// In place, for pods have the file itself.
    fn write(&self) {
        let mut text = "127.0.0.1 localhost\n".to_owned();
        for (address, name) in &self.entries {
            writeln!(text, "{address} {name}").expect("a string grows");
        }
        let mut file = File::create(&self.path).expect("the test's folder is writable");
        file.write_all(text.as_bytes()).expect("the test's folder is writable");
    }
}
