//! Commands that look at the whole keyspace of a node, some of whose slots are hidden.

use super::cluster_tests::{node, play};
use super::tests::Bench;
use crate::clock::Time;
use crate::keyspace::Slot;
use crate::migration::note::Plan;
use crate::migration::{Note, Said};
use crate::state::persistence::Beside;

/// The slot of `{bar}`.
fn bar() -> Slot {
    Slot::of(b"bar")
}

/// Node `a` with three keys of the slot of `{bar}`, which are hidden, and one of another slot.
fn with_hidden_keys() -> Bench {
    let mut bench = node('a');
    bench.run("mset bar 1 {bar}2 2 {bar}3 3\npexpire {bar}3 1000\nset {06S} 1\npexpire {06S} 5000");
    bench.log();
    bench.node.state.hide_slots([bar()]);
    bench
}

#[test]
fn reads_of_the_whole_keyspace_leave_hidden_slots_out() {
    let mut bench = with_hidden_keys();
    let reads = "dbsize -> :1
         keys * -> *1 $5 {06S}
         scan 0 count 1000 -> *2 $1 0 *1 $5 {06S}
         randomkey -> $5 {06S}
         cluster countkeysinslot 5061 -> :0
         cluster getkeysinslot 5061 10 -> *0
         cluster slot-stats slotsrange 5061 5061 -> *1 *2 :5061 *4 $9 key-count :0 $12 memory-bytes :0";
    play(&mut bench, reads);
    assert!(bench.run("info keyspace").contains("\r\ndb0:keys=1,expires=1,avg_ttl=5000\r\n"));
    assert!(bench.run("memory stats").contains("\r\nkeys.count\r\n:1\r\n"));
    assert!(bench.run("cluster info").contains("\r\ncluster_slots_hidden:1\r\n"));
    bench.node.state.show_slots([bar()]);
    play(&mut bench, "dbsize -> :4\ncluster countkeysinslot 5061 -> :3");
    assert!(bench.run("info keyspace").contains("\r\ndb0:keys=4,expires=2,avg_ttl=3000\r\n"));
    assert!(!bench.run("cluster info").contains("hidden"));
}

#[test]
fn a_digest_leaves_hidden_slots_out() {
    let mut bench = with_hidden_keys();
    let hidden = bench.run("debug digest");
    bench.node.state.show_slots([bar()]);
    assert_ne!(bench.run("debug digest"), hidden);
    bench.run("del bar {bar}2 {bar}3");
    assert_eq!(bench.run("debug digest"), hidden);
}

#[test]
fn a_hidden_key_neither_expires_nor_is_evicted() {
    let mut bench = with_hidden_keys();
    bench.clock.advance_ms(1001);
    assert!(!bench.expire());
    bench.node.state.config.values_mut().maxmemory = 1;
    bench.run("config set maxmemory-policy allkeys-lru");
    bench.node.tick(bench.clock.0);
    assert_eq!(bench.log(), "DEL {06S}");
    bench.node.state.config.values_mut().maxmemory = 0;
    bench.node.state.show_slots([bar()]);
    play(&mut bench, "dbsize -> :3");
    bench.expire();
    assert_eq!(bench.log(), "DEL {bar}3");
}

#[test]
fn a_flush_removes_hidden_keys_too() {
    for flush in ["flushall", "flushdb"] {
        let mut bench = with_hidden_keys();
        bench.run(flush);
        assert!(bench.node.state.keyspace.is_empty());
        assert!(bench.node.state.keyspace.is_hidden(bar()), "whoever hid it shows it");
    }
}

#[test]
fn a_snapshot_holds_hidden_keys() {
    let mut bench = with_hidden_keys();
    let begun = bench.node.begin_walk(false, bench.clock.0).expect("nothing walks");
    assert_eq!(begun.sizes, [(0, 4, 2)]);
}

#[test]
fn what_is_hidden_follows_from_the_jobs_that_come_with_the_data() {
    let mut bench = with_hidden_keys();
    let hash_key = bench.node.state.keyspace.hash_key();
    let other = || crate::keyspace::Keyspace::new(16, hash_key, 1);
    // A slot of another node.
    let foreign = Slot::of(b"foo");
    let id = crate::cluster::testing::id('a');
    let slots = std::iter::once(foreign).collect();
    let plan = Box::new(Plan { source: id, target: id, slots });
    let mut beside = Beside::default();
    beside.jobs.hear(&Note { name: id, said: Said::Import(plan) }, Time::default());
    bench.node.replace_data(other(), beside);
    assert_eq!(bench.node.state.keyspace.hidden().collect::<Vec<_>>(), [foreign]);
    bench.node.replace_data(other(), Beside::default());
    assert_eq!(bench.node.state.keyspace.hidden().count(), 0);
}
