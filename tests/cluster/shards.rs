//! A whole cluster: made as operators make one, looked at as they look at it.

use std::process::Command;
use std::time::Duration;

use highwater::clock::mono_us;
use highwater::keyspace::Slot;

use crate::member::{Kind, Member};

/// The timeout that most tests use: short, so that they are too.
pub(crate) const TIMEOUT_MS: &str = "1500";

/// How long a cluster may take to be whole again.
const HEAL_US: u64 = 60_000_000;
const LOOK: Duration = Duration::from_millis(50);

/// A cluster.
pub(crate) struct Shards {
    pub(crate) members: Vec<Member>,
}

impl Shards {
    /// Makes a cluster with `redis-cli --cluster create`.
    pub(crate) fn make(kinds: &[Kind], replicas: usize, settings: &[&str]) -> Shards {
        let timeout = ["--cluster-node-timeout", TIMEOUT_MS];
        let settings = [&timeout, settings].concat();
        let start = |kind: &Kind| Member::start(*kind, &settings);
        let shards = Shards { members: kinds.iter().map(start).collect() };
        let mut command = Command::new("redis-cli");
        command.args(["--cluster", "create"]).args(shards.members.iter().map(Member::address));
        command.args(["--cluster-replicas", &replicas.to_string(), "--cluster-yes"]);
        let output = command.output().expect("redis-cli runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("All 16384 slots covered."), "{said}");
        shards.heal();
        shards
    }

    /// Three primaries and three replicas of ours.
    pub(crate) fn of_ours(settings: &[&str]) -> Shards {
        Shards::make(&[Kind::Ours; 6], 1, settings)
    }

    /// Those that run.
    pub(crate) fn running(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.runs())
    }

    /// Waits until all that run agree that all is well, and `redis-cli --cluster check` does too.
    pub(crate) fn heal(&self) {
        let began_us = mono_us();
        while let Some(wrong) = self.what_is_wrong() {
            if mono_us() - began_us > HEAL_US {
                for member in self.running() {
                    eprintln!("{}: {}", member.port, member.ask("CLUSTER NODES"));
                }
                panic!("the cluster does not heal: {wrong}");
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Who is what in the eyes of a node: ids with roles, primaries and slots.
    fn view_of(member: &Member) -> Vec<String> {
        let nodes = member.ask("CLUSTER NODES");
        let lines = nodes.lines().filter(|line| line.split(' ').count() >= 8);
        let mut view: Vec<String> = lines
            .map(|line| {
                let words: Vec<&str> = line.trim_end().split(' ').collect();
                let role = if words[2].contains("slave") { "replica" } else { "primary" };
                format!("{} {role} {} {}", words[0], words[3], words[8..].join(" "))
            })
            .collect();
        view.sort();
        view
    }

    fn what_is_wrong(&self) -> Option<String> {
        let views: Vec<Vec<String>> = self.running().map(Shards::view_of).collect();
        if views.windows(2).any(|pair| pair[0] != pair[1]) {
            return Some(format!("the nodes do not agree: {views:#?}"));
        }
        for member in self.running() {
            let port = member.port;
            let state = member.cluster_info("cluster_state");
            if state != "ok" {
                return Some(format!("{port} is in state {state}"));
            }
            let replication = member.ask("INFO replication");
            if replication.contains("role:slave") && !replication.contains("link_status:up") {
                return Some(format!("{port} does not follow its primary"));
            }
            let known = member.ask("CLUSTER NODES");
            let failing = known.lines().find(|line| {
                let flags = line.split(' ').nth(2).unwrap_or_default();
                flags.split(',').any(|flag| flag.starts_with("fail"))
            });
            let others_run = self.members.iter().all(Member::runs);
            if let Some(line) = failing.filter(|_| others_run) {
                return Some(format!("{port} says: {line}"));
            }
        }
        self.check().err()
    }

    /// What `redis-cli --cluster check` says.
    pub(crate) fn check(&self) -> Result<(), String> {
        let member = self.running().next().expect("one runs");
        let mut command = Command::new("redis-cli");
        command.args(["--cluster", "check", &member.address()]);
        let output = command.output().expect("redis-cli runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let is_clean = output.status.success()
            && said.contains("[OK] All nodes agree about slots configuration.")
            && said.contains("[OK] All 16384 slots covered.");
        if is_clean { Ok(()) } else { Err(said) }
    }

    /// Index of the primary that owns the slot of `key`, as the first running node sees it.
    pub(crate) fn owner(&self, key: &str) -> usize {
        let slot = Slot::of(key.as_bytes()).number();
        let member = self.running().next().expect("one runs");
        let nodes = member.ask("CLUSTER NODES");
        let owns = |line: &&str| {
            line.split(' ').skip(8).filter(|word| !word.starts_with('[')).any(|range| {
                let (first, last) = range.trim_end().split_once('-').unwrap_or((range, range));
                let number = |text: &str| text.trim_end().parse::<u16>().expect("a slot");
                (number(first)..=number(last)).contains(&slot)
            })
        };
        let line = nodes.lines().find(owns).unwrap_or_else(|| panic!("nobody owns it:\n{nodes}"));
        self.index_of(line.split(' ').next().expect("an id"))
    }

    /// Indices of the replicas of a node.
    pub(crate) fn replicas(&self, primary: usize) -> Vec<usize> {
        let id = self.members[primary].id();
        let nodes = self.members[primary].ask("CLUSTER NODES");
        let of = |line: &&str| line.split(' ').nth(3) == Some(&id);
        nodes.lines().filter(of).map(|line| self.index_of(&line[..40])).collect()
    }

    fn index_of(&self, id: &str) -> usize {
        let nodes = self.running().next().expect("one runs").ask("CLUSTER NODES");
        let line = nodes.lines().find(|line| line.starts_with(id)).expect("it is known");
        let address = line.split(' ').nth(1).expect("an address");
        let port = address.split('@').next().and_then(|text| text.rsplit(':').next());
        let port: u16 = port.and_then(|port| port.parse().ok()).expect("a port");
        let found = self.members.iter().position(|member| member.port == port);
        found.unwrap_or_else(|| panic!("port {port} is nobody's"))
    }
}
