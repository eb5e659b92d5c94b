//! Where the processes of an arena live: a network namespace each on one bridge, or all on loopback.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    process::{Command, Stdio},
};

/// The network of one arena; what it has made is gone when this is dropped.
#[derive(Debug)]
pub struct Network {
    bridge: Option<Bridge>,
}

/// A bridge with the test at one of its ends.
#[derive(Debug)]
struct Bridge {
    name: String,
    /// The second and third number of its addresses, `10.a.b.0/24`.
    net: (u8, u8),
    namespaces: Vec<String>,
}

/// The place of one process.
#[derive(Clone, Debug)]
pub struct Berth {
    /// Its address.
    pub address: IpAddr,
    /// Its network namespace; `None`: it shares the test's.
    pub namespace: Option<String>,
}

/// Names of namespaces begin with this, then comes the process id of the test.
const PREFIX: &str = "carillon-";

impl Network {
    /// Namespaces where the test may make them, or else loopback, where nothing can be cut.
    #[must_use]
    pub fn make() -> Self {
        sweep();
        let id = std::process::id();
        let name = format!("car{id}");
        let net = (64 + (id % 64) as u8, (id / 64 % 256) as u8);
        let address = format!("10.{}.{}.254/24", net.0, net.1);
        let made = ip(&["link", "add", &name, "type", "bridge"]);
        if !made {
            return Self { bridge: None };
        }
        let bridge = Bridge { name, net, namespaces: Vec::new() };
        let is_up = ip(&["addr", "add", &address, "dev", &bridge.name])
            && ip(&["link", "set", &bridge.name, "up"]);
        // Where half of it works, the drop of the bridge removes that half.
        Self { bridge: is_up.then_some(bridge) }
    }

    /// Whether its processes can be cut off from each other.
    #[must_use]
    pub fn can_be_cut(&self) -> bool {
        self.bridge.is_some()
    }

    /// A place for one more process.
    pub fn berth(&mut self, name: &str) -> Berth {
        match &mut self.bridge {
            Some(bridge) => bridge.berth(name),
            None => Berth { address: Ipv4Addr::LOCALHOST.into(), namespace: None },
        }
    }

    /// What one of them sends to the other is lost from here on.
    pub fn cut(&self, from: &Berth, to: &Berth) {
        let (Some(from_namespace), Some(to_namespace)) = (&from.namespace, &to.namespace) else {
            panic!("only processes in namespaces of their own can be cut off");
        };
        let drops = |namespace: &str, chain: &str, side: &str, address: IpAddr| {
            let address = address.to_string();
            let rule = ["iptables", "-w", "-A", chain, side, &address, "-j", "DROP"];
            assert!(inside(namespace, &rule), "{namespace} cannot be cut off");
        };
        drops(from_namespace, "OUTPUT", "-d", to.address);
        drops(to_namespace, "INPUT", "-s", from.address);
    }

    /// Everything passes again.
    pub fn heal(&self) {
        for namespace in self.bridge.iter().flat_map(|bridge| &bridge.namespaces) {
            assert!(inside(namespace, &["iptables", "-w", "-F"]), "{namespace} cannot be healed");
        }
    }
}

impl Bridge {
    fn berth(&mut self, name: &str) -> Berth {
        let number = self.namespaces.len() + 1;
        let namespace = format!("{PREFIX}{}-{name}", std::process::id());
        let link = format!("{}-{number}", self.name);
        let (a, b) = self.net;
        let host = u8::try_from(number).expect("an arena has few processes");
        let address = Ipv4Addr::new(10, a, b, host);
        let with_length = format!("{address}/24");
        let steps: [&[&str]; 6] = [
            &["netns", "add", &namespace],
            &["link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &namespace],
            &["link", "set", &link, "master", &self.name, "up"],
            &["-n", &namespace, "addr", "add", &with_length, "dev", "eth0"],
            &["-n", &namespace, "link", "set", "eth0", "up"],
            &["-n", &namespace, "link", "set", "lo", "up"],
        ];
        self.namespaces.push(namespace.clone());
        for step in steps {
            assert!(ip(step), "ip {step:?}");
        }
        // Some systems have a default that wants a queueing discipline which they lack; where this
        // fails they have no such default.
        let _default =
            inside(&namespace, &["sysctl", "-qw", "net.ipv4.tcp_congestion_control=cubic"]);
        Berth { address: address.into(), namespace: Some(namespace) }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        for (number, namespace) in self.namespaces.iter().enumerate() {
            // First: without it the link would live until the last process of the namespace has ended.
            let _gone = ip(&["link", "del", &format!("{}-{}", self.name, number + 1)]);
            let _gone = ip(&["netns", "del", namespace]);
        }
        let _gone = ip(&["link", "del", &self.name]);
    }
}

/// Removes what a test has left that was killed before it could.
fn sweep() {
    let namespaces = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    for namespace in namespaces {
        let name = namespace.file_name().to_string_lossy().into_owned();
        let test = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-'));
        let Some((test, _)) = test else { continue };
        if !Path::new("/proc").join(test).exists() {
            kill_all_in(&name);
            let _gone = ip(&["netns", "del", &name]) && ip(&["link", "del", &format!("car{test}")]);
        }
    }
}

/// Ends the processes that nobody has been able to end.
fn kill_all_in(namespace: &str) {
    let listed = Command::new("ip").args(["netns", "pids", namespace]).output();
    let listed = listed.map(|output| output.stdout).unwrap_or_default();
    for pid in String::from_utf8_lossy(&listed).lines() {
        let _killed = Command::new("kill").args(["-KILL", pid]).status();
    }
}

fn ip(arguments: &[&str]) -> bool {
    run("ip", arguments)
}

fn inside(namespace: &str, command: &[&str]) -> bool {
    run("ip", &[&["netns", "exec", namespace], command].concat())
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let status =
        Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
