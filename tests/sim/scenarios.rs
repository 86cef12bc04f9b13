//! Worlds with a story, each with what it promises to those who write.

use fastrand::Rng;

use crate::clients::Outcome;
use crate::disk::Log;
use crate::seeds::play;
use crate::world::{Plan, Policy, World};

/// A write that a replica has.
fn is_replicated(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Acked(replicas) if replicas > 0)
}

fn is_acked(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Acked(_))
}

#[test]
fn a_killed_primary_is_replaced() {
    play("a_killed_primary_is_replaced", 20, |seed| {
        let mut rng = Rng::with_seed(seed);
        let mut world = World::formed(Plan::random(&mut rng, 3, 1), seed);
        world.run_for(2000);
        world.kill(0);
        world.run_for(world.plan.timeout_ms * 4 + 2000);
        assert!(world.core(3).expect("it runs").peers().me().is_primary(), "#3 has taken over");
        world.heal();
        assert_eq!(world.primary_of(0), Some(3));
        world.check_writes(|write| is_replicated(write.outcome));
    });
}

/// What a replica has acknowledged survives, as long as a shard is whole again before it fails the next time: a process
/// killed, a power cut, a process stopped for a while, one machine cut off from all others.
#[test]
fn one_failure_at_a_time_loses_nothing_that_a_replica_has() {
    play("one_failure_at_a_time", 60, |seed| {
        let mut rng = Rng::with_seed(seed);
        let replicas = rng.usize(1..=2);
        let mut world = World::formed(Plan::random(&mut rng, 3, replicas), seed);
        for _ in 0..rng.usize(1..4) {
            let before_ms = rng.u64(300..1500);
            world.run_for(before_ms);
            let at = rng.usize(..world.machines.len());
            let (least_ms, most_ms) = (50, world.plan.timeout_ms * 4);
            match rng.u8(..4) {
                0 | 1 => world.crash(at, (least_ms, most_ms)),
                2 => world.stop_for(at, (least_ms, most_ms)),
                _ => world.part_for(&[at], false, (least_ms, most_ms)),
            }
            world.run_for(most_ms);
            world.until_healed("one machine was away");
        }
        world.heal();
        world.check_writes(|write| is_replicated(write.outcome));
    });
}

/// With nobody to replace it a node comes back with all it acknowledged: under `always` whatever happens to it, under
/// `everysec` when its process is killed.
#[test]
fn a_node_that_is_not_replaced_comes_back_with_all_it_acknowledged() {
    play("a_node_that_is_not_replaced", 40, |seed| {
        let mut rng = Rng::with_seed(seed);
        let mut world = World::formed(Plan::random(&mut rng, 3, 0), seed);
        for _ in 0..rng.usize(1..6) {
            let before_ms = rng.u64(100..1500);
            world.run_for(before_ms);
            let at = rng.usize(..world.machines.len());
            if world.plan.policy == Policy::Always && rng.bool() {
                world.power_off(at);
            } else {
                world.kill(at);
            }
            world.start_later(at, (10, 2000));
        }
        world.run_for(2000);
        world.heal();
        world.check_writes(|write| is_acked(write.outcome));
    });
}

/// A primary comes back with an older log, or with none, before anybody has replaced it: what a replica has acknowledged
/// survives, since the replica takes over.
#[test]
fn a_primary_that_lost_its_log_does_not_wipe_its_replicas() {
    play("a_primary_that_lost_its_log", 40, |seed| {
        let mut rng = Rng::with_seed(seed);
        let replicas = rng.usize(1..=2);
        let mut plan = Plan::random(&mut rng, 3, replicas);
        plan.load_us.1 = plan.load_us.1.min(300_000);
        let mut world = World::formed(plan, seed);
        let before_ms = rng.u64(1000..3000);
        world.run_for(before_ms);
        world.kill(0);
        if rng.bool() {
            world.machines[0].disk.log = Log::default();
        } else {
            world.machines[0].disk.log.roll_back(&mut rng);
        }
        world.start_later(0, (1, world.plan.timeout_ms));
        world.run_for(world.plan.timeout_ms * 6);
        world.heal();
        world.check_writes(|write| is_replicated(write.outcome));
    });
}

/// CLUSTER FAILOVER while all is well loses nothing that was acknowledged, replicated or not.
#[test]
fn a_failover_by_hand_loses_nothing() {
    play("a_failover_by_hand", 40, |seed| {
        let mut rng = Rng::with_seed(seed);
        let replicas = rng.usize(1..=2);
        let mut world = World::formed(Plan::random(&mut rng, 3, replicas), seed);
        for _ in 0..rng.usize(1..4) {
            let before_ms = rng.u64(300..1500);
            world.run_for(before_ms);
            let at = rng.usize(..world.machines.len());
            world.operate(at, |core| core.fail_over(false, false));
            let replicas = world.check.failovers;
            world.run_for(3000);
            if world.traces {
                eprintln!("failovers: {replicas} before, {} now", world.check.failovers);
            }
            world.until_healed("a failover by hand");
        }
        world.heal();
        world.check_writes(|write| is_acked(write.outcome));
    });
}

/// The power is cut everywhere at once: the cluster comes back as it was, with all that was acknowledged under `always`.
#[test]
fn a_power_cut_everywhere_loses_nothing_synced() {
    play("a_power_cut_everywhere", 40, |seed| {
        let mut rng = Rng::with_seed(seed);
        let mut plan = Plan::random(&mut rng, 3, 1);
        plan.policy = Policy::Always;
        // Whoever is back first must not be replaced before it has loaded.
        plan.load_us.1 = plan.load_us.1.min(200_000);
        let mut world = World::formed(plan, seed);
        let before_ms = rng.u64(500..3000);
        world.run_for(before_ms);
        (0..world.machines.len()).for_each(|at| world.power_off(at));
        for at in 0..world.machines.len() {
            world.start_later(at, (1, 300));
        }
        world.run_for(2000);
        world.heal();
        world.check_writes(|write| is_acked(write.outcome));
    });
}

/// Nodes that know nobody meet, get slots, and primaries to follow. All begin in epoch 0, so that they have to settle on
/// others.
#[test]
fn strangers_become_a_cluster() {
    play("strangers_become_a_cluster", 20, |seed| {
        let mut rng = Rng::with_seed(seed);
        let plan = Plan { writers: 2, ..Plan::random(&mut rng, 3, 1) };
        let mut world = World::strangers(plan, seed);
        world.run_for(2000);
        world.heal();
        world.check_writes(|write| is_acked(write.outcome));
    });
}

/// What a node says is swallowed for a while, though its connections stay: it is trusted again when it is heard again.
#[test]
fn a_node_that_was_mute_is_trusted_again() {
    play("a_node_that_was_mute", 20, |seed| {
        let mut rng = Rng::with_seed(seed);
        let mut world = World::formed(Plan::random(&mut rng, 3, 1), seed);
        world.machines[0].is_mute = true;
        let mute_ms = world.plan.timeout_ms * rng.u64(3..15) / 5;
        world.run_for(mute_ms);
        world.machines[0].is_mute = false;
        world.heal();
    });
}

/// Everything goes wrong, all the time. What holds with every step and in the end holds here, too; but nothing is promised
/// to writers, except that nothing is done twice, or done and denied.
#[test]
fn anything_may_go_wrong() {
    play("anything_may_go_wrong", 100, |seed| {
        let mut rng = Rng::with_seed(seed);
        let (primaries, replicas) = (3 + 2 * usize::from(rng.u8(..5) == 0), rng.usize(1..=2));
        let mut plan = Plan::random(&mut rng, primaries, replicas);
        plan.failing_saves = if rng.u8(..4) == 0 { 200 } else { 0 };
        let mut world = World::formed(plan, seed);
        for _ in 0..rng.usize(3..15) {
            let before_ms = rng.u64(1..1500);
            world.run_for(before_ms);
            world.something_happens(&mut rng);
        }
        let after_ms = rng.u64(..3000);
        world.run_for(after_ms);
        world.heal();
        world.check_writes(|_| false);
    });
}
