//! How often everything has to be sent again: counted by the node that serves, in the situations that an operator meets.

use crate::node::{Kind, Node, settle};

use Kind::{Ours, Stock};

/// How often each situation is played.
const TIMES: u64 = 3;

/// What a group of nodes lives through.
const SITUATIONS: [(&str, Situation); 4] = [
    ("the replica is killed and started again", replica_restarts),
    ("the primary is killed and started again", primary_restarts),
    ("both are killed and started again", both_restart),
    ("a replica is promoted, its sibling follows, the killed primary returns", replica_is_promoted),
];

/// Returns full and partial resyncs.
type Situation = fn(&mut Group) -> (u64, u64);

/// A primary and its replicas, with the log on.
struct Group {
    primary: Node,
    replicas: [Node; 2],
    written: usize,
}

impl Group {
    fn start(primary: Kind, replica: Kind) -> Group {
        let settings = ["--appendonly", "yes"];
        let primary = Node::start(primary, None, &settings);
        let replicas = [(); 2].map(|()| Node::start(replica, Some(&primary), &settings));
        let mut group = Group { primary, replicas, written: 0 };
        group.write();
        group.settle();
        group
    }

    /// Writes to the primary something that was not there.
    fn write(&mut self) {
        self.written += 1;
        self.primary.fill(&format!("key:{}", self.written), 50, 100);
    }

    fn settle(&self) {
        self.replicas.iter().for_each(|replica| settle(&self.primary, replica));
    }
}

fn replica_restarts(group: &mut Group) -> (u64, u64) {
    let before = group.primary.syncs();
    group.replicas[0].kill();
    group.write();
    group.replicas[0].restart();
    group.settle();
    since(before, &group.primary)
}

fn primary_restarts(group: &mut Group) -> (u64, u64) {
    group.primary.kill_and_restart();
    group.write();
    group.settle();
    group.primary.syncs()
}

fn both_restart(group: &mut Group) -> (u64, u64) {
    group.replicas[0].kill();
    group.write();
    group.primary.kill_and_restart();
    group.write();
    group.replicas[0].restart();
    group.settle();
    group.primary.syncs()
}

/// Leaves the promoted one as the primary.
fn replica_is_promoted(group: &mut Group) -> (u64, u64) {
    group.primary.kill();
    std::mem::swap(&mut group.primary, &mut group.replicas[0]);
    let Group { primary, replicas: [old, sibling], .. } = group;
    let before = primary.syncs();
    primary.lead();
    sibling.follow(primary);
    old.will_follow(primary);
    group.write();
    group.replicas[0].restart();
    group.write();
    group.settle();
    since(before, &group.primary)
}

fn since((full, partial): (u64, u64), node: &Node) -> (u64, u64) {
    let now = node.syncs();
    (now.0 - full, now.1 - partial)
}

/// Plays all situations and prints the counts as a table.
fn count(primary: Kind, replica: Kind) -> Vec<(u64, u64)> {
    let mut group = Group::start(primary, replica);
    let mut all = Vec::new();
    for (name, situation) in SITUATIONS {
        // A promotion leaves a mixed group of another kind.
        let is_last = all.len() + 1 == SITUATIONS.len();
        let times = if is_last && primary != replica { 1 } else { TIMES };
        let mut sum = (0, 0);
        for _ in 0..times {
            let (full, partial) = situation(&mut group);
            sum = (sum.0 + full, sum.1 + partial);
        }
        eprintln!("| {primary:?}, {replica:?} | {name} | {times} | {} | {} |", sum.0, sum.1);
        all.push(sum);
    }
    all
}

/// Goal: after no failure anything but what is missing is sent. Each situation has one or two replicas to serve.
#[test]
fn between_two_of_ours_every_resync_is_partial() {
    let counts = count(Ours, Ours);
    assert_eq!(counts.len(), SITUATIONS.len());
    for ((full, partial), (name, _)) in counts.into_iter().zip(SITUATIONS) {
        assert_eq!(full, 0, "{name}");
        let is_alone = name == SITUATIONS[0].0;
        assert_eq!(partial, if is_alone { TIMES } else { 2 * TIMES }, "{name}");
    }
}

/// Stock servers keep no offset in their log, so here the counts are no promise of ours; they are shown for comparison.
#[test]
fn with_stock_servers_resyncs_are_counted() {
    for (primary, replica) in [(Stock, Stock), (Ours, Stock), (Stock, Ours)] {
        for (full, partial) in count(primary, replica) {
            assert!(full + partial > 0, "{full} full, {partial} partial");
        }
    }
}
