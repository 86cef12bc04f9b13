//! The committer over a disk that fails on request: what is released when, and what the disk then holds.

use std::sync::mpsc;

use highwater_persistence::log::{BaseKind, LogNames, Salts};
use highwater_persistence::recovery::{self, Options};
use highwater_persistence::storage::Storage;
use highwater_persistence::storage::faulty::{Fault, FaultyStorage, View};

use super::*;
use crate::config::Config;
use crate::keyspace::{HashKey, Keyspace};
use crate::node::Node;
use crate::state::run::Run;

/// A unit of the log.
const UNIT: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const UNIT_BYTES: u64 = UNIT.len() as u64;

fn options() -> Options {
    let names = LogNames::new("logs", "aof");
    Options { names, load_truncated: true, keep_history: false, retain: 0 }
}

/// A node with an empty, open log.
fn start(policy: AppendFsync) -> (Shared, FaultyStorage) {
    let disk = FaultyStorage::new();
    let plan = recovery::plan(&disk.shared(), &options()).unwrap();
    let lineage = lineage(&"a".repeat(40), None);
    let salts = Salts::counted_from(1);
    let writer = recovery::carry_out(&disk.shared(), &plan, lineage, salts).unwrap();
    let mut config = Config::default();
    config.values_mut().appendfsync = policy;
    let run = Run { first_replication_id: "a".repeat(40), ..Run::default() };
    let keyspace = Keyspace::new(1, HashKey::from_seed(1), 1);
    let mut node = Node::new(config, keyspace, run, crate::clock::now());
    node.state.stream.recording = true;
    let (waste, _) = mpsc::channel();
    let shared = Shared::new(node, 1, (waste, Arc::default()));
    shared.committer.open(&shared, writer, true);
    (shared, disk)
}

/// Logs a unit and returns the offset behind it.
fn log(shared: &Shared) -> u64 {
    let mut node = shared.node.lock();
    node.state.stream.append(UNIT);
    node.state.stream.end
}

/// The next `count` operations of the disk fail.
fn fail_next(disk: &FaultyStorage, count: u64) {
    let kind = std::io::ErrorKind::StorageFull;
    disk.inject(disk.operations(), Fault::Error { kind, torn: 5, count });
}

/// The offset that a restart finds, and whether anything is dropped for it.
fn found(disk: &FaultyStorage) -> (u64, bool) {
    let plan = recovery::plan(&disk.shared(), &options()).unwrap();
    (plan.offset.0, plan.dropped.is_some())
}

fn log_error(shared: &Shared) -> Option<String> {
    shared.node.lock().state.persistence.log_error.clone()
}

#[test]
fn always_releases_what_a_power_cut_leaves_and_the_others_what_a_kill_leaves() {
    for policy in [AppendFsync::Always, AppendFsync::EverySec, AppendFsync::No] {
        let (shared, disk) = start(policy);
        let committer = &shared.committer;
        let end = log(&shared);
        assert_eq!(committer.released(), 0, "{policy:?}");
        committer.commit(&shared);
        let written = if policy == AppendFsync::Always { 0 } else { end };
        assert_eq!(committer.released(), written, "{policy:?}");
        assert_eq!(found(&disk.after_kill()), (end, false));
        assert_eq!(found(&disk.after_power_cut(View::OnlySynced)), (0, false));
        committer.sync(&shared);
        assert_eq!(committer.released(), end, "{policy:?}");
        assert_eq!(found(&disk.after_power_cut(View::OnlySynced)), (end, false));
    }
}

#[test]
fn a_new_policy_holds_from_the_next_look_on() {
    let (shared, _disk) = start(AppendFsync::EverySec);
    let end = log(&shared);
    shared.committer.commit(&shared);
    assert_eq!(shared.committer.released(), end);
    shared.committer.set_policy(&shared, AppendFsync::Always);
    assert_eq!(shared.committer.released(), 0);
    assert!(*shared.committer.kicked.lock(), "somebody syncs what is written");
}

#[test]
fn a_failed_append_releases_nothing_and_is_made_good_in_order() {
    let (shared, disk) = start(AppendFsync::EverySec);
    let committer = &shared.committer;
    let good = log(&shared);
    committer.commit(&shared);
    log(&shared);
    // The append, and the cut of what it left.
    fail_next(&disk, 2);
    committer.commit(&shared);
    assert_eq!(committer.released(), good);
    assert!(log_error(&shared).is_some());
    assert_eq!(found(&disk.after_kill()), (good, true), "a torn batch is dropped");
    let operations = disk.operations();
    let end = log(&shared);
    committer.commit(&shared);
    assert_eq!(disk.operations(), operations, "it is not tried again at once");
    committer.inner.lock().retry_due_us = 0;
    committer.commit(&shared);
    assert_eq!((committer.released(), log_error(&shared)), (end, None));
    assert_eq!(found(&disk.after_kill()), (end, false));
}

#[test]
fn a_failed_sync_releases_nothing_before_a_rewrite_has_finished() {
    let (shared, disk) = start(AppendFsync::Always);
    let committer = &shared.committer;
    let end = log(&shared);
    committer.commit(&shared);
    fail_next(&disk, 1);
    committer.sync(&shared);
    assert!(log_error(&shared).is_some_and(|error| error.starts_with("fsync")));
    assert!(shared.node.lock().state.persistence.log_needs_rewrite);
    let operations = disk.operations();
    committer.sync(&shared);
    assert_eq!(disk.operations(), operations, "a failed sync is not retried");
    assert_eq!(committer.released(), 0);

    let rewrite = switch(&shared);
    let end_of_new = log(&shared);
    assert_eq!(end_of_new, end + UNIT_BYTES);
    committer.commit(&shared);
    committer.sync(&shared);
    assert_eq!(committer.released(), 0, "the old file still counts");
    disk.create("temp-base").unwrap().append(b"base").unwrap();
    rewrite.finish("temp-base", BaseKind::Rdb, committer.file_size()).unwrap();
    committer.rewrite_finished(&shared);
    assert_eq!(log_error(&shared), None);
    committer.sync(&shared);
    assert_eq!(committer.released(), end_of_new);
}

/// Makes the first half of a rewrite.
fn switch(shared: &Shared) -> Rewrite {
    let prepared = shared.committer.files().expect("the log is on").prepare_next().unwrap();
    shared.committer.offer(prepared);
    shared.node.lock().begin_walk(true, crate::clock::now()).expect("no walk is running");
    shared.committer.commit(shared);
    shared.committer.wait_for_switch(shared).expect("the log is on")
}

#[test]
fn a_switch_that_the_disk_puts_off_is_made_later() {
    let (shared, disk) = start(AppendFsync::EverySec);
    let committer = &shared.committer;
    log(&shared);
    committer.commit(&shared);
    committer.sync(&shared);
    let prepared = committer.files().expect("the log is on").prepare_next().unwrap();
    committer.offer(prepared);
    // A mark cannot be written, nor what it left be cut; and that not before the switch either.
    fail_next(&disk, 2);
    committer.mark_idle();
    shared.node.lock().begin_walk(true, crate::clock::now()).expect("no walk is running");
    let end = log(&shared);
    fail_next(&disk, 1);
    committer.commit(&shared);
    assert!(log_error(&shared).is_some());
    committer.inner.lock().retry_due_us = 0;
    committer.commit(&shared);
    assert_eq!((log_error(&shared), committer.released()), (None, end));
    assert!(committer.wait_for_switch(&shared).is_some());
    assert_eq!(found(&disk.after_kill()), (end, false));
}

#[test]
fn closing_releases_everything_and_nothing_holds_it_again() {
    let (shared, disk) = start(AppendFsync::Always);
    let committer = &shared.committer;
    log(&shared);
    fail_next(&disk, 100);
    committer.commit(&shared);
    assert!(log_error(&shared).is_some());
    committer.close(&shared);
    assert_eq!((committer.released(), log_error(&shared)), (u64::MAX, None));
    assert!(!committer.wait_from_now_on(&shared), "a base that comes too late switches nothing on");
    committer.release(&shared);
    assert_eq!(committer.released(), u64::MAX);
}

#[test]
fn a_sync_that_fails_after_its_log_was_closed_concerns_nobody() {
    let (shared, _disk) = start(AppendFsync::EverySec);
    let generation = shared.committer.inner.lock().generation;
    shared.committer.close(&shared);
    shared.committer.sync_has_failed(&shared, generation, &std::io::Error::other("late"));
    assert_eq!(log_error(&shared), None);
}

#[test]
fn bytes_offered_while_the_lock_is_held_are_seen_to() {
    let (shared, _disk) = start(AppendFsync::EverySec);
    let end = log(&shared);
    shared.committer.inside(|_| {
        std::thread::scope(|scope| {
            let other = scope.spawn(|| shared.committer.commit(&shared));
            other.join().expect("it finds the lock taken and goes");
        });
    });
    assert_eq!(shared.committer.released(), 0);
    assert!(*shared.committer.kicked.lock(), "the commit thread is sent");
    shared.committer.commit(&shared);
    assert_eq!(shared.committer.released(), end);
}

#[test]
fn an_orderly_end_is_durable_and_says_so() {
    let (shared, disk) = start(AppendFsync::No);
    let end = log(&shared);
    shared.committer.finish(&shared).unwrap();
    assert_eq!(shared.committer.released(), end);
    let left = disk.after_power_cut(View::OnlySynced).shared();
    let plan = recovery::plan(&left, &options()).unwrap();
    assert_eq!((plan.offset.0, plan.clean), (end, true));
}
