//! NetworkPolicies as rules of iptables, in each pod's own namespace.

use std::{collections::BTreeMap, fmt::Write as _, io::Write as _, process::Stdio};

use serde_json::{Value, json};

use crate::{
    container::number,
    machine::{self, within},
    manifests::{has_labels, items, text},
};

/// What a policy can see of a pod.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// The pod's name, and its network namespace's.
    pub(crate) name: String,
    pub(crate) address: String,
    /// The Kubernetes namespace that it is in.
    pub(crate) namespace: String,
    pub(crate) labels: Value,
    pub(crate) ports: BTreeMap<&'static str, u16>,
}

/// Shuts a pod off from all that the policies of its namespace do not let in or out.
pub(crate) fn close(own: &Peer, all: &[Peer], policies: &[&Value]) {
    let mut rules = format!(
        "*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT DROP\n\
         -A INPUT -i lo -j ACCEPT\n-A OUTPUT -o lo -j ACCEPT\n\
         -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
         -A OUTPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
         -A INPUT -s {} -j ACCEPT\n",
        machine::ADDRESS
    );
    for policy in policies.iter().filter(|policy| selects(&policy["spec"]["podSelector"], own)) {
        let spec = &policy["spec"];
        for rule in items(&spec["ingress"]) {
            accept_blocks(&mut rules, "INPUT -s", &rule["from"], &rule["ports"]);
            for peer in all.iter().filter(|peer| is_among(&rule["from"], peer, own)) {
                accept(&mut rules, "INPUT -s", &peer.address, (rule, own));
            }
        }
        for rule in items(&spec["egress"]) {
            accept_blocks(&mut rules, "OUTPUT -d", &rule["to"], &rule["ports"]);
            for peer in all.iter().filter(|peer| is_among(&rule["to"], peer, own)) {
                accept(&mut rules, "OUTPUT -d", &peer.address, (rule, peer));
            }
        }
    }
    rules.push_str("COMMIT\n");
    let mut restore = within(&own.name, "iptables-restore");
    let mut child = restore.stdin(Stdio::piped()).spawn().expect("iptables is installed");
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(rules.as_bytes()).expect("it reads");
    drop(input);
    assert!(child.wait().expect("it ends").success(), "{rules}");
}

/// One line per port of a rule; a port's name is that of the pod which is called.
fn accept(rules: &mut String, direction: &str, address: &str, (rule, called): (&Value, &Peer)) {
    for port in items(&rule["ports"]) {
        let protocol = port["protocol"].as_str().unwrap_or("TCP").to_lowercase();
        let port = match port["port"].as_str() {
            Some(name) => called.ports.get(name).copied(),
            None => Some(number(&port["port"])),
        };
        if let Some(port) = port {
            writeln!(rules, "-A {direction} {address} -p {protocol} --dport {port} -j ACCEPT")
                .expect("a string grows");
        }
    }
}

/// Addresses, whoever has them: each block is a chain of its own, which what is excepted leaves at once. A
/// rule without peers is for every address. Pods have no IPv6 here.
fn accept_blocks(rules: &mut String, direction: &str, peers: &Value, ports: &Value) {
    let everywhere = [json!({ "ipBlock": { "cidr": "0.0.0.0/0" } })];
    let peers = if peers.is_null() { &everywhere[..] } else { items(peers).as_slice() };
    let (hook, side) = direction.split_once(' ').expect("a hook and a side");
    for block in peers.iter().map(|peer| &peer["ipBlock"]).filter(|block| block.is_object()) {
        let cidr = text(&block["cidr"]);
        if cidr.contains(':') {
            continue;
        }
        let chain = format!("block{}", rules.matches("-N block").count());
        writeln!(rules, "-N {chain}").expect("a string grows");
        for except in items(&block["except"]).map(text) {
            writeln!(rules, "-A {chain} {side} {except} -j RETURN").expect("a string grows");
        }
        for port in items(ports).filter(|port| port["port"].is_number()) {
            let protocol = port["protocol"].as_str().unwrap_or("TCP").to_lowercase();
            let port = number(&port["port"]);
            writeln!(rules, "-A {chain} {side} {cidr} -p {protocol} --dport {port} -j ACCEPT")
                .expect("a string grows");
        }
        writeln!(rules, "-A {hook} -j {chain}").expect("a string grows");
    }
}

/// Whether one of a rule's peers is this pod; a rule without peers is for all of them.
fn is_among(peers: &Value, peer: &Peer, own: &Peer) -> bool {
    if peers.is_null() {
        return true;
    }
    items(peers).any(|one| {
        let namespace = &one["namespaceSelector"];
        let in_namespace = if namespace.is_null() {
            peer.namespace == own.namespace
        } else {
            has_labels(&namespace_labels(&peer.namespace), &namespace["matchLabels"])
        };
        let pods = &one["podSelector"];
        one["ipBlock"].is_null() && in_namespace && (pods.is_null() || selects(pods, peer))
    })
}

fn selects(selector: &Value, peer: &Peer) -> bool {
    let expressions = items(&selector["matchExpressions"]).all(|expression| {
        assert_eq!(expression["operator"], "In", "no other operator is known here");
        let wanted = &peer.labels[text(&expression["key"])];
        items(&expression["values"]).any(|value| value == wanted)
    });
    expressions && has_labels(&peer.labels, &selector["matchLabels"])
}

/// The namespace of backends has the label that lets them call gRPC.
fn namespace_labels(namespace: &str) -> Value {
    let backend = if namespace == "backends" { "true" } else { "false" };
    json!({ "kubernetes.io/metadata.name": namespace, "carillon/backend": backend })
}
