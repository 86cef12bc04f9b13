//! Hosts: network namespaces on a bridge, each with an address of its own, that can be cut off from the others.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::peer::{Client, words};
use crate::server::{Server, wait_for};

/// Client ports of the nodes of each host.
const PORTS: [u16; 2] = [7000, 7001];
const PATIENCE: Duration = Duration::from_millis(500);

/// How a host is cut off.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// Its cable is pulled: both ends know.
    Cable,
    /// It is taken off the bridge at the far end: what it sends goes nowhere, and nobody is told.
    Silence,
}

/// Namespaces on a bridge; gone when dropped.
struct Net {
    /// Begins the names of everything that is made.
    name: String,
    hosts: usize,
    /// The first three bytes of all addresses.
    prefix: [u8; 3],
}

/// Runs `ip` with words.
fn ip(line: &str) {
    let output = Command::new("ip").args(line.split(' ')).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run ip ({error}): see scripts/test"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {line}: {said}");
}

impl Net {
    fn make(hosts: usize) -> Net {
        static MADE: AtomicU8 = AtomicU8::new(0);
        let number = MADE.fetch_add(1, Ordering::SeqCst) % 2;
        let pid = std::process::id();
        let [.., high, low] = pid.to_be_bytes();
        let prefix = [10, 200 + high % 25 * 2 + number, low];
        let net =
            Net { name: format!("hw{pid}{}", ["a", "b"][usize::from(number)]), hosts, prefix };
        let bridge = &net.name;
        ip(&format!("link add {bridge} type bridge"));
        ip(&format!("addr add {}/24 dev {bridge}", net.address(200)));
        ip(&format!("link set {bridge} up"));
        for host in 0..hosts {
            let space = net.space(host);
            ip(&format!("netns add {space}"));
            ip(&format!("link add {space} type veth peer name eth0 netns {space}"));
            ip(&format!("link set {space} master {bridge} up"));
            ip(&format!("-n {space} addr add {}/24 dev eth0", net.address(host)));
            ip(&format!("-n {space} link set eth0 up"));
            ip(&format!("-n {space} link set lo up"));
        }
        net
    }

    /// Name of a host's namespace, and of the bridge's end of its cable.
    fn space(&self, host: usize) -> String {
        format!("{}-{host}", self.name)
    }

    fn address(&self, host: usize) -> IpAddr {
        let [a, b, c] = self.prefix;
        Ipv4Addr::new(a, b, c, u8::try_from(host + 1).expect("few hosts")).into()
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let remove = |line: String| {
            Command::new("ip").args(line.split(' ')).stderr(Stdio::null()).status().ok();
        };
        for host in 0..self.hosts {
            remove(format!("netns del {}", self.space(host)));
            remove(format!("link del {}", self.space(host)));
        }
        remove(format!("link del {}", self.name));
    }
}

/// A node on a host. Killed before its files go.
struct Node {
    server: Server,
    _folder: TempDir,
}

/// A cluster over three hosts: a primary on each, whose replica is on another.
pub(crate) struct Hosts {
    nodes: Vec<Node>,
    net: Net,
}

impl Hosts {
    pub(crate) fn make(settings: &[&str]) -> Hosts {
        let mut hosts = Hosts { nodes: Vec::new(), net: Net::make(3) };
        let program = tempfile::tempdir().unwrap();
        // The name of the program tells what it is to do.
        let link = program.path().join("redis-server");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_highwater"), &link).unwrap();
        for place in hosts.places() {
            let folder = tempfile::tempdir().unwrap();
            let mut command = hosts.on(hosts.host_of(place));
            command.arg(&link).args(["--port", &place.port().to_string()]).arg("--dir");
            command.arg(folder.path()).args(["--protected-mode", "no"]);
            command.args(["--bind", &place.ip().to_string(), "127.0.0.1"]);
            command.args(["--save", "", "--appendonly", "yes", "--cluster-enabled", "yes"]);
            command.args(settings).stdin(Stdio::null());
            let server = Server::of(command, place.port());
            hosts.nodes.push(Node { server, _folder: folder });
            wait_for("an answer", || {
                (ask(place, "PING").as_deref() == Some("+PONG\r\n")).then_some(())
            });
        }
        let places = hosts.places().into_iter().map(|place| place.to_string());
        let mut create = Command::new("redis-cli");
        create.args(["--cluster", "create"]).args(places);
        create.args(["--cluster-replicas", "1", "--cluster-yes"]);
        let output = create.output().expect("redis-cli runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        hosts.heal();
        hosts
    }

    /// Addresses of all nodes.
    pub(crate) fn places(&self) -> Vec<SocketAddr> {
        let host = |host| PORTS.map(|port| SocketAddr::new(self.net.address(host), port));
        (0..self.net.hosts).flat_map(host).collect()
    }

    pub(crate) fn host_of(&self, place: SocketAddr) -> usize {
        let is_it = |host: &usize| self.net.address(*host) == place.ip();
        (0..self.net.hosts).find(is_it).expect("one of ours")
    }

    /// A command that runs on a host; words follow.
    fn on(&self, host: usize) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.net.space(host)]);
        command
    }

    /// Asks a node from its own host.
    pub(crate) fn ask_at_home(&self, place: SocketAddr, line: &str) -> String {
        let mut command = self.on(self.host_of(place));
        command.args(["redis-cli", "-p", &place.port().to_string()]).args(line.split(' '));
        let output = command.output().expect("redis-cli runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(crate) fn cut(&self, host: usize, cut: Cut, is_cut: bool) {
        let space = self.net.space(host);
        match cut {
            Cut::Cable => ip(&format!("link set {space} {}", if is_cut { "down" } else { "up" })),
            Cut::Silence if is_cut => ip(&format!("link set {space} nomaster")),
            Cut::Silence => ip(&format!("link set {space} master {}", self.net.name)),
        }
    }

    /// Who serves a slot in the eyes of somebody.
    pub(crate) fn owner(&self, seen_by: SocketAddr, slot: u16) -> Option<SocketAddr> {
        let nodes = ask(seen_by, "CLUSTER NODES")?;
        let owns = |line: &&str| {
            line.split(' ').skip(8).any(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let number = |text: &str| text.trim_end().parse::<u16>().expect("a slot");
                (number(first)..=number(last)).contains(&slot)
            })
        };
        nodes.lines().find(owns)?.split([' ', '@']).nth(1)?.parse().ok()
    }

    /// Waits until all is well in the eyes of all.
    pub(crate) fn heal(&self) {
        wait_for("a cluster that is whole", || {
            let is_well = |place: SocketAddr| {
                let info = ask(place, "CLUSTER INFO")?;
                let nodes = ask(place, "CLUSTER NODES")?;
                let replication = ask(place, "INFO replication")?;
                let follows = replication.contains("role:master")
                    || replication.contains("master_link_status:up");
                let is_whole = info.contains("cluster_state:ok")
                    && ![",fail", " fail"].iter().any(|flag| nodes.contains(flag));
                (is_whole && follows).then_some(())
            };
            self.places().into_iter().try_for_each(is_well)?;
            let place = self.places()[0].to_string();
            let output = Command::new("redis-cli").args(["--cluster", "check", &place]).output();
            output.expect("redis-cli runs").status.success().then_some(())
        });
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (node, place) in self.nodes.iter().zip(self.places()) {
                eprintln!("---- {place}:\n{}", node.server.said());
            }
        }
    }
}

/// Asks a node; `None` where it cannot be reached.
pub(crate) fn ask(place: SocketAddr, line: &str) -> Option<String> {
    let mut client =
        Client::over(std::net::TcpStream::connect_timeout(&place, PATIENCE).ok()?).ok()?;
    client.set_patience(500);
    client.send(&highwater::resp::inline::encode(&words(line))).ok()?;
    client.reply().ok().map(|reply| String::from_utf8_lossy(&reply).into_owned())
}
