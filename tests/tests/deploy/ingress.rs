//! The ingress controller: nginx, told by the Ingress what leads where.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::PathBuf, process::Stdio};

use serde_json::Value;
use tests::rest::get;
use tokio::process::Child;

use crate::{
    machine::{self, within},
    manifests::{items, text},
};

/// Its pod, its namespace, its address.
pub(crate) const NAME: &str = "ingress";
pub(crate) const NAMESPACE: &str = "ingress-nginx";
pub(crate) const ADDRESS: &str = "10.244.0.2";

/// What answers in place of a Service that no pod stands behind.
const NOBODY: &str = "server 127.0.0.1:9 down;";

/// A running nginx.
#[derive(Debug)]
pub(crate) struct Ingress {
    rules: &'static Value,
    configuration: PathBuf,
    child: Child,
}

impl Ingress {
    /// Starts it in the namespace that is there already; nothing leads anywhere yet.
    pub(crate) async fn start(rules: &'static Value, folder: PathBuf) -> Self {
        fs::create_dir_all(&folder).expect("the test's folder is writable");
        let configuration = folder.join("nginx.conf");
        fs::write(&configuration, written(rules, |_, _| Vec::new())).expect("it is writable");
        let mut command = within(NAME, "nginx");
        command.arg("-p").arg(&folder).arg("-e").arg("stderr").arg("-c").arg(&configuration);
        command.stderr(Stdio::null());
        let child = tokio::process::Command::from(command).kill_on_drop(true).spawn();
        let child = child.expect("nginx is installed (./test installs it)");
        let address = format!("{ADDRESS}:80").parse().expect("an address");
        let up = || async { (get(address, "/").await.0 == 404).then_some(()) };
        tests::eventually("nginx answers", up).await;
        Self { rules, configuration, child }
    }

    /// Leads to these, `endpoints` being the addresses behind a Service's port; returns when nobody is led
    /// by what stood there before. A worker that nginx replaces accepts connections until it is told to
    /// leave, which it is a moment after the new one can: what is ready would be refused by it with 502.
    pub(crate) async fn lead(&self, endpoints: impl Fn(&str, &str) -> Vec<String>) {
        // At once, for nginx may be reading by an earlier call.
        let next = self.configuration.with_extension("next");
        fs::write(&next, written(self.rules, endpoints)).expect("it is writable");
        fs::rename(&next, &self.configuration).expect("they are in one folder");
        let pid = self.child.id().expect("it runs");
        let old = accepting(pid);
        machine::run("kill", &["-HUP", &pid.to_string()]);
        let left = || async { accepting(pid).is_disjoint(&old).then_some(()) };
        tests::eventually("nginx has replaced its workers", left).await;
    }
}

/// The workers of an nginx that take connections; those that only finish what they have say so.
fn accepting(nginx: u32) -> BTreeSet<String> {
    let children = fs::read_to_string(format!("/proc/{nginx}/task/{nginx}/children"));
    let children = children.expect("it runs, and Linux tells");
    let title = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let accepts = |pid: &&str| title(pid).trim_end_matches(['\0', ' ']).ends_with("worker process");
    children.split_whitespace().filter(accepts).map(str::to_owned).collect()
}

/// The timeouts and the body's size are those of the annotations.
fn written(rules: &Value, endpoints: impl Fn(&str, &str) -> Vec<String>) -> String {
    let annotation = |name: &str| {
        let name = format!("nginx.ingress.kubernetes.io/{name}");
        text(&rules["metadata"]["annotations"][name.as_str()])
    };
    let (mut upstreams, mut locations) = (String::new(), String::new());
    for (number, path) in items(&rules["spec"]["rules"][0]["http"]["paths"]).enumerate() {
        assert_eq!(path["pathType"], "Prefix");
        let (path, service) = (text(&path["path"]), &path["backend"]["service"]);
        let servers = endpoints(text(&service["name"]), text(&service["port"]["name"]));
        let servers: String =
            servers.iter().map(|server| format!("server {server} max_fails=0;")).collect();
        let servers = if servers.is_empty() { NOBODY } else { &servers };
        // A prefix counts by whole elements: /app is not the beginning of /apps.
        writeln!(upstreams, "upstream service{number} {{ {servers} keepalive 32; }}")
            .and_then(|()| {
                writeln!(
                    locations,
                    "location = {path} {{ proxy_pass http://service{number}; }}\n\
                 location {path}/ {{ proxy_pass http://service{number}; }}"
                )
            })
            .expect("a string grows");
    }
    format!(
        "daemon off; worker_processes 1; worker_shutdown_timeout 240s; pid nginx.pid;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off;\n\
         map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}\n\
         {upstreams}\
         server {{ listen 80; client_max_body_size {};\n\
         proxy_read_timeout {}; proxy_send_timeout {};\n\
         proxy_http_version 1.1; proxy_set_header Host $host;\n\
         proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
         location / {{ return 404; }}\n{locations}}} }}\n",
        annotation("proxy-body-size"),
        annotation("proxy-read-timeout"),
        annotation("proxy-send-timeout"),
    )
}
