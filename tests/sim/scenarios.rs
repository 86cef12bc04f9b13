//! Worlds with a story, each with what it promises to those who write.

use fastrand::Rng;
use highwater::cluster::Epoch;
use highwater::cluster::packet::flags;

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
    play("a_killed_primary_is_replaced", 8, |seed| {
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
/// killed, a power cut, a process stopped for a while; where a shard has one replica, also one machine cut off from all
/// others. (With two, a primary that comes back may have a write acknowledged by the one while the other is being elected:
/// replication is asynchronous, and WAIT asks for no majority.)
#[test]
fn one_failure_at_a_time_loses_nothing_that_a_replica_has() {
    play("one_failure_at_a_time", 24, |seed| {
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
                _ if replicas > 1 => {}
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
    play("a_node_that_is_not_replaced", 16, |seed| {
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
    play("a_primary_that_lost_its_log", 16, |seed| {
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
    play("a_failover_by_hand", 16, |seed| {
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
    play("a_power_cut_everywhere", 16, |seed| {
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
    play("strangers_become_a_cluster", 8, |seed| {
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
    play("a_node_that_was_mute", 8, |seed| {
        let mut rng = Rng::with_seed(seed);
        let mut world = World::formed(Plan::random(&mut rng, 3, 1), seed);
        world.machines[0].is_mute = true;
        let mute_ms = world.plan.timeout_ms * rng.u64(3..15) / 5;
        world.run_for(mute_ms);
        world.machines[0].is_mute = false;
        world.heal();
    });
}

/// Disks take longer than the timeout: nodes that vote, and that hear of others' elections, are not silent meanwhile.
#[test]
fn nodes_with_slow_disks_are_not_taken_for_failed() {
    play("nodes_with_slow_disks", 8, |seed| {
        let mut rng = Rng::with_seed(seed);
        let mut plan = Plan::random(&mut rng, 3, 1);
        (plan.timeout_ms, plan.disk_us) = (1000, (1_300_000, 1_900_000));
        let mut world = World::formed(plan, seed);
        world.run_for(10_000);
        world.kill(0);
        // What the replica of the one that is gone claims has to be on disk first: that one is silent.
        let bystanders = [1, 2, 4, 5];
        for _ in 0..200 {
            world.run_for(100);
            for at in bystanders {
                for (_, peer) in world.core(at).expect("it runs").peers().iter() {
                    let who = world.machine_of(peer.host, peer.ports.bus);
                    let is_slow = who.is_some_and(|who| bystanders.contains(&who));
                    let is_suspected = peer.is(flags::PFAIL | flags::FAIL);
                    assert!(!(is_slow && is_suspected), "#{at} thinks #{who:?} has failed");
                }
            }
        }
        let votes = |at| world.core(at).expect("it runs").last_vote_epoch();
        assert!(votes(1) > Epoch(0) && votes(2) > Epoch(0), "they have voted");
    });
}

/// A takeover that cannot be saved is told to nobody (`check.rs` looks), and is forgotten with its process.
#[test]
fn a_takeover_that_cannot_be_saved_is_not_told() {
    play("a_takeover_that_cannot_be_saved", 5, |seed| {
        let mut rng = Rng::with_seed(seed);
        let mut world = World::formed(Plan::random(&mut rng, 3, 1), seed);
        let (at, primary) = world.some_replica();
        world.machines[at].disk.is_full = true;
        world.operate(at, |core| core.fail_over(false, true));
        let wait_ms = rng.u64(..3000);
        world.run_for(wait_ms);
        let id = world.core(primary).expect("it runs").peers().me().id;
        for other in (0..world.machines.len()).filter(|other| *other != at) {
            let peers = world.core(other).expect("it runs").peers();
            assert!(peers.get(&id).expect("it is known").votes(), "#{other} believes #{at}");
        }
        world.kill(at);
        world.heal();
    });
}

/// All nodes of a shard are in one, also while some of them are away: what is written meanwhile is read back.
#[test]
fn a_replica_is_in_the_shard_of_its_primary() {
    play("a_replica_is_in_the_shard", 5, |seed| {
        let mut rng = Rng::with_seed(seed);
        let plan = Plan { reload_share: 1, writers: 0, ..Plan::random(&mut rng, 3, 2) };
        let mut world = World::formed(plan, seed);
        world.kill(6);
        world.operate(3, |core| core.fail_over(true, false));
        let wait_ms = rng.u64(500..4000);
        world.run_for(wait_ms);
        let other = world.core(1).expect("it runs").peers().me().id;
        world.operate(0, |core| drop(core.replicate(&other)));
        world.operate(3, |core| drop(core.fail_over(true, false)));
        world.run_for(2000);
        world.start(6);
        world.heal();
    });
}

/// A replica is forgotten by all, stays away for the minute that is meant to, and is met again by one.
#[test]
fn a_forgotten_node_is_met_again() {
    play("a_forgotten_node_is_met_again", 5, |seed| {
        let mut rng = Rng::with_seed(seed);
        let plan = Plan { writers: 1, ..Plan::random(&mut rng, 3, 1) };
        let mut world = World::formed(plan, seed);
        let (replica, _) = world.some_replica();
        let others: Vec<usize> = (0..world.machines.len()).filter(|at| *at != replica).collect();
        let id = world.core(replica).expect("it runs").peers().me().id;
        for at in &others {
            assert_eq!(world.operate(*at, |core| core.forget(&id)), Some(Ok(())));
        }
        world.run_for(50_000);
        let knows = |at: &&usize| world.core(**at).is_some_and(|core| core.peers().len() == 6);
        assert_eq!(others.iter().filter(knows).count(), 0, "nobody learns of it by gossip");
        world.run_for(11_000);
        let (host, ports) = (world.machines[replica].host, world.machines[replica].ports);
        let by = others[rng.usize(..others.len())];
        world.operate(by, |core| core.meet(host, ports.client, ports.bus));
        world.heal();
        world.check_writes(|write| is_acked(write.outcome));
    });
}

/// A replica is killed and started again; while it loads its log its primary is killed. It stands when it has loaded: what
/// it goes on with is a history of its own, and has all that it acknowledged.
#[test]
fn a_replica_that_is_loading_does_not_stand() {
    play("a_replica_that_is_loading", 8, |seed| {
        let mut rng = Rng::with_seed(seed);
        let plan = Plan { load_us: (1_000_000, 4_000_000), ..Plan::random(&mut rng, 3, 1) };
        let mut world = World::formed(plan, seed);
        let before_ms = rng.u64(200..2000);
        world.run_for(before_ms);
        let (replica, primary) = world.some_replica();
        world.kill(replica);
        world.start(replica);
        let loaded_ms = rng.u64(..1000);
        world.run_for(loaded_ms);
        world.kill(primary);
        world.until_elected(primary);
        assert_eq!(world.node(replica).expect("it runs").state.persistence.loading, None);
        world.heal();
        world.check_writes(|write| is_replicated(write.outcome));
    });
}

/// Two replicas of a dead primary each reach one of the two voters, at different times. Once both reach both, one wins
/// within the bound: voters that hold back for one do not keep the other from winning for ever.
#[test]
fn candidates_do_not_keep_each_other_from_winning() {
    play("candidates_do_not_keep_each_other", 8, |seed| {
        let mut rng = Rng::with_seed(seed);
        let plan = Plan { writers: 0, ..Plan::random(&mut rng, 3, 2) };
        let mut world = World::formed(plan, seed);
        let (first, primary) = world.some_replica();
        let replicas = (0..world.machines.len()).filter(|at| *at != primary && *at != first);
        let mut others = replicas.filter(|at| world.primary_of(*at) == Some(primary));
        let second = others.next().expect("there are two");
        let voters: Vec<usize> =
            world.primaries().into_iter().filter(|at| *at != primary).collect();
        world.kill(primary);
        world.net.block(first, voters[0], true);
        world.net.block(second, voters[1], true);
        let parted_ms = world.plan.timeout_ms * 3;
        world.run_for(parted_ms);
        world.join();
        let wait_ms = rng.u64(..500);
        world.run_for(wait_ms);
        world.until_elected(primary);
        world.heal();
    });
}

/// Everything goes wrong, all the time. What holds with every step and in the end holds here, too; but nothing is promised
/// to writers, except that nothing is done twice, or done and denied.
#[test]
fn anything_may_go_wrong() {
    play("anything_may_go_wrong", 40, |seed| {
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
