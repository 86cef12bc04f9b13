//! Worlds where slots go back and forth between primaries as a whole, while clients write.

use fastrand::Rng;
use highwater::cluster::core::PeerIx;
use highwater::keyspace::Slot;

use crate::clients::{Outcome, Write};
use crate::seeds::play;
use crate::world::{Plan, Policy, World};

/// Slots that one job moves at most.
const SLOTS: u16 = 3000;

fn is_replicated(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Acked(replicas) if replicas > 0)
}

fn is_acked(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Acked(_))
}

/// Keys that there are before anything happens.
const KEYS: usize = 400;

impl World {
    /// A cluster with keys, which its replicas have.
    fn with_keys(plan: Plan, seed: u64) -> Self {
        let mut world = Self::formed(plan, seed);
        for number in 0..KEYS {
            let (key, value) = (format!("k{number}"), format!("<k{number}>"));
            let core = world.core(0).expect("it runs");
            let owner = core.slots().owner(Slot::of(key.as_bytes())).expect("it has one");
            let peer = &core.peers()[owner];
            let at = world.machine_of(peer.host, peer.ports.bus).expect("a machine");
            assert_eq!(world.run(at, &format!("set {key} {value}")), "+OK\r\n");
            world.writers.writes.push(Write {
                key,
                value,
                appends: false,
                waits: false,
                outcome: Outcome::Acked(1),
                acked_us: world.now_us,
                by: at,
            });
        }
        world.run_for(1500);
        world
    }

    /// An operator has slots moved from some primary to another, by a word to the one or to the other.
    fn move_some(&mut self, rng: &mut Rng) {
        self.has_jobs = true;
        let primaries = self.primaries();
        if primaries.len() < 2 {
            return;
        }
        let source = rng.usize(..primaries.len());
        let target = (source + rng.usize(1..primaries.len())) % primaries.len();
        let (source, target) = (primaries[source], primaries[target]);
        let core = self.core(source).expect("it runs");
        let own: Vec<Slot> = core.slots().set_of(PeerIx::ME).iter().collect();
        if own.len() < 2 {
            return;
        }
        let key = format!("a{}", rng.u64(..6));
        let hot = Slot::of(key.as_bytes());
        let from = match own.iter().position(|slot| *slot == hot) {
            Some(place) if rng.bool() => place.saturating_sub(rng.usize(..20)),
            _ => rng.usize(..own.len()),
        };
        let most = rng.u16(1..SLOTS);
        let mut last = from;
        while last + 1 < own.len()
            && own[last + 1].number() == own[last].number() + 1
            && own[last + 1].number() - own[from].number() < most
        {
            last += 1;
        }
        // It keeps some, so that it stays a primary.
        if last - from + 1 == own.len() {
            last -= 1;
        }
        let (first, last) = (own[from].number(), own[last].number());
        let target_id = self.core(target).expect("it runs").peers().me().id;
        let (at, line) = match rng.u8(..3) {
            0 => (target, format!("cluster migration import {first} {last}")),
            _ => {
                (source, format!("cluster migrateslots slotsrange {first} {last} node {target_id}"))
            }
        };
        let answer = self.run(at, &line);
        self.trace(at, &format!("{line}: {}", answer.trim_end()));
    }

    /// Three shards with keys, and writers.
    fn of_shards(rng: &mut Rng, replicas: usize, seed: u64) -> World {
        let plan = Plan { writers: 8, ..Plan::random(rng, 3, replicas) };
        World::with_keys(plan, seed)
    }

    /// Lets time pass, then begins to move slots.
    fn move_some_after(&mut self, rng: &mut Rng, ms: std::ops::Range<u64>) {
        let before_ms = rng.u64(ms);
        self.run_for(before_ms);
        self.move_some(rng);
    }

    /// Ends all faults; then each key is in one place, and everything that was `promised` is there.
    fn heal_with_all(&mut self, promised: fn(Outcome) -> bool) {
        self.heal();
        self.check_places();
        self.check_writes(|write| promised(write.outcome));
    }

    /// How many jobs have gone well, counted at their sources.
    fn moved(&self) -> usize {
        let ended =
            |at: usize| self.node(at).map_or(0, |node| node.state.migrations.ended().count());
        (0..self.machines.len()).map(ended).sum()
    }
}

/// With nothing in the way all jobs go well, and nothing is lost.
#[test]
fn slots_go_back_and_forth() {
    play("slots_go_back_and_forth", 8, |seed| {
        let mut rng = Rng::with_seed(seed);
        let replicas = rng.usize(0..=1);
        let mut world = World::of_shards(&mut rng, replicas, seed);
        for _ in 0..rng.usize(2..8) {
            world.move_some_after(&mut rng, 1..1500);
        }
        world.heal_with_all(is_acked);
        assert!(world.moved() > 0, "no job has ended");
    });
}

/// Connections break, again and again: what was sent is sent once more.
#[test]
fn slots_move_while_connections_break() {
    play("slots_move_while_connections_break", 16, with_breaking_connections);
}

fn with_breaking_connections(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let mut world = World::of_shards(&mut rng, 0, seed);
    for _ in 0..rng.usize(2..8) {
        world.move_some_after(&mut rng, 1..1000);
        for _ in 0..rng.usize(0..6) {
            let wait_ms = rng.u64(1..60);
            world.run_for(wait_ms);
            world.cut_jobs();
        }
    }
    world.heal_with_all(is_acked);
}

/// With nobody to replace them nodes come back with all they acknowledged, wherever it is by then: under `always` whatever
/// happens to them, under `everysec` when a process is killed.
#[test]
fn slots_move_while_processes_die() {
    play("slots_move_while_processes_die", 24, |seed| {
        let mut rng = Rng::with_seed(seed);
        let mut world = World::of_shards(&mut rng, 0, seed);
        for _ in 0..rng.usize(2..8) {
            world.move_some_after(&mut rng, 1..1500);
            let wait_us = rng.u64(1..120);
            world.run_for(wait_us);
            let at = rng.usize(..world.machines.len());
            if world.plan.policy == Policy::Always && rng.bool() {
                world.power_off(at);
            } else {
                world.kill(at);
            }
            world.start_later(at, (1, 2000));
        }
        world.run_for(1000);
        world.heal_with_all(is_acked);
    });
}

/// Nodes do not reach each other for a while, or stand still: with nobody to replace them nothing is lost.
#[test]
fn slots_move_while_nodes_are_parted() {
    play("slots_move_while_nodes_are_parted", 16, |seed| {
        let mut rng = Rng::with_seed(seed);
        let mut world = World::of_shards(&mut rng, 0, seed);
        for _ in 0..rng.usize(2..8) {
            world.move_some_after(&mut rng, 1..1500);
            let wait_ms = rng.u64(1..120);
            world.run_for(wait_ms);
            let at = rng.usize(..world.machines.len());
            let most_ms = world.plan.timeout_ms * 4;
            match rng.bool() {
                true => world.stop_for(at, (1, most_ms)),
                false => world.part_for(&[at], rng.u8(..4) == 0, (1, most_ms)),
            }
        }
        world.run_for(1000);
        world.heal_with_all(is_acked);
    });
}

/// One machine fails at a time while slots move, source, target or neither, and its replica takes over at any moment of the
/// handoff: what a replica had acknowledged is there.
#[test]
fn slots_move_while_primaries_are_replaced() {
    play("slots_move_while_primaries_are_replaced", 32, with_replaced_primaries);
}

fn with_replaced_primaries(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let replicas = rng.usize(1..=2);
    let mut world = World::of_shards(&mut rng, replicas, seed);
    for _ in 0..rng.usize(1..4) {
        let before_ms = rng.u64(300..1500);
        world.run_for(before_ms);
        for _ in 0..rng.usize(1..3) {
            world.move_some(&mut rng);
        }
        let wait_ms = rng.u64(1..150);
        world.run_for(wait_ms);
        let at = rng.usize(..world.machines.len());
        let (least_ms, most_ms) = (50, world.plan.timeout_ms * 4);
        match rng.u8(..4) {
            0 | 1 => world.crash(at, (least_ms, most_ms)),
            // With two, one may acknowledge what it gets from a primary that goes on, while the other is being elected.
            _ if replicas > 1 => {}
            2 => world.stop_for(at, (least_ms, most_ms)),
            _ => world.part_for(&[at], false, (least_ms, most_ms)),
        }
        world.run_for(most_ms);
        world.until_healed("one machine was away");
    }
    world.heal_with_all(is_replicated);
}

/// CLUSTER FAILOVER of any shard while slots move loses nothing that was acknowledged.
#[test]
fn slots_move_through_failovers_by_hand() {
    play("slots_move_through_failovers_by_hand", 16, |seed| {
        let mut rng = Rng::with_seed(seed);
        let replicas = rng.usize(1..=2);
        let mut world = World::of_shards(&mut rng, replicas, seed);
        for _ in 0..rng.usize(1..4) {
            world.move_some_after(&mut rng, 300..1500);
            let wait_ms = rng.u64(1..150);
            world.run_for(wait_ms);
            let at = rng.usize(..world.machines.len());
            world.operate(at, |core| core.fail_over(false, false));
            world.run_for(3000);
            world.until_healed("a failover by hand");
        }
        world.heal_with_all(is_acked);
    });
}

/// Everything goes wrong, all the time. Nothing is promised to writers, except that nothing is done twice, or done and denied;
/// and in the end all jobs are over, no slot is open or nobody's, and each key is in one place.
#[test]
fn slots_move_whatever_goes_wrong() {
    play("slots_move_whatever_goes_wrong", 40, with_anything_wrong);
}

fn with_anything_wrong(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let replicas = rng.usize(0..=2);
    let mut plan = Plan { writers: 6, ..Plan::random(&mut rng, 3, replicas) };
    plan.failing_saves = if rng.u8(..4) == 0 { 200 } else { 0 };
    let mut world = World::with_keys(plan, seed);
    for _ in 0..rng.usize(3..15) {
        world.move_some_after(&mut rng, 1..800);
        let wait_ms = rng.u64(1..200);
        world.run_for(wait_ms);
        world.something_happens(&mut rng);
    }
    let after_ms = rng.u64(..3000);
    world.run_for(after_ms);
    world.heal();
    if replicas == 0 {
        // A replica that takes over though it is behind has keys of slots that its primary has given away since: nobody
        // is served them, and what becomes of them is an operator's to say.
        world.check_places();
    }
    world.check_writes(|_| false);
}

/// A connection broke while a step of the walk was being sent, and the rest of the step was left out.
#[test]
fn a_step_of_the_walk_is_sent_though_the_connection_breaks() {
    with_breaking_connections(1);
}

/// A source that had been replaced and its successor both went on with a job, and each took the other's batches at the target for
/// its own.
#[test]
fn a_source_and_its_successor_do_not_mix_what_they_send() {
    with_anything_wrong(532);
}

/// A source that was about to end a job followed its successor for a moment, forgot the job, and was its primary again: the log
/// knew of a job that nobody ended.
#[test]
fn a_source_that_is_primary_again_ends_its_jobs() {
    with_anything_wrong(769);
}

/// A primary came back with less than its replica, and went on with its jobs: its log grew longer than the replica's, so that
/// nobody saw what was missing.
#[test]
fn jobs_do_not_hide_that_a_replica_has_more() {
    with_replaced_primaries(2125);
}

/// A target became a replica before its source had begun, ended the job in its memory, and was a primary again.
#[test]
fn a_replica_does_not_end_jobs() {
    with_anything_wrong(2166);
}

/// A primary took an epoch by itself and died; its successor was elected in the same one; back again, it won by its name.
#[test]
fn an_elected_primary_wins_over_its_predecessor() {
    with_replaced_primaries(3329);
}
