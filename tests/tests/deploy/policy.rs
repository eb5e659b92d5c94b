//! What every object of every overlay must say, without exception.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    container::Container,
    manifests::{Manifests, OVERLAYS, items, name_of, pod_labels, text},
};

/// Ports that nobody outside may reach: internal gRPC, probes and the admin API, etcd.
const INSIDE: [&str; 4] = ["internal", "operations", "client", "peer"];

#[test]
fn containers_are_confined() {
    each_container(|container| {
        let Container { container: own, .. } = container;
        let (name, pod) = (container.name(), container.pod());
        let security = &own["securityContext"];
        assert_eq!(security["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(security["allowPrivilegeEscalation"], false, "{name}");
        assert_eq!(security["capabilities"], json!({ "drop": ["ALL"] }), "{name}");
        assert!(security["privileged"].is_null(), "{name}");
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
        assert!(pod["securityContext"]["runAsUser"].as_u64() > Some(10_000), "{name}");
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
        for host in ["hostNetwork", "hostPID", "hostIPC"] {
            assert!(pod[host].is_null(), "{name}: {host}");
        }
        for port in items(&own["ports"]) {
            assert!(port["hostPort"].is_null(), "{name}");
        }
        for volume in items(&pod["volumes"]) {
            assert!(volume["hostPath"].is_null(), "{name}");
            let unbounded =
                volume["emptyDir"].is_object() && volume["emptyDir"]["sizeLimit"].is_null();
            assert!(!unbounded, "{name}: an emptyDir has a bound");
        }
    });
}

/// The variables that Kubernetes makes of Services would be options that no program knows.
#[test]
fn services_make_no_variables() {
    each_container(|container| {
        assert_eq!(container.pod()["enableServiceLinks"], false, "{}", container.name());
    });
}

#[test]
fn containers_are_bounded_and_probed() {
    each_container(|container| {
        let Container { container: own, .. } = container;
        let name = container.name();
        for bound in ["requests", "limits"] {
            for resource in ["cpu", "memory"] {
                assert!(
                    own["resources"][bound][resource].is_string(),
                    "{name}: {bound} {resource}"
                );
            }
        }
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let (path, port) = container.probe(probe);
            assert!(path.starts_with('/') && port > 0, "{name}: {probe}");
        }
        let image = text(&own["image"]);
        let tag = image.rsplit_once(':').map(|(_, tag)| tag);
        assert!(tag.is_some_and(|tag| tag != "latest"), "{name}: {image}");
    });
}

#[test]
fn a_pod_is_given_the_time_that_its_drain_takes() {
    each_container(|container| {
        let grace = container.pod()["terminationGracePeriodSeconds"].as_u64();
        let stop = &container.container["lifecycle"]["preStop"]["sleep"]["seconds"];
        let arguments = items(&container.container["args"]).map(text);
        let drain = arguments.filter_map(|each| each.strip_prefix("--drain-seconds=")).next();
        let drain: u64 = drain.map_or(Ok(10), str::parse).expect("seconds");
        // A node waits three seconds more; ten are for what is in flight, in any program.
        let needed = stop.as_u64().unwrap_or(0) + drain + 3 + 10;
        assert!(grace >= Some(needed), "{}: {needed} s of {grace:?}", container.name());
    });
}

#[test]
fn every_workload_has_a_budget_that_lets_one_pod_go() {
    for overlay in OVERLAYS {
        let manifests = Manifests::of(overlay);
        for workload in manifests.workloads() {
            let budget = manifests.get("PodDisruptionBudget", name_of(workload));
            assert_eq!(budget["spec"]["maxUnavailable"], 1);
            assert_eq!(budget["spec"]["selector"], workload["spec"]["selector"]);
        }
    }
}

/// Everything is shut; who may come in is named. What is open to all namespaces must not be one of
/// the ports inside.
#[test]
fn inner_ports_are_open_to_named_pods_only() {
    for overlay in OVERLAYS {
        let manifests = Manifests::of(overlay);
        let closed = manifests.get("NetworkPolicy", "nothing-else");
        assert_eq!(
            closed["spec"],
            json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] }),
            "{overlay}"
        );
        for policy in manifests.of_kind("NetworkPolicy") {
            for rule in items(&policy["spec"]["ingress"]) {
                let from: Vec<_> = items(&rule["from"]).collect();
                assert!(!from.is_empty(), "{} lets everybody in", name_of(policy));
                assert!(!items(&rule["ports"]).as_slice().is_empty(), "{}", name_of(policy));
                for port in items(&rule["ports"]).filter(|port| is_inside(port)) {
                    let named = from.iter().all(|from| is_named(from, &port["port"]));
                    assert!(named, "{}: {port} is open to {from:?}", name_of(policy));
                }
            }
        }
    }
}

fn is_inside(port: &Value) -> bool {
    INSIDE.contains(&text(&port["port"]))
}

/// Pods of this namespace, or Prometheus where it comes to be told.
fn is_named(from: &Value, port: &Value) -> bool {
    let own = from["podSelector"].is_object() && from["namespaceSelector"].is_null();
    let monitoring = json!({ "matchLabels": { "kubernetes.io/metadata.name": "monitoring" } });
    let prometheus = port == "operations" && from["namespaceSelector"] == monitoring;
    from["ipBlock"].is_null() && (own || prometheus)
}

#[test]
fn autoscalers_scale_by_what_each_plane_runs_out_of() {
    for overlay in ["production", "external-etcd"] {
        let manifests = Manifests::of(overlay);
        for (plane, signal) in [
            ("gateway", "carillon_gateway_requests_per_second"),
            ("control-plane", "cpu"),
            ("data-plane", "carillon_data_plane_sockets"),
        ] {
            let scaler = manifests.get("HorizontalPodAutoscaler", plane);
            let target = &scaler["spec"]["scaleTargetRef"];
            let workload = manifests.get(text(&target["kind"]), text(&target["name"]));
            assert!(workload["spec"]["replicas"].is_null(), "{plane}: two would say how many");
            assert!(scaler["spec"]["minReplicas"].as_u64() >= Some(2), "{plane}");
            let metric = &scaler["spec"]["metrics"][0];
            let named = [&metric["pods"]["metric"]["name"], &metric["resource"]["name"]];
            assert!(named.contains(&&json!(signal)), "{plane}: {metric}");
        }
    }
}

#[test]
fn services_and_ingress_lead_to_pods_and_their_ports() {
    for overlay in OVERLAYS {
        let manifests = Manifests::of(overlay);
        let names = |workload: &Value| -> BTreeSet<String> {
            let all = manifests.containers();
            let own = all.filter(|each| each.workload == workload);
            own.flat_map(|each| each.ports().into_keys().map(str::to_owned)).collect()
        };
        for service in manifests.of_kind("Service") {
            let selected: Vec<_> = manifests.selected(&service["spec"]["selector"]).collect();
            assert_eq!(selected.len(), 1, "{overlay}: {}", name_of(service));
            for port in items(&service["spec"]["ports"]) {
                let target = text(&port["targetPort"]);
                assert!(names(selected[0]).contains(target), "{overlay}: {target}");
            }
        }
        for policy in manifests.of_kind("NetworkPolicy") {
            let selector = &policy["spec"]["podSelector"]["matchLabels"];
            for rule in items(&policy["spec"]["ingress"]).filter(|_| selector.is_object()) {
                let mut selected = manifests.selected(selector);
                let workload = selected.next().expect("a policy is for some pods");
                for port in items(&rule["ports"]) {
                    assert!(names(workload).contains(text(&port["port"])), "{}", name_of(policy));
                }
            }
        }
        for workload in manifests.workloads() {
            let selector = &workload["spec"]["selector"]["matchLabels"];
            assert!(crate::manifests::has_labels(pod_labels(workload), selector));
        }
    }
}

fn each_container(check: impl Fn(Container<'_>)) {
    for overlay in OVERLAYS {
        let manifests = Manifests::of(overlay);
        assert!(manifests.containers().count() >= 3, "{overlay}");
        manifests.containers().for_each(&check);
    }
}
