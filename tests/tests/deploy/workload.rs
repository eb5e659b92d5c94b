//! The cluster: pods, their names, what leads to them and what shuts them off.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

use crate::{
    container::{Container, number},
    firewall::{self, Peer},
    ingress::{self, Ingress},
    machine,
    manifests::{Manifests, has_labels, items, name_of, text},
    names::Names,
    pod::{self, Pod, Storage},
    secrets::Secrets,
    world::{self, World},
};

/// Pods of others, with the namespaces that they are in.
pub(crate) const OTHERS: [(&str, &str); 5] = [
    (ingress::NAME, ingress::NAMESPACE),
    ("prometheus", "monitoring"),
    ("backend", "backends"),
    ("stranger", "default"),
    (world::NAME, "no namespace of this cluster"),
];

/// The least that a startup probe of the manifests waits for.
const STARTUP: Duration = Duration::from_secs(60);

/// Everything that an overlay describes, running.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) manifests: &'static Manifests,
    pub(crate) secrets: Secrets,
    state: Mutex<State>,
    folder: TempDir,
}

#[derive(Debug)]
struct State {
    pods: Vec<Pod>,
    others: Vec<Peer>,
    names: Names,
    ingress: Ingress,
    numbers: u16,
    _world: World,
}

impl Cluster {
    /// Starts all of it and waits until it is ready.
    pub(crate) async fn start(overlay: &str) -> Self {
        let manifests = Manifests::of(overlay);
        let folder = TempDir::new().expect("a folder for the test");
        let mut numbers = 2;
        let others = OTHERS.map(|(name, namespace)| {
            let address = format!("10.244.0.{numbers}");
            machine::connect(name, numbers, &address);
            numbers += 1;
            let (name, namespace) = (name.to_owned(), namespace.to_owned());
            Peer { name, address, namespace, labels: json!({}), ports: BTreeMap::new() }
        });
        let rules = manifests.get("Ingress", "carillon");
        let ingress = Ingress::start(rules, folder.path().join("ingress")).await;
        let names = Names::new(folder.path());
        let (pods, others, _world) = (Vec::new(), others.into(), World::start("stranger").await);
        let state = State { pods, others, names, ingress, numbers, _world };
        let secrets = Secrets::new(folder.path(), manifests);
        let cluster = Self { manifests, secrets, state: Mutex::new(state), folder };
        for workload in manifests.workloads() {
            for replica in 0..cluster.replicas(workload) {
                cluster.create(workload, &format!("{}-{replica}", name_of(workload))).await;
            }
        }
        for pod in cluster.pods().await {
            cluster.is_ready(&pod.name).await;
        }
        cluster
    }

    /// How many pods: what the workload says, or the least that its autoscaler does.
    pub(crate) fn replicas(&self, workload: &Value) -> u16 {
        let said = &workload["spec"]["replicas"];
        if !said.is_null() {
            return number(said);
        }
        let scaler = self.manifests.get("HorizontalPodAutoscaler", name_of(workload));
        number(&scaler["spec"]["minReplicas"])
    }

    /// A new pod: it has an address and its names before it runs, and nobody else's doors are open.
    pub(crate) async fn create(&self, workload: &'static Value, name: &str) {
        let mut state = self.state.lock().await;
        state.numbers += 1;
        let address = format!("10.244.1.{}", state.numbers);
        machine::connect(name, state.numbers, &address);
        let container = &workload["spec"]["template"]["spec"]["containers"][0];
        let container = Container { workload, container };
        let peer = pod::peer(name, &address, container);
        for service in self.headless(workload) {
            state.names.add(&address, name_of(service));
            state.names.add(&address, &format!("{name}.{}", name_of(service)));
        }
        let mut peers = state.peers();
        peers.push(peer.clone());
        self.close_off(&peers);
        let hosts = state.names.path().to_owned();
        let storage = Storage { folder: self.folder.path(), hosts: &hosts, secrets: &self.secrets };
        let pod = Pod::start(peer, container, &storage);
        state.pods.push(pod);
    }

    /// Waits until a pod passes its readiness probe; then Services lead to it.
    pub(crate) async fn is_ready(&self, name: &str) {
        let began = Instant::now();
        while !self.passes(name, "readinessProbe").await {
            let said = || async { self.state.lock().await.pod(name).said() };
            if began.elapsed() > STARTUP {
                panic!("{name} is not ready: {}", said().await);
            }
            sleep(Duration::from_millis(100)).await;
        }
        let mut state = self.state.lock().await;
        let pod = state.pods.iter_mut().find(|pod| pod.peer.name == name);
        pod.expect("it was just asked").in_service = true;
        self.lead(&state).await;
    }

    /// Ends a pod as its manifest says; Services lead elsewhere from the beginning of its end.
    pub(crate) async fn delete(&self, name: &str) {
        let mut state = self.state.lock().await;
        let place = state.pods.iter().position(|pod| pod.peer.name == name);
        let mut pod = state.pods.remove(place.expect("it is there"));
        // Until it has gone, others' rules must know it: it is one of them still.
        state.others.push(pod.peer.clone());
        let leading = async move { self.lead(&state).await };
        // Its end does not wait for the Services.
        tokio::join!(leading, pod.end());
        let mut state = self.state.lock().await;
        state.others.retain(|other| other.name != name);
        state.names.remove(&pod.peer.address);
        machine::disconnect(name);
    }

    /// The address of a pod that is not of this overlay.
    pub(crate) async fn address_of(&self, name: &str) -> String {
        let state = self.state.lock().await;
        let found = state.others.iter().find(|other| other.name == name);
        found.expect("it is among the others").address.clone()
    }

    /// All pods, as policies see them.
    pub(crate) async fn pods(&self) -> Vec<Peer> {
        self.state.lock().await.pods.iter().map(|pod| pod.peer.clone()).collect()
    }

    /// The pods of one workload.
    pub(crate) async fn pods_of(&self, name: &str) -> Vec<Peer> {
        let all = self.pods().await;
        all.into_iter().filter(|pod| pod.labels["app.kubernetes.io/name"] == name).collect()
    }

    /// Whether a pod passes a probe.
    pub(crate) async fn passes(&self, name: &str, probe: &str) -> bool {
        self.state.lock().await.pod(name).passes(probe).await
    }

    fn headless(&self, workload: &Value) -> Vec<&'static Value> {
        let labels = crate::manifests::pod_labels(workload);
        let services = self.manifests.of_kind("Service");
        let headless = services.filter(|service| service["spec"]["clusterIP"] == "None");
        headless.filter(|service| has_labels(labels, &service["spec"]["selector"])).collect()
    }

    fn close_off(&self, peers: &[Peer]) {
        let policies: Vec<_> = self.manifests.of_kind("NetworkPolicy").collect();
        let others: Vec<_> = OTHERS.iter().map(|(name, _)| *name).collect();
        for peer in peers.iter().filter(|peer| !others.contains(&&*peer.name)) {
            firewall::close(peer, peers, &policies);
        }
    }

    async fn lead(&self, state: &State) {
        let endpoints = |service: &str, port: &str| -> Vec<String> {
            let service = self.manifests.get("Service", service);
            let mut ports = items(&service["spec"]["ports"]);
            let target = ports.find(|known| known["name"] == port).map(|port| &port["targetPort"]);
            let target = text(target.expect("the Ingress names a port of the Service"));
            let pods = state.pods.iter().filter(|pod| pod.in_service);
            let behind =
                pods.filter(|pod| has_labels(&pod.peer.labels, &service["spec"]["selector"]));
            behind.map(|pod| pod.socket(pod.peer.ports[target]).to_string()).collect()
        };
        state.ingress.lead(endpoints).await;
    }
}

impl State {
    fn pod(&self, name: &str) -> &Pod {
        let mut found = self.pods.iter().filter(|pod| pod.peer.name == name);
        found.next().unwrap_or_else(|| panic!("there is no pod {name}"))
    }

    fn peers(&self) -> Vec<Peer> {
        let pods = self.pods.iter().map(|pod| &pod.peer);
        pods.chain(&self.others).cloned().collect()
    }
}
