//! Goal: whatever is killed or cut off, and when, a chain of nodes ends with equal data, and two of ours with equal logs.
//!
//! Method: a chain (each node a replica of the one before, through a proxy) is under load at its head. Meanwhile the
//! proxies cut and delay connections at random, and a node may be killed and started again, or rewrite its log. Then
//! things calm down, and all have to agree. The data go on from round to round.

use std::time::Duration;

use crate::load::{Acknowledged, Load, counted};
use crate::logs::compare;
use crate::node::{Kind, Node, settle};
use crate::seeds::play;
use crate::server::wait_for;

/// Rounds of each test.
const ROUNDS: u64 = 9;

/// A chain, its head first.
struct Chain {
    nodes: Vec<Node>,
    appendonly: bool,
    kills: u64,
    log_bytes: u64,
}

impl Chain {
    fn start(kinds: &[Kind], appendonly: bool, random: &mut fastrand::Rng) -> Chain {
        let mut chain = Chain { nodes: Vec::new(), appendonly, kills: 0, log_bytes: 0 };
        for &kind in kinds {
            let mut settings = vec!["--appendonly", if appendonly { "yes" } else { "no" }];
            settings.extend(["--repl-backlog-size", pick(random, &["16kb", "100kb", "1mb"])]);
            settings.extend(["--repl-diskless-sync", pick(random, &["yes", "no"])]);
            let policies: &[&str] = match kind {
                Kind::Ours => &["always", "everysec", "no"],
                // With `everysec` it may keep acknowledged writes to itself while a sync is under way, and loses them when killed.
                Kind::Stock => &["always", "no"],
            };
            settings.extend(["--appendfsync", pick(random, policies)]);
            let node = Node::start(kind, chain.nodes.last(), &settings);
            node.front.seed(random.fork());
            chain.nodes.push(node);
        }
        chain
    }

    /// Load and trouble, then calm.
    fn round(&mut self, random: &mut fastrand::Rng) {
        let load = Load::start(self.nodes[0].port, random);
        let mut head_died = false;
        self.nodes.iter().for_each(|node| node.front.set_rough(true));
        for _ in 0..random.usize(1..4) {
            std::thread::sleep(Duration::from_millis(random.u64(10..120)));
            head_died |= self.trouble(&load, random);
        }
        self.nodes.iter().for_each(|node| node.front.set_rough(false));
        let acknowledged = load.stop();
        assert!(acknowledged.0.iter().any(|count| *count > 0), "nothing was written");
        if !head_died || self.appendonly {
            self.check_head(&acknowledged);
        }
        for pair in self.nodes.windows(2) {
            settle(&pair[0], &pair[1]);
        }
        self.compare_logs();
    }

    /// Does something to some node or link. Returns whether the head was killed.
    fn trouble(&mut self, load: &Load, random: &mut fastrand::Rng) -> bool {
        let index = random.usize(..self.nodes.len());
        match random.u32(..8) {
            0 => {
                self.nodes[index].ask(pick(random, &["BGREWRITEAOF", "BGSAVE"]));
            }
            1 => {
                self.nodes[index].set("--repl-diskless-sync", pick(random, &["yes", "no"]));
            }
            2 | 3 => {
                self.nodes[index].front.cut();
            }
            _ => {
                self.kills += 1;
                self.nodes[index].kill();
                std::thread::sleep(Duration::from_millis(random.u64(..30)));
                self.nodes[index].restart();
                if index == 0 {
                    load.retarget(self.nodes[index].port);
                    return true;
                }
            }
        }
        false
    }

    /// Nothing that was acknowledged is lost.
    fn check_head(&self, acknowledged: &Acknowledged) {
        let found = counted(&mut self.nodes[0].client());
        let is_whole = found.0.iter().zip(&acknowledged.0).all(|(found, told)| found >= told);
        assert!(is_whole, "acknowledged {acknowledged:?}, found {found:?}");
    }

    fn compare_logs(&mut self) {
        for pair in self.nodes.windows(2) {
            if self.appendonly && pair.iter().all(|node| node.kind == Kind::Ours) {
                for node in pair {
                    // A rewrite changes which files there are.
                    wait_for("the end of a rewrite", || {
                        (node.count("aof_rewrite_in_progress") == 0).then_some(())
                    });
                }
                self.log_bytes += compare(&pair[0], &pair[1]);
            }
        }
    }
}

fn pick<'t>(random: &mut fastrand::Rng, words: &[&'t str]) -> &'t str {
    words[random.usize(..words.len())]
}

/// Plays a chain with the log on, and one with the log off.
fn rounds(name: &str, seed: u64, kinds: &[Kind]) {
    play(name, (seed, ROUNDS), |seed, rounds| {
        for appendonly in [true, false] {
            let mut random = fastrand::Rng::with_seed(seed ^ u64::from(appendonly) << 63);
            let mut chain = Chain::start(kinds, appendonly, &mut random);
            for _ in 0..rounds {
                chain.round(&mut random);
            }
            let cuts: usize = chain.nodes.iter().map(|node| node.front.cuts()).sum();
            let (full, partial) = chain.nodes[0].syncs();
            eprintln!(
                "{name}, appendonly {appendonly}: {rounds} rounds, {} kills, {cuts} cuts at a byte, \
                 {} bytes of logs compared; the head's last process served {full} full resyncs, {partial} partial",
                chain.kills, chain.log_bytes
            );
            for node in &chain.nodes {
                // A rewrite may still be under way.
                wait_for("an end of temporary files", || leftovers(node).is_empty().then_some(()));
            }
        }
    });
}

/// Temporary files in a node's folder. Stock leaves those of killed processes, and so do ours with the log off.
fn leftovers(node: &Node) -> Vec<String> {
    if node.kind == Kind::Stock {
        return Vec::new();
    }
    let entries = std::fs::read_dir(node.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let is_own = |name: &String| name.contains(&node.pid().to_string());
    let logs = node.ask("CONFIG GET appendonly").contains("yes");
    names.filter(|name| name.starts_with("temp-") && (logs || is_own(name))).collect()
}

use Kind::{Ours, Stock};

#[test]
fn a_replica_of_a_stock_primary_ends_with_its_data() {
    rounds("a_replica_of_a_stock_primary", 0x501, &[Stock, Ours]);
}

#[test]
fn a_stock_replica_ends_with_our_data() {
    rounds("a_stock_replica_ends", 0x502, &[Ours, Stock]);
}

#[test]
fn two_of_ours_end_with_equal_data_and_logs() {
    rounds("two_of_ours", 0x503, &[Ours, Ours]);
}

#[test]
fn a_chain_with_ours_between_stock_ends_with_equal_data() {
    rounds("a_chain_with_ours_between_stock", 0x504, &[Stock, Ours, Stock]);
}

#[test]
fn a_chain_of_ours_ends_with_equal_data_and_logs() {
    rounds("a_chain_of_ours", 0x505, &[Ours, Ours, Ours]);
}

#[test]
fn a_chain_with_stock_between_ours_ends_with_equal_data() {
    rounds("a_chain_with_stock_between_ours", 0x506, &[Ours, Stock, Ours]);
}
