//! Slots on their way, from the node's side: what a source asks, a target answers and both write into their logs, step by step.
//! Node `a` has slots 0 to 5460 (`bar` is in 5061), `b` those up to 10922.

use super::cluster_tests::{ask, node, play};
use super::replay::Replay;
use super::tests::Bench;
use crate::clock::Time;
use crate::cluster::Epoch;
use crate::cluster::testing::{id, slot};
use crate::keyspace::Slot;
use crate::migration::note::Plan;
use crate::migration::{Job, Note, Outcome, Said, Stage};
use crate::resp::inline::{encode, split_words};
use crate::state::client::{Blocked, Peer};
use crate::state::persistence::Beside;
use crate::state::{Output, State};

const JOB: &str = "jjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjj";

/// The target `b`, which receives slots 5000 to 5100 of `a`.
fn target() -> Bench {
    let mut bench = node('b');
    let (a, b) = (id('a'), id('b'));
    let reply = bench.run(&format!("cluster handover begin {JOB} {a} {b} 5000-5100 s:1 9"));
    assert_eq!(reply, ":0\r\n");
    bench
}

/// The source `a`, which moves slots 5000 to 5100 to `b`. Returns the job's name too.
fn source() -> (Bench, crate::cluster::NodeId) {
    let mut bench = node('a');
    bench.run("set bar 1");
    let reply = bench.run(&format!("cluster migrateslots slotsrange 5000 5100 node {}", id('b')));
    assert_eq!(reply, "+OK\r\n");
    let name = bench.node.state.migrations.iter().next().expect("a job").name;
    assert!(bench.node.take_outputs().contains(&Output::MoveSlots { job: name }));
    (bench, name)
}

fn apply(bench: &mut Bench, number: u64, lines: &str) -> String {
    let commands: Vec<u8> = lines
        .lines()
        .flat_map(|line| encode(&split_words(line.trim().as_bytes()).expect("balanced")))
        .collect();
    let text = String::from_utf8(commands).expect("text").replace("\r\n", "\\r\\n");
    bench.run(&format!("cluster handover apply {JOB} {number} \"{text}\""))
}

fn job(state: &State) -> &Job {
    state.migrations.iter().next().expect("a job")
}

/// What the log would bring back: the keys, and the job.
fn reloaded(bench: &mut Bench) -> Bench {
    let mut fresh = Bench::new();
    let bytes = bench.node.state.stream.pending.clone();
    let time = bench.clock.0;
    let empty = std::mem::replace(&mut fresh.node, Bench::new().node);
    let mut replay = Replay::new(empty, time);
    let mut requests = crate::resp::Requests::default();
    crate::resp::RequestParser::default()
        .parse(&bytes, super::link::UNLIMITED, &mut requests)
        .expect("a log of requests");
    for index in 0..requests.len() {
        let args = requests.get(index, &bytes);
        let entry = replay.resolve(args).expect("a command");
        replay.play(0, entry, args);
    }
    fresh.node = replay.finish();
    fresh
}

#[test]
fn batches_are_applied_once_and_in_order_and_nobody_sees_them() {
    let mut bench = target();
    assert_eq!(apply(&mut bench, 1, "set bar 1"), ":1\r\n");
    assert_eq!(apply(&mut bench, 2, "incr bar\nset {bar}2 x PXAT 5"), ":2\r\n");
    assert_eq!(apply(&mut bench, 2, "incr bar\nset {bar}2 x PXAT 5"), ":2\r\n");
    assert_eq!(apply(&mut bench, 4, "incr bar"), "-ERR A batch is missing\r\n");
    play(
        &mut bench,
        "dbsize -> :0
         keys * -> *0
         get bar -> -MOVED 5061 10.0.0.2:7000
         cluster countkeysinslot 5061 -> :0",
    );
    let log = bench.log();
    let end = format!("set {{bar}}2 x PXAT 5\nPING hw:slots at {JOB} 2\nEXEC");
    assert!(log.ends_with(&end), "{log}");
    assert!(
        log.contains("MULTI\nset bar 1\nPING"),
        "the number is in the unit of the batch: {log}"
    );
    assert_eq!(
        bench.node.state.keyspace.peek(0, &bench.node.state.keyspace.key(b"{bar}2")).map(|_| ()),
        Some(()),
        "the source says when a key goes"
    );
}

#[test]
fn what_is_not_of_the_job_is_refused_and_ends_it() {
    for lines in
        ["set foo 1", "get bar", "flushall", "ping", "set bar 1\nset foo 1", "incrby bar x"]
    {
        let mut bench = target();
        assert_eq!(apply(&mut bench, 1, "set bar 1"), ":1\r\n");
        let reply = apply(&mut bench, 2, lines);
        assert!(reply.starts_with("-ERR Batch 2 cannot be applied: "), "{lines}: {reply}");
        assert_eq!(job(&bench.node.state).stage, Stage::Dropping, "{lines}");
        while bench.node.trim_step(&mut bench.clock).is_some() {}
        bench.node.tick(bench.clock.0);
        assert!(bench.node.state.migrations.is_idle(), "{lines}");
        assert!(bench.log().ends_with(&format!("UNLINK bar\nPING hw:slots end {JOB}")), "{lines}");
    }
    let mut bench = target();
    let reply = bench.run(&format!("cluster handover apply {JOB} 1 \"*1\\r\\n$4\\r\\nPI\""));
    assert!(reply.contains("not made of whole commands"), "{reply}");
}

#[test]
fn slots_are_claimed_when_the_log_and_the_replicas_have_them() {
    let mut bench = target();
    apply(&mut bench, 1, "set bar 1");
    let refused = "-ERR Other batches than that have been applied\r\n";
    assert_eq!(bench.run(&format!("cluster handover take {JOB} 2 9")), refused);
    assert_eq!(bench.run(&format!("cluster handover take {JOB} 1 9")), "", "it waits");
    let name = job(&bench.node.state).name;
    let client = bench.client;
    assert!(bench.node.take_outputs().contains(&Output::TakeSlots { job: name, client }));
    assert_eq!(bench.node.state.clients.get_mut(client).unwrap().blocked, Some(Blocked::Job));
    let busy = ask(&mut bench, "cluster info");
    assert_eq!(busy, "", "a client that waits runs nothing");
    let core = |bench: &Bench| bench.node.state.cluster.as_ref().unwrap().core.config_epoch();
    assert!(core(&bench) < Epoch(9));
    bench.node.claim_taken(&name, client, bench.clock.0);
    assert_eq!(core(&bench), Epoch(10), "newer than the source's");
    assert!(bench.node.state.cluster.as_ref().unwrap().core.is_claiming());
    // The answer comes when the claim is on disk, and only then are writes taken.
    let reply = ask(&mut bench, "cluster myid");
    assert!(reply.contains(":10\r\n"), "{reply}");
    play(&mut bench, "get bar -> $1 1\nset bar 2 -> +OK\ndbsize -> :1");
    let taken = "-TAKEN 10\r\n";
    assert_eq!(bench.run(&format!("cluster handover abort {JOB} 5000-5100")), taken);
    assert_eq!(bench.run(&format!("cluster handover finish {JOB}")), "+OK\r\n");
    assert_eq!(
        bench.run(&format!("cluster handover abort {JOB} 5000-5100")),
        taken,
        "it has the slots"
    );
    assert_eq!(bench.run(&format!("cluster handover finish {JOB}")), "+OK\r\n");
    assert_eq!(bench.node.state.migrations.ended().next().unwrap().outcome, Outcome::Success);
}

#[test]
fn a_target_whose_replicas_are_behind_takes_nothing() {
    let mut bench = target();
    apply(&mut bench, 1, "set bar 1");
    bench.run(&format!("cluster handover take {JOB} 1 9"));
    let name = job(&bench.node.state).name;
    let client = bench.client;
    bench.node.untake(&name, client, "Replicas are behind", bench.clock.0);
    assert_eq!(job(&bench.node.state).stage, Stage::Receiving);
    let replies: Vec<Output> = bench.node.take_outputs();
    let said = b"-TRYAGAIN Replicas are behind\r\n".to_vec();
    assert!(replies.contains(&Output::Push { client, bytes: said }), "{replies:?}");
    assert_eq!(bench.run("dbsize"), ":0\r\n");
    assert_eq!(apply(&mut bench, 2, "incr bar"), ":2\r\n", "the job goes on");
}

#[test]
fn a_target_that_starts_again_knows_what_it_has() {
    let mut bench = target();
    apply(&mut bench, 1, "set bar 1");
    apply(&mut bench, 2, "incr bar");
    let again = reloaded(&mut bench);
    assert_eq!((job(&again.node.state).stage, job(&again.node.state).batch), (Stage::Receiving, 2));
    let notes = bench.node.state.migrations.notes();
    assert_eq!(again.node.state.migrations.notes(), notes, "a snapshot would say the same");
    bench.run(&format!("cluster handover take {JOB} 2 9"));
    assert_eq!(job(&reloaded(&mut bench).node.state).stage, Stage::Taken);
}

#[test]
fn an_import_of_which_nothing_is_heard_is_dropped() {
    let mut bench = target();
    apply(&mut bench, 1, "set bar 1");
    bench.clock.advance_ms(59_000);
    bench.node.tick(bench.clock.0);
    assert_eq!(job(&bench.node.state).stage, Stage::Receiving);
    bench.clock.advance_ms(3_000);
    bench.node.tick(bench.clock.0);
    assert_eq!(job(&bench.node.state).stage, Stage::Dropping);
    let (a, b) = (id('a'), id('b'));
    let reply = bench.run(&format!("cluster handover begin {JOB} {a} {b} 5000-5100 s:1 9"));
    assert!(reply.starts_with("-TRYAGAIN"), "{reply}");
    while bench.node.trim_step(&mut bench.clock).is_some() {}
    bench.node.tick(bench.clock.0);
    assert!(bench.node.state.migrations.is_idle());
    let reply = bench.run(&format!("cluster handover begin {JOB} {a} {b} 5000-5100 s:1 9"));
    assert_eq!(reply, ":0\r\n", "nothing of it is left");
}

#[test]
fn writes_to_the_slots_wait_and_then_go_to_the_target() {
    let (mut bench, name) = source();
    bench.node.hold_writes(&name);
    assert_eq!(bench.run("get bar"), "$1\r\n1\r\n");
    assert_eq!(bench.run("set {06S} other"), "+OK\r\n", "slots that stay are not concerned");
    assert_eq!(bench.run("set bar 2"), "", "it waits");
    let client = bench.client;
    let resumes =
        |bench: &mut Bench| bench.node.take_outputs().contains(&Output::Resume { client });
    bench.node.release_writes(&name);
    assert!(resumes(&mut bench));
    assert_eq!(bench.run("set bar 2"), "+OK\r\n");
    bench.node.say_of_job(&name, Said::Grant, bench.clock.0);
    assert_eq!(bench.run("get bar"), "", "the target may have it already");
    bench.node.handed_over(&name, &id('b'), Epoch(3), bench.clock.0);
    assert!(resumes(&mut bench));
    play(
        &mut bench,
        "get bar -> -MOVED 5061 10.0.0.2:7001\nset bar 3 -> -MOVED 5061 10.0.0.2:7001\ndbsize -> :1",
    );
    while bench.node.trim_step(&mut bench.clock).is_some() {}
    bench.node.tick(bench.clock.0);
    assert_eq!(job(&bench.node.state).stage, Stage::Handed, "the target has not been told");
    bench.node.state.migrations.get_mut(&name).unwrap().is_settled = true;
    bench.node.tick(bench.clock.0);
    assert!(bench.node.state.migrations.is_idle());
    let log = bench.log();
    let end = format!(
        "PING hw:slots grant {name}\nPING hw:slots handed {name}\nUNLINK bar\nPING hw:slots end {name}"
    );
    assert!(log.ends_with(&end), "{log}");
}

#[test]
fn granted_slots_are_claimed_by_nobody_here_until_the_target_refuses() {
    let (mut bench, name) = source();
    let has = |bench: &Bench, number: u16| {
        let core = &bench.node.state.cluster.as_ref().unwrap().core;
        (core.claims(slot(number)), core.slots().owner(slot(number)).is_some())
    };
    assert_eq!(has(&bench, 5061), (true, true));
    bench.node.say_of_job(&name, Said::Grant, bench.clock.0);
    assert_eq!(has(&bench, 5061), (false, true));
    assert_eq!(has(&bench, 4999), (true, true));
    let core = |bench: &Bench| bench.node.state.cluster.as_ref().unwrap().core.config_epoch();
    let before = core(&bench);
    bench.node.keep_granted(&name, true, bench.clock.0);
    assert_eq!(has(&bench, 5061), (true, true));
    assert!(core(&bench) > before, "a claim that is still on its way is older");
    let reply = ask(&mut bench, "get bar");
    assert_eq!(reply, "$1\r\n1\r\n");
}

#[test]
fn a_target_that_has_been_forgotten_is_granted_nothing_and_one_that_was_granted_slots_is_waited_for()
 {
    let history = |bench: &Bench| bench.node.state.stream.id.clone();
    let forget = format!("cluster forget {}", id('b'));
    let (mut bench, name) = source();
    bench.clock.advance_ms(10_000);
    bench.node.tick(bench.clock.0);
    assert_eq!(ask(&mut bench, &forget), "+OK\r\n");
    let of = history(&bench);
    assert!(!bench.node.grant(&name, &of, bench.clock.0));
    assert_eq!(job(&bench.node.state).stage, Stage::Moving);

    let (mut bench, name) = source();
    bench.clock.advance_ms(10_000);
    bench.node.tick(bench.clock.0);
    let of = history(&bench);
    assert!(bench.node.grant(&name, &of, bench.clock.0));
    let cancel = "cluster cancelslotmigrations";
    assert_eq!(bench.run(cancel), "-ERR No migrations ongoing\r\n", "it is too late");
    assert_eq!(ask(&mut bench, &forget), "+OK\r\n");
    assert!(!bench.node.handed_over(&name, &id('b'), Epoch(9), bench.clock.0));
    assert_eq!(job(&bench.node.state).stage, Stage::Granted);
    assert!(!bench.node.state.cluster.as_ref().unwrap().core.claims(slot(5061)));
    assert_eq!(bench.run(cancel), "+OK\r\n", "somebody says that the target is lost");
    assert!(job(&bench.node.state).is_cancelled);
    let epoch = |bench: &Bench| bench.node.state.cluster.as_ref().unwrap().core.config_epoch();
    let before = epoch(&bench);
    bench.node.keep_granted(&name, true, bench.clock.0);
    assert!(epoch(&bench).0 > before.0 + 1, "a claim in the next epoch is older");
}

#[test]
fn a_void_note_claims_nothing_of_a_source_that_was_forgotten() {
    let mut bench = target();
    assert_eq!(apply(&mut bench, 1, "set bar 1"), ":1\r\n");
    let name = job(&bench.node.state).name;
    bench.node.say_of_job(&name, Said::Take, bench.clock.0);
    let owner = |bench: &Bench| {
        bench.node.state.cluster.as_ref().unwrap().core.slots().owner(slot(5061)).is_some()
    };
    assert!(owner(&bench), "the source's");
    ask(&mut bench, &format!("cluster forget {}", id('a')));
    bench.clock.advance_ms(10_000);
    bench.node.tick(bench.clock.0);
    assert!(!owner(&bench));
    assert_eq!(job(&bench.node.state).stage, Stage::Taken);
}

#[test]
fn a_handoff_that_hangs_is_told() {
    let (mut bench, name) = source();
    bench.node.say_of_job(&name, Said::Grant, bench.clock.0);
    assert_eq!(bench.run("get bar"), "");
    bench.node.take_outputs();
    bench.clock.advance_ms(3_500);
    bench.node.tick(bench.clock.0);
    let client = bench.client;
    assert!(bench.node.take_outputs().contains(&Output::Resume { client }));
    assert!(bench.run("get bar").starts_with("-TRYAGAIN Slot is being handed over"));
    assert_eq!(bench.run("set {06S} x"), "+OK\r\n");
}

#[test]
fn a_source_that_starts_again_serves_nothing_that_it_has_granted() {
    let (mut bench, name) = source();
    bench.node.say_of_job(&name, Said::Grant, bench.clock.0);
    let again = reloaded(&mut bench);
    let jobs = again.node.state.migrations.clone();
    let mut restarted = node('a');
    restarted.node.state.migrations = jobs;
    restarted.node.resume_jobs();
    assert!(restarted.node.take_outputs().contains(&Output::MoveSlots { job: name }));
    assert_eq!(restarted.run("get bar"), "");
    let client = restarted.client;
    restarted.node.handed_over(&name, &id('b'), Epoch(0), restarted.clock.0);
    assert!(restarted.node.take_outputs().contains(&Output::Resume { client }));
    play(&mut restarted, "get bar -> -MOVED 5061 10.0.0.2:7001");
}

#[test]
fn a_replica_hears_of_its_primarys_jobs() {
    let mut replica = Bench::new();
    let address = crate::config::PrimaryAddress { host: "h".to_owned(), port: 1 };
    replica.node.state.set_primary(Some(address));
    let mut primary = target();
    apply(&mut primary, 1, "set bar 1");
    let bytes = primary.node.state.stream.pending.clone();
    let generation = replica.node.state.replication.generation;
    replica.node.follow(generation, &bytes, &mut replica.clock).unwrap();
    let heard = job(&replica.node.state).clone();
    assert_eq!((heard.stage, heard.batch), (Stage::Receiving, 1));
    assert_eq!(replica.run("dbsize"), ":0\r\n");
    assert!(replica.node.state.keyspace.is_hidden(Slot::of(b"bar")));
    let name = heard.name;
    primary.node.state.stream.pending.clear();
    primary.run(&format!("cluster handover take {JOB} 1 9"));
    let bytes = primary.node.state.stream.pending.clone();
    replica.node.follow(generation, &bytes, &mut replica.clock).unwrap();
    assert_eq!(job(&replica.node.state).stage, Stage::Taken);
    assert_eq!(replica.run("dbsize"), ":1\r\n");
    let note = Note { name, said: Said::Take };
    assert!(String::from_utf8_lossy(&bytes).contains(&note.to_text()));
}

#[test]
fn slots_that_move_are_not_moved_by_hand() {
    let (mut bench, _) = source();
    let b = id('b');
    for line in [
        format!("cluster setslot 5061 migrating {b}"),
        format!("cluster setslot 5061 node {b}"),
        "cluster delslots 5061".to_owned(),
        format!("cluster migrateslots slotsrange 5061 5061 node {b}"),
    ] {
        let reply = bench.run(&line);
        assert!(reply.contains("already migrating slot 5061"), "{line}: {reply}");
    }
    assert_eq!(ask(&mut bench, &format!("cluster setslot 4000 migrating {b}")), "+OK\r\n");
}

#[test]
fn what_comes_over_an_older_connection_is_void() {
    let mut bench = target();
    apply(&mut bench, 1, "set bar 1");
    let former = bench.client;
    let peer = Peer { loopback: true, ..Peer::default() };
    bench.client = bench.node.connect(peer, bench.clock.0).expect("there is room");
    let (a, b) = (id('a'), id('b'));
    let begin = format!("cluster handover begin {JOB} {a} {b} 5000-5100 s:1 9");
    assert_eq!(bench.run(&begin), ":1\r\n");
    let newer = std::mem::replace(&mut bench.client, former);
    assert!(apply(&mut bench, 2, "incr bar").starts_with("-ERR There is no such import"));
    let take = format!("cluster handover take {JOB} 1 9");
    assert_eq!(bench.run(&take), "-ERR There is nothing to take\r\n");
    bench.client = newer;
    assert_eq!(apply(&mut bench, 2, "incr bar"), ":2\r\n");
}

#[test]
fn batches_of_two_sessions_do_not_go_together() {
    let mut bench = target();
    let (a, b) = (id('a'), id('b'));
    let begin =
        |session: &str| format!("cluster handover begin {JOB} {a} {b} 5000-5100 {session} 9");
    assert_eq!(bench.run(&begin("s:2")), ":0\r\n", "nothing has come of the first");
    assert_eq!(apply(&mut bench, 1, "set bar 1"), ":1\r\n");
    assert_eq!(bench.run(&begin("s:2")), ":1\r\n");
    assert_eq!(job(&reloaded(&mut bench).node.state).from, "s:2", "the log knows");
    let removed = "-TRYAGAIN What came of another session is being removed\r\n";
    assert_eq!(bench.run(&begin("s:3")), removed);
    assert_eq!(job(&bench.node.state).stage, Stage::Dropping);
    assert!(apply(&mut bench, 2, "incr bar").starts_with("-ERR There is no such import"));
}

#[test]
fn a_source_that_was_replaced_is_refused() {
    let mut bench = target();
    assert_eq!(apply(&mut bench, 1, "set bar 1"), ":1\r\n");
    let slots = job(&bench.node.state).plan.slots.clone();
    let newest = bench.node.state.cluster.as_ref().expect("a cluster").core.newest_claim_of(&slots);
    assert!(newest.0 > 0);
    let (a, b, older) = (id('a'), id('b'), newest.0 - 1);
    let refused = "-ERR Target node does not agree about current slot ownership\r\n";
    let begin = format!("cluster handover begin {JOB} {a} {b} 5000-5100 s:1");
    assert_eq!(bench.run(&format!("{begin} {older}")), refused);
    assert_eq!(bench.run(&format!("cluster handover take {JOB} 1 {older}")), refused);
    assert_eq!(bench.run(&format!("{begin} {newest}")), ":1\r\n");
}

#[test]
fn a_flush_at_the_target_makes_its_source_begin_anew() {
    let mut bench = target();
    apply(&mut bench, 1, "set bar 1");
    assert_eq!(bench.run("flushall"), "+OK\r\n");
    assert_eq!(job(&bench.node.state).stage, Stage::Dropping);
    assert!(apply(&mut bench, 2, "incr bar").starts_with("-ERR"));
    bench.node.tick(bench.clock.0);
    assert!(bench.node.state.migrations.is_idle());
}

#[test]
fn an_import_ends_when_its_source_is_silent_and_not_when_the_clock_is_set() {
    let mut bench = target();
    assert_eq!(apply(&mut bench, 1, "set bar 1"), ":1\r\n");
    let timeout_s = u64::from(bench.node.state.config.repl_timeout);
    bench.clock.0.unix_us += 1_000_000_000_000;
    bench.node.tick(bench.clock.0);
    assert_eq!(job(&bench.node.state).stage, Stage::Receiving);
    assert_eq!(apply(&mut bench, 2, "incr bar"), ":2\r\n");
    // Back again: silence counts all the same.
    bench.clock.0.unix_us -= 1_000_000_000_000;
    bench.clock.0.mono_us += (timeout_s + 1) * 1_000_000;
    bench.node.tick(bench.clock.0);
    assert_eq!(job(&bench.node.state).stage, Stage::Dropping);
}

#[test]
fn what_a_snapshot_says_of_slots_that_are_owned_by_now_is_old() {
    let mut bench = node('a');
    bench.run("set foo{b} 1");
    let own = Slot::of(b"b");
    let mut beside = Beside::default();
    let slots = std::iter::once(own).collect();
    let plan = Box::new(Plan { source: id('b'), target: id('a'), slots });
    beside.jobs.hear(&Note { name: id('j'), said: Said::Import(plan) }, Time::default());
    bench.node.state.set_beside(beside);
    assert_eq!(
        bench.node.state.cluster.as_ref().unwrap().core.slots().owner(own),
        Some(crate::cluster::core::PeerIx::ME)
    );
    assert_eq!(bench.run("dbsize"), ":1\r\n");
    for _ in 0..3 {
        bench.clock.advance_ms(100_000);
        bench.node.tick(bench.clock.0);
        while bench.node.trim_step(&mut bench.clock).is_some() {}
    }
    assert_eq!(bench.run("get foo{b}"), "$1\r\n1\r\n");
    assert!(bench.node.state.migrations.is_idle());
}
