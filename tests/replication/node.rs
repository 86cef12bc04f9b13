//! A node of either kind with a folder that outlives its process, and what two nodes have to have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::peer::words;
use crate::proxy::Proxy;
use crate::server::{Server, wait_for};

/// Which program a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    Stock,
}

/// A node. Killed and started again it keeps its files and settings; its port is another one each time. Replicas follow
/// the port of the proxy in front of it, which stays.
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) folder: TempDir,
    settings: Vec<String>,
    /// Port of the primary that it is started with.
    primary: Option<u16>,
    server: Option<Server>,
    pub(crate) front: Proxy,
}

impl Node {
    /// Starts a node, a replica of `primary` if there is one.
    pub(crate) fn start(kind: Kind, primary: Option<&Node>, settings: &[&str]) -> Node {
        let settings = settings.iter().map(|&word| word.to_owned()).collect();
        let folder = tempfile::tempdir().unwrap();
        let primary = primary.map(|node| node.front.port);
        let mut node =
            Node { kind, folder, settings, primary, server: None, front: Proxy::start(0) };
        node.restart();
        node
    }

    /// Starts the process, which must not run.
    pub(crate) fn restart(&mut self) {
        let folder = self.folder.path().to_str().expect("temporary folders have plain names");
        let mut words = vec!["--bind", "127.0.0.1", "--dir", folder, "--save", ""];
        words.extend(["--enable-debug-command", "yes", "--repl-diskless-sync-delay", "0"]);
        words.extend(self.settings.iter().map(String::as_str));
        let address = self.primary.map(|port| format!("127.0.0.1 {port}"));
        if let Some(address) = &address {
            words.extend(["--replicaof", address]);
        }
        let kind = self.kind;
        self.server = Some(Server::start_with(|port| {
            let port_word = port.to_string();
            let arguments = [&["--port", &port_word], &words[..]].concat();
            match kind {
                Kind::Ours => Server::run("redis-server", port, &arguments),
                Kind::Stock => {
                    let mut command = Command::new("redis-server");
                    command.args(&arguments).stdin(Stdio::null());
                    Server::of(command, port)
                }
            }
        }));
        self.front.retarget(self.port);
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.server.as_mut().expect("it runs").kill();
    }

    /// kill -9, and a start.
    pub(crate) fn kill_and_restart(&mut self) {
        self.kill();
        self.restart();
    }

    /// Changes a setting for later starts.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        match self.settings.iter().position(|word| word == name) {
            Some(at) => value.clone_into(&mut self.settings[at + 1]),
            None => self.settings.extend([name.to_owned(), value.to_owned()]),
        }
    }

    /// Makes it a replica, now and when it starts again.
    pub(crate) fn follow(&mut self, primary: &Node) {
        self.will_follow(primary);
        let port = primary.front.port;
        assert_eq!(self.ask(&format!("REPLICAOF 127.0.0.1 {port}")), "+OK\r\n");
    }

    /// Names the primary that it has when it starts again.
    pub(crate) fn will_follow(&mut self, primary: &Node) {
        self.primary = Some(primary.front.port);
    }

    /// Promotes it.
    pub(crate) fn lead(&mut self) {
        self.primary = None;
        assert_eq!(self.ask("REPLICAOF NO ONE"), "+OK\r\n");
    }

    /// A field of INFO as a number.
    pub(crate) fn count(&self, field: &str) -> u64 {
        let text = self.info(field);
        text.parse().unwrap_or_else(|_| panic!("{field}:{text}"))
    }

    /// Where it is in which history.
    pub(crate) fn position(&self) -> (String, u64) {
        let info = self.ask("INFO replication");
        (field(&info, "master_replid"), field(&info, "master_repl_offset").parse().unwrap())
    }

    pub(crate) fn is_linked(&self) -> bool {
        field(&self.ask("INFO replication"), "master_link_status") == "up"
    }

    /// Sets `count` keys of `bytes` bytes each, whose names begin with `name`.
    pub(crate) fn fill(&self, name: &str, count: usize, bytes: usize) {
        let value = "x".repeat(bytes);
        let sets: Vec<_> =
            (0..count).map(|number| words(&format!("SET {name}:{number} {value}"))).collect();
        let mut client = self.client();
        for sets in sets.chunks(100) {
            assert!(client.run(sets).iter().all(|reply| reply == b"+OK\r\n"));
        }
    }

    /// Asks for a list of things that must not fail.
    pub(crate) fn play(&self, lines: &str) {
        for line in lines.lines().map(str::trim) {
            let reply = self.ask(line);
            assert!(!reply.starts_with('-'), "{line}: {reply}");
        }
    }

    /// Full resyncs it has served, and partial ones.
    pub(crate) fn syncs(&self) -> (u64, u64) {
        (self.count("sync_full"), self.count("sync_partial_ok"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the files are kept in {}", self.folder.path().display());
            self.folder.disable_cleanup(true);
        }
    }
}

impl Deref for Node {
    type Target = Server;

    fn deref(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }
}

/// A field of INFO; empty if it is not there.
fn field(info: &str, name: &str) -> String {
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().to_owned()
}

/// Waits until `replica` has everything that `primary` has: history, offset, and data.
pub(crate) fn settle(primary: &Node, replica: &Node) {
    /// A look after which it is said how far they are; the last ones follow.
    const SHOWN: usize = 3_000;
    let mut looks = 0;
    wait_for("a replica with its primary's data", || {
        looks += 1;
        if looks == SHOWN {
            let shown = |node: &Node| node.ask("INFO replication") + &node.ask("DEBUG DIGEST");
            eprintln!("primary: {}\nreplica: {}", shown(primary), shown(replica));
            eprintln!("{}", differences(primary, replica).join("\n"));
        }
        let is_level = replica.is_linked() && primary.position() == replica.position();
        (is_level && primary.ask("DEBUG DIGEST") == replica.ask("DEBUG DIGEST")).then_some(())
    });
}

/// Keys that are not the same on both sides.
fn differences(left: &Node, right: &Node) -> Vec<String> {
    let (left, right) = (facts(left), facts(right));
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let differs = names.into_iter().filter(|&name| left.get(name) != right.get(name));
    differs.map(|name| format!("{name}: {:?} and {:?}", left.get(name), right.get(name))).collect()
}

/// What a node says of each key that its snapshot would hold, expired ones included.
fn facts(node: &Node) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for db in 0..16 {
        let mut client = node.client();
        let listing = client.run(&[words(&format!("SELECT {db}")), words("KEYS *")]).remove(1);
        let listing = String::from_utf8_lossy(&listing).into_owned();
        for key in listing.lines().filter(|line| !line.starts_with(['*', '$'])) {
            let ask = |what: &str| words(&format!("{what} {key}"));
            let requests = [ask("PEXPIRETIME"), ask("STRLEN"), ask("DEBUG DIGEST-VALUE")];
            let facts = client.run(&requests).concat();
            found.insert(format!("{db} {key}"), facts.escape_ascii().to_string());
        }
    }
    found.insert("keyspace".to_owned(), node.ask("INFO keyspace"));
    found
}
