//! Goal: whatever dies while slots go back and forth, and when, every acknowledged write is there exactly once, and no slot is
//! open, or nobody's, or two nodes'.
//!
//! Method: clients count, each its own counters, so a lost or repeated write is a wrong number. Slots go around between three
//! primaries without replicas, which are killed and started again at random moments; a killed process loses nothing that it
//! has acknowledged. Then things calm down, and all have to agree.

use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

use crate::counters::{Counters, check};
use crate::jobs::{PATIENT, jobs, rest};
use crate::member::Kind;
use crate::seeds::play;
use crate::server::wait_for;
use crate::shards::Shards;

/// Rounds: moves that are begun.
const ROUNDS: u64 = 25;

/// Slots that one job moves.
const SLOTS: u16 = 700;

fn ports(shards: &Shards) -> Vec<u16> {
    shards.members.iter().map(|member| member.port).collect()
}

/// Begins to move some slots of a random node to another one, as far as the node is there and can.
fn begin_any(shards: &Shards, random: &mut fastrand::Rng) {
    let source = random.usize(..shards.members.len());
    let target = (source + random.usize(1..shards.members.len())) % shards.members.len();
    let members = &shards.members;
    if !members[source].runs() || !members[target].runs() {
        return;
    }
    let slots = members[source].ask("CLUSTER NODES");
    let own = slots.lines().find(|line| line.contains("myself")).unwrap_or_default();
    let ranges: Vec<(u16, u16)> = own
        .split(' ')
        .skip(8)
        .filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some((first.parse().ok()?, last.parse().ok()?))
        })
        .collect();
    let count: u16 = ranges.iter().map(|(first, last)| last - first + 1).sum();
    // It keeps some, so that it stays a primary.
    if ranges.is_empty() || count < 2 * SLOTS {
        return;
    }
    let (first, last) = ranges[random.usize(..ranges.len())];
    let last = last.min(first.saturating_add(random.u16(1..SLOTS)));
    let id = members[target].id();
    let reply =
        members[source].ask(&format!("CLUSTER MIGRATESLOTS SLOTSRANGE {first} {last} NODE {id}"));
    let fine = [
        "+OK",
        "-ERR I am already migrating",
        "-ERR Slots are not served",
        "-ERR Target node is not a primary",
        "-ERR Slot migration can only be used on primary nodes",
        "-TRYAGAIN",
        // Some have gone since they were looked up.
        "-ERR Requested slots span multiple shards",
        "-CLUSTERDOWN",
        "-LOADING",
        // It has just been started, and a replica might have more of the log.
        "-TRYAGAIN",
    ];
    assert!(fine.iter().any(|text| reply.starts_with(text)), "{reply}");
}

fn manager(shards: &Shards, words: &[&str]) -> Command {
    assert!(shards.members.iter().any(crate::member::Member::runs));
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    command.arg("cluster").args(words).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// An operator moves slots, and the program is killed at a random moment.
fn interrupted_manager(shards: &Shards, random: &mut fastrand::Rng) {
    let target = &shards.members[random.usize(..shards.members.len())];
    let address = target.address();
    let id = target.id();
    let words = ["reshard", &address, "--cluster-from", "all", "--cluster-to", &id];
    let words = [&words[..], &["--cluster-slots", "300", "--cluster-yes"]].concat();
    let mut child = manager(shards, &words).spawn().expect("the manager runs");
    rest(random.u64(0..600));
    child.kill().expect("it is our child");
    child.wait().expect("it is our child");
}

/// All jobs come to an end, and all agree.
fn calm(shards: &Shards) {
    wait_for("the end of all jobs", || {
        let is_over = |job: &crate::jobs::Job| {
            ["success", "failed", "cancelled"].contains(&job["state"].as_str())
        };
        shards.members.iter().all(|member| jobs(member).iter().all(is_over)).then_some(())
    });
    shards.heal();
}

#[test]
fn nothing_is_lost_or_repeated_when_processes_are_killed() {
    play("nothing_is_lost_or_repeated_when_processes_are_killed", (1, ROUNDS), |seed, rounds| {
        let mut shards = Shards::make(&[Kind::Ours; 3], 0, &["--cluster-node-timeout", "4000"]);
        let mut random = fastrand::Rng::with_seed(seed);
        let counters = Counters::start(&ports(&shards), 50);
        for _ in 0..rounds {
            match random.u8(..3) {
                0 => interrupted_manager(&shards, &mut random),
                _ => begin_any(&shards, &mut random),
            }
            rest(random.u64(0..400));
            if random.u8(..3) == 0 {
                let victim = random.usize(..3);
                shards.members[victim].kill();
                rest(random.u64(0..300));
                shards.members[victim].restart();
            }
        }
        calm(&shards);
        // An operator who comes back finds nothing in the way.
        let rebalanced = manager(&shards, &["rebalance", &shards.members[0].address()]).output();
        let rebalanced = rebalanced.expect("the manager runs");
        assert!(rebalanced.status.success(), "{}", String::from_utf8_lossy(&rebalanced.stdout));
        calm(&shards);
        let done = counters.done.load(Ordering::Relaxed);
        let counts = counters.stop();
        assert!(done > 1000, "{done} increments");
        check(&ports(&shards), &counts);
        let keys: usize = shards
            .members
            .iter()
            .map(|member| {
                let reply = member.ask("DBSIZE");
                reply.trim_end()[1..].parse::<usize>().unwrap()
            })
            .sum();
        assert_eq!(
            keys,
            counts.values().filter(|count| count.acknowledged > 0).count(),
            "each key is in one place"
        );
        let moved: usize = shards
            .members
            .iter()
            .map(|member| jobs(member).iter().filter(|job| job["state"] == "success").count())
            .sum();
        println!("{done} increments, {moved} halves of jobs went well");
    });
}

/// With all processes alive writes go on all along, and each handoff is short.
#[test]
fn clients_hardly_notice_a_move() {
    let shards = Shards::make(&[Kind::Ours; 3], 0, PATIENT);
    let mut random = fastrand::Rng::with_seed(7);
    let counters = Counters::start(&ports(&shards), 50);
    for _ in 0..30 {
        begin_any(&shards, &mut random);
        rest(100);
    }
    calm(&shards);
    let counts = counters.stop();
    check(&ports(&shards), &counts);
    let exports = shards.members.iter().flat_map(jobs).filter(|job| job["operation"] == "EXPORT");
    let mut pauses: Vec<u64> = exports
        .map(|job| {
            assert_eq!(job["state"], "success", "{job:?}");
            job["pause_us"].parse().unwrap()
        })
        .collect();
    pauses.sort_unstable();
    assert!(pauses.len() >= 10, "{pauses:?}");
    let median = pauses[pauses.len() / 2];
    println!("writes waited for {median} us at the median, {} at most", pauses[pauses.len() - 1]);
    // A debug build on a busy machine: figures are `scripts/bench-migration`'s to make.
    assert!(median < 200_000, "{pauses:?}");
}

/// Primaries and replicas die in the middle of moves, one at a time: what WAIT has confirmed is there, once.
#[test]
fn what_was_confirmed_survives_failovers_in_the_middle_of_moves() {
    let name = "what_was_confirmed_survives_failovers_in_the_middle_of_moves";
    play(name, (2, ROUNDS / 4), |seed, rounds| {
        let mut shards = Shards::make(&[Kind::Ours; 6], 1, &[]);
        let mut random = fastrand::Rng::with_seed(seed);
        let counters = Counters::confirmed(&ports(&shards), 20);
        for _ in 0..rounds {
            for _ in 0..random.usize(1..4) {
                begin_any(&shards, &mut random);
            }
            rest(random.u64(0..200));
            let victim = random.usize(..shards.members.len());
            shards.members[victim].kill();
            rest(random.u64(100..3000));
            begin_any(&shards, &mut random);
            shards.members[victim].restart();
            // The next one to die must not be the only one that has something.
            wait_for("all to follow", || shards.members.iter().all(follows).then_some(()));
        }
        calm(&shards);
        let done = counters.done.load(Ordering::Relaxed);
        let counts = counters.stop();
        assert!(done > 100, "{done} increments");
        check(&ports(&shards), &counts);
        println!("{done} increments were confirmed");
    });
}

/// Whether a node is a primary with a replica that follows, or such a replica.
fn follows(member: &crate::member::Member) -> bool {
    let replication = member.ask("INFO replication");
    match replication.contains("role:slave") {
        true => replication.contains("link_status:up"),
        false => replication.contains("state=online"),
    }
}
