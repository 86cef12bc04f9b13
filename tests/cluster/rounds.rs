//! Goal: whatever is killed, paused or moved, and when, a cluster heals by itself: what WAIT confirmed is there, no slot had
//! two primaries in one epoch, and replicas hold what their primaries hold.
//!
//! Method: three shards of a primary and a replica are written to all along. Some nodes are killed and started again,
//! paused for longer than the timeout, promoted by an operator, or rewrite their logs, all at random; somebody looks at who
//! claims what. Then things calm down, and all have to agree. The data go on from round to round.
//!
//! With one replica a confirmed write is on both nodes of its shard, so at least one of them is left alone at a time, but
//! where everything is synced: there all of a shard may die, or all nodes. What was only acknowledged may go where FORCE or
//! TAKEOVER promote a replica that has not all of it; stock promises no more.

use std::time::Duration;

use crate::claims::Watcher;
use crate::member::{Kind, Member};
use crate::seeds::play;
use crate::server::wait_for;
use crate::shards::Shards;
use crate::writers::{Writers, check};

/// Rounds of each test.
const ROUNDS: u64 = 5;
/// A pause in which a node is given up: longer than the timeout, and than what noticing it takes.
const PAUSE_MS: std::ops::Range<u64> = 1_700..3_000;

/// A cluster in trouble.
struct Trouble {
    shards: Shards,
    /// Indices of the two nodes of each shard.
    pairs: Vec<[usize; 2]>,
    paused: Vec<usize>,
    /// Everything is synced before it is acknowledged.
    synced: bool,
    random: fastrand::Rng,
    told: Vec<String>,
}

impl Trouble {
    fn start(kinds: &[Kind], seed: u64, synced: bool) -> Trouble {
        let settings = if synced { &["--appendfsync", "always"][..] } else { &[] };
        let shards = Shards::make(kinds, 1, settings);
        let primaries = (0..kinds.len()).filter(|&index| shards.members[index].is_primary());
        let pairs = primaries.map(|index| [index, shards.replicas(index)[0]]).collect();
        let random = fastrand::Rng::with_seed(seed);
        Trouble { shards, pairs, paused: Vec::new(), synced, random, told: Vec::new() }
    }

    fn is_well(&self, index: usize) -> bool {
        self.shards.members[index].runs() && !self.paused.contains(&index)
    }

    fn tell(&mut self, what: &str, index: usize) {
        self.told.push(format!("{what} {}", self.shards.members[index].port));
    }

    /// Load and trouble, then calm.
    fn round(&mut self) {
        let ports: Vec<u16> = self.shards.members.iter().map(|member| member.port).collect();
        let watcher = Watcher::start(&ports);
        let writers = Writers::start(&ports, 3);
        for _ in 0..self.random.usize(2..8) {
            std::thread::sleep(Duration::from_millis(self.random.u64(50..500)));
            self.step();
        }
        std::thread::sleep(Duration::from_millis(self.random.u64(PAUSE_MS)));
        self.end();
        self.shards.heal();
        let (confirmed, _) = check(&ports, &writers.stop());
        assert!(confirmed > 0, "nothing was confirmed");
        watcher.stop();
        for index in 0..self.pairs.len() {
            self.settle(self.pairs[index]);
        }
    }

    /// One more thing goes wrong, or right again.
    fn step(&mut self) {
        let pair = self.pairs[self.random.usize(..self.pairs.len())];
        let index = pair[self.random.usize(..2)];
        let both_well = pair.iter().all(|&index| self.is_well(index));
        match self.random.u32(..10) {
            0..=3 if both_well => self.kill(index),
            4 if both_well => self.pause(index),
            5 if self.synced => self.kill_many(&pair),
            6 if self.synced => self.kill_many(&self.pairs.concat()),
            7 if self.is_well(index) => {
                self.tell("BGREWRITEAOF on", index);
                self.shards.members[index].ask("BGREWRITEAOF");
            }
            0..=8 => self.promote(pair),
            _ => self.end(),
        }
    }

    fn kill(&mut self, index: usize) {
        let member = &mut self.shards.members[index];
        if member.kind == Kind::Stock {
            // After a full sync its log is what it was before until a rewrite has ended: killed then, it would come back
            // with less, and as a primary take the rest from its replica.
            wait_for("an end of rewrites", || has_its_log(member).then_some(()));
        }
        member.kill();
        self.tell("kill", index);
    }

    fn pause(&mut self, index: usize) {
        self.shards.members[index].pause(true);
        self.paused.push(index);
        self.tell("pause", index);
    }

    fn kill_many(&mut self, indices: &[usize]) {
        for &index in indices {
            if self.is_well(index) {
                self.kill(index);
            }
        }
    }

    /// An operator promotes whoever is the replica. That may be refused, or come to nothing.
    fn promote(&mut self, pair: [usize; 2]) {
        let replica = pair
            .into_iter()
            .find(|&index| self.is_well(index) && !self.shards.members[index].is_primary());
        if let Some(index) = replica {
            let how = ["", " FORCE", " TAKEOVER"][self.random.usize(..3)];
            let command = format!("CLUSTER FAILOVER{how}");
            let reply = self.shards.members[index].ask(&command);
            self.tell(&format!("{command} ({}) on", reply.trim_end()), index);
        }
    }

    /// Everybody is there again.
    fn end(&mut self) {
        for index in std::mem::take(&mut self.paused) {
            self.shards.members[index].pause(false);
            self.tell("go on", index);
        }
        for index in 0..self.shards.members.len() {
            if !self.shards.members[index].runs() {
                self.shards.members[index].restart();
                self.tell("restart", index);
            }
        }
    }

    /// Waits until the nodes of a shard have the same data at the same offset.
    fn settle(&self, pair: [usize; 2]) {
        let pair = pair.map(|index| &self.shards.members[index]);
        wait_for("a replica with its primary's data", || {
            let [left, right] = pair.map(|member| {
                let position =
                    ["master_replid", "master_repl_offset"].map(|name| member.info(name));
                (position, member.ask("DEBUG DIGEST"))
            });
            (left == right).then_some(())
        });
    }
}

/// Whether what a stock node would load is what it holds.
fn has_its_log(member: &Member) -> bool {
    ["loading", "aof_rewrite_in_progress", "aof_rewrite_scheduled"]
        .iter()
        .all(|field| member.info(field) == "0")
}

fn rounds(name: &str, seed: u64, kinds: &[Kind]) {
    play(name, (seed, ROUNDS), |seed, rounds| {
        for synced in [false, true] {
            let seed = seed ^ u64::from(synced) << 63;
            let mut trouble = Trouble::start(kinds, seed, synced);
            for round in 0..rounds {
                trouble.told.push(format!("round {round}:"));
                trouble.round();
            }
            eprintln!("{name}, synced {synced}: {}", trouble.told.join(", "));
        }
    });
}

impl Drop for Trouble {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what was done: {}", self.told.join(", "));
        }
    }
}

#[test]
fn three_shards_of_ours_heal() {
    rounds("three_shards_of_ours", 0xC01, &[Kind::Ours; 6]);
}

#[test]
fn three_shards_of_stock_and_ours_heal() {
    use Kind::{Ours, Stock};
    // The replica of each primary is of the other kind.
    rounds("three_shards_of_stock_and_ours", 0xC02, &[Ours, Stock, Ours, Stock, Ours, Stock]);
}
