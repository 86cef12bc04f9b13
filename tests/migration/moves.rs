//! One job at a time, and everything that can be in its way.

use highwater::clock::mono_us;
use highwater::keyspace::Slot;
use highwater_persistence::snapshot::{EncoderOptions, Event, StreamId, StreamMeta, encode_dump};

use crate::jobs::{PATIENT, begin, ended, jobs, move_slots, rest, wait_until};
use crate::member::{Kind, Member};
use crate::peer::words;
use crate::server::wait_for;
use crate::shards::Shards;

/// The first shard's slots, the last one left out: it stays a primary.
const RANGE: (u16, u16) = (0, 5459);

/// Keys of the range, as many as asked for.
fn keys(count: usize) -> Vec<String> {
    let all = (0..).map(|number| format!("key:{number}"));
    all.filter(|key| Slot::of(key.as_bytes()).number() <= RANGE.1).take(count).collect()
}

/// Three primaries.
fn three(settings: &[&str]) -> Shards {
    Shards::make(&[Kind::Ours; 3], 0, &[PATIENT, settings].concat())
}

fn fill(member: &Member, keys: &[String], value: &str) {
    let mut client = member.client();
    for group in keys.chunks(500) {
        let requests: Vec<Vec<Vec<u8>>> = group
            .iter()
            .map(|key| vec![b"SET".to_vec(), key.clone().into_bytes(), value.as_bytes().to_vec()])
            .collect();
        for reply in client.run(&requests) {
            assert_eq!(reply, b"+OK\r\n");
        }
    }
}

fn digests(member: &Member, keys: &[String]) -> Vec<String> {
    keys.iter().map(|key| member.ask(&format!("DEBUG DIGEST-VALUE {key}"))).collect()
}

fn dbsize(member: &Member) -> usize {
    let reply = member.ask("DBSIZE");
    reply.trim_end().strip_prefix(':').and_then(|text| text.parse().ok()).expect("a number")
}

/// Values of all kinds, times to live, values of megabytes: they arrive as they were, and are nowhere else afterwards.
#[test]
fn slots_move_with_all_that_is_in_them() {
    let shards = Shards::make(&[Kind::Ours; 6], 1, PATIENT);
    let primaries: Vec<usize> = (0..6).filter(|&at| shards.members[at].is_primary()).collect();
    let source = shards.owner("{06S}");
    let target = *primaries.iter().find(|&&at| at != source).unwrap();
    let (from, to) = (&shards.members[source], &shards.members[target]);
    let mut names = keys(300);
    fill(from, &names, "value");
    let tags: Vec<String> = keys(5).into_iter().map(|key| format!("{{{key}}}")).collect();
    assert_eq!(from.ask(&format!("SET {}n 12345", tags[0])), "+OK\r\n");
    assert_eq!(from.ask(&format!("SET {}t soon PX 3600000", tags[1])), "+OK\r\n");
    assert_eq!(from.ask(&format!("SETRANGE {}big 3000000 end", tags[2])), ":3000003\r\n");
    assert_eq!(from.ask(&format!("SETBIT {}bits 77 1", tags[3])), ":0\r\n");
    names.extend(
        ["n", "t", "big", "bits"].iter().zip(&tags).map(|(name, tag)| format!("{tag}{name}")),
    );
    names.extend(collections(from, &tags[4]));
    let before = digests(from, &names);
    let job = move_slots(from, RANGE, to);
    assert_eq!(job["operation"], "EXPORT");
    assert_eq!((job["keys_sent"].as_str(), job["keys_total"].as_str()), ("315", "315"));
    assert_eq!(digests(to, &names), before);
    let ttl: i64 = to.ask(&format!("PTTL {}t", tags[1])).trim_end()[1..].parse().unwrap();
    assert!((3_500_000..=3_600_000).contains(&ttl), "{ttl}");
    assert_eq!((dbsize(from), dbsize(to)), (0, 315));
    let tag = &tags[4];
    let pending = to.ask(&format!("XPENDING {tag}stream-20000 g"));
    assert!(pending.starts_with("*4\r\n:7\r\n"), "{pending}");
    let ttl: i64 = to.ask(&format!("PTTL {tag}set-20000")).trim_end()[1..].parse().unwrap();
    assert!((3_400_000..=3_600_000).contains(&ttl), "{ttl}");
    assert_eq!(
        to.ask(&format!("HEXPIRETIME {tag}hash-20000 FIELDS 1 f7")),
        "*1\r\n:9999999999\r\n"
    );
    shards.heal();
    // Replicas have what their primaries have.
    for primary in [source, target] {
        for replica in shards.replicas(primary) {
            wait_for("the replica", || {
                let (own, other) = (&shards.members[primary], &shards.members[replica]);
                (own.ask("DEBUG DIGEST") == other.ask("DEBUG DIGEST")).then_some(())
            });
        }
    }
    // And so do the logs.
    let mut shards = shards;
    shards.members[target].kill();
    shards.members[target].restart();
    shards.members[source].kill();
    shards.members[source].restart();
    shards.heal();
    let now = shards.owner("{06S}");
    assert_eq!(digests(&shards.members[now], &names), before);
}

/// Makes a small and a large one of each collection; the large ones travel in pieces. Returns their keys.
fn collections(at: &Member, tag: &str) -> Vec<String> {
    let mut names = Vec::new();
    for size in [5, 20_000] {
        let key = |kind: &str| format!("{tag}{kind}-{size}");
        for first in (0..size).step_by(1000) {
            let some = || first..(first + 1000).min(size);
            let each =
                |one: &dyn Fn(usize) -> String| some().map(one).collect::<Vec<_>>().join(" ");
            for line in [
                format!("RPUSH {} {}", key("list"), each(&|n| format!("a-rather-long-item-{n}"))),
                format!("SADD {} {}", key("set"), each(&|n| format!("a-rather-long-member-{n}"))),
                format!(
                    "HSET {} {}",
                    key("hash"),
                    each(&|n| format!("f{n} a-rather-long-value-{n}"))
                ),
                format!(
                    "ZADD {} {}",
                    key("zset"),
                    each(&|n| format!("{n}.5 a-rather-long-member-{n}"))
                ),
            ] {
                let reply = at.ask(&line);
                assert!(reply.starts_with(':'), "{reply}");
            }
        }
        let stream = key("stream");
        let adding = |n| {
            let line = format!("XADD {stream} {n}-1 temperature {n} place a-rather-long-place");
            line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
        };
        let entries: Vec<Vec<Vec<u8>>> = (1..=size).map(adding).collect();
        for some in entries.chunks(1000) {
            assert!(at.client().run(some).iter().all(|reply| reply.starts_with(b"$")));
        }
        at.ask(&format!("XGROUP CREATE {stream} g 0"));
        at.ask(&format!("XREADGROUP GROUP g reader COUNT 7 STREAMS {stream} >"));
        at.ask(&format!("PEXPIRE {} 3600000", key("set")));
        at.ask(&format!("HEXPIREAT {} 9999999999 FIELDS 1 f7", key("hash")));
        names.extend(["list", "set", "hash", "zset", "stream"].map(key));
    }
    let bare = format!("{tag}bare");
    let restore = [b"RESTORE", bare.as_bytes(), b"0", &bare_entries()].map(<[u8]>::to_vec).to_vec();
    assert_eq!(at.client().run(&[restore]), [b"+OK\r\n"]);
    names.push(bare);
    names
}

/// The payload of a stream that takes 700 KB, with entries that have no fields: no command makes such.
fn bare_entries() -> Vec<u8> {
    const ENTRIES: u64 = 7000;
    let ids = (1..=ENTRIES).map(|seq| StreamId::new(1, seq));
    let value = [b'v'; 200];
    let entries = ids.flat_map(|id| {
        let fields = id.seq % 2;
        let field = Event::StreamField { field: b"f", value: &value };
        std::iter::once(Event::StreamEntry { id, fields }).chain((fields > 0).then_some(field))
    });
    let meta = Event::StreamMeta(StreamMeta {
        length: ENTRIES,
        last_id: StreamId::new(1, ENTRIES),
        first_id: StreamId::new(1, 1),
        max_deleted_id: StreamId::ZERO,
        entries_added: ENTRIES,
    });
    let events = std::iter::once(Event::StreamBegin).chain(entries).chain([meta, Event::ValueEnd]);
    encode_dump(&EncoderOptions::default(), events).expect("it can be written")
}

/// Writers that send all they can, without a pause: the target gets all of it, and in time, since they are made to wait for it.
#[test]
fn a_move_ends_though_writers_do_their_utmost() {
    const WRITERS: usize = 4;
    const KEYS: usize = 100;
    let shards = three(&[]);
    let (from, to) = (&shards.members[0], &shards.members[1]);
    let names = keys(WRITERS * KEYS);
    fill(from, &keys(20_000), "value");
    let padding = "x".repeat(1000);
    let (written, job) = std::thread::scope(|scope| {
        let writers: Vec<_> = names
            .chunks(KEYS)
            .map(|own| {
                let (padding, mut client) = (&padding, from.client());
                client.set_patience(60_000);
                scope.spawn(move || {
                    let mut last = vec![0_u64; own.len()];
                    let began_us = mono_us();
                    for round in 1.. {
                        assert!(mono_us() - began_us < 120_000_000, "the slots never move");
                        let set = |key: &String| words(&format!("SET {key} {round}-{padding}"));
                        let requests: Vec<_> = own.iter().map(set).collect();
                        let replies = client.run(&requests);
                        for (last, reply) in last.iter_mut().zip(&replies) {
                            if reply == b"+OK\r\n" {
                                *last = round;
                            } else {
                                let text = String::from_utf8_lossy(reply);
                                assert!(text.starts_with("-MOVED"), "{text}");
                            }
                        }
                        if replies.iter().all(|reply| reply.starts_with(b"-MOVED")) {
                            break;
                        }
                    }
                    last
                })
            })
            .collect();
        rest(500);
        let job = move_slots(from, RANGE, to);
        let last = writers.into_iter().map(|writer| writer.join().expect("it ends well"));
        (last.flatten().collect::<Vec<u64>>(), job)
    });
    assert_eq!(job["state"], "success");
    assert!(written.iter().all(|round| *round > 10), "{written:?}");
    for (key, round) in names.iter().zip(&written) {
        let expected = format!("{round}-{padding}");
        assert_eq!(to.ask(&format!("GET {key}")), format!("${}\r\n{expected}\r\n", expected.len()));
    }
}

/// Stock servers load the logs of both sides, notes and all, and follow either.
#[test]
fn stock_servers_pass_over_the_notes() {
    let shards = three(&[]);
    let (from, to) = (&shards.members[0], &shards.members[1]);
    fill(from, &keys(100), "value");
    move_slots(from, RANGE, to);
    wait_until(to, "the end at the target", |job| job["state"] == "success");
    for (member, count) in [(from, 0), (to, 100)] {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("appendonlydir");
        std::fs::create_dir(&log).unwrap();
        for file in std::fs::read_dir(member.folder.path().join("appendonlydir")).unwrap() {
            let path = file.unwrap().path();
            std::fs::copy(&path, log.join(path.file_name().unwrap())).unwrap();
        }
        let dir = folder.path().to_str().unwrap().to_owned();
        let mut stock = crate::peer::Stock::start(&["--dir", &dir, "--appendonly", "yes"]);
        let reply = stock.run(&[vec![b"DBSIZE".to_vec()]]);
        assert_eq!(String::from_utf8_lossy(&reply[0]), format!(":{count}\r\n"));
    }
}

/// What has come is nobody's to see before the slots change hands. A job can be held, goes on, and can be ended; what has come
/// is removed then.
#[test]
fn keys_on_their_way_are_not_seen_and_go_when_the_job_is_cancelled() {
    let shards = three(&["--cluster-slot-migration-max-bandwidth", "1mb"]);
    let (from, to) = (&shards.members[0], &shards.members[1]);
    let names = keys(4000);
    fill(from, &names, &"x".repeat(1000));
    begin(from, RANGE, to);
    let sent = |job: &crate::jobs::Job| job["keys_sent"].parse::<u64>().unwrap();
    wait_until(from, "keys to be sent", |job| sent(job) > 300);
    wait_for("keys to come", || {
        jobs(to).into_iter().next().filter(|job| sent(job) > 300 && job["operation"] == "IMPORT")
    });
    assert_eq!(dbsize(to), 0);
    assert_eq!(to.ask("SCAN 0 COUNT 100000"), "*2\r\n$1\r\n0\r\n*0\r\n");
    assert_eq!(to.ask("KEYS *"), "*0\r\n");
    assert_eq!(to.ask("RANDOMKEY"), "$-1\r\n");
    assert_eq!(
        to.ask(&format!("CLUSTER COUNTKEYSINSLOT {}", Slot::of(names[0].as_bytes()).number())),
        ":0\r\n"
    );
    assert!(to.ask(&format!("GET {}", names[0])).starts_with("-MOVED"));
    assert!(!to.ask("INFO keyspace").contains("db0:"));
    assert_eq!(from.ask("CLUSTER MIGRATION PAUSE ALL"), ":1\r\n");
    wait_until(from, "the pause", |job| job["state"] == "paused");
    rest(300);
    let held = sent(&jobs(from)[0]);
    rest(1500);
    assert_eq!(sent(&jobs(from)[0]), held, "nothing is sent while the job is held");
    assert_eq!(from.ask("CLUSTER MIGRATION RESUME ALL"), ":1\r\n");
    wait_until(from, "more keys", |job| sent(job) > held);
    assert_eq!(from.ask("CLUSTER CANCELSLOTMIGRATIONS"), "+OK\r\n");
    assert_eq!(ended(from)["state"], "cancelled");
    ended(to);
    assert_eq!(dbsize(from), names.len());
    assert_eq!(from.ask("CLUSTER CANCELSLOTMIGRATIONS"), "-ERR No migrations ongoing\r\n");
    shards.heal();
    // Nothing is left of it there, and the next job goes well.
    assert_eq!(from.ask("CONFIG SET cluster-slot-migration-max-bandwidth 0"), "+OK\r\n");
    move_slots(from, RANGE, to);
    assert_eq!((dbsize(from), dbsize(to)), (0, names.len()));
    shards.heal();
}

/// Either process dies on the way and comes back: the job goes on by itself, and a target that comes back goes on from where
/// it was.
#[test]
fn a_job_survives_both_of_its_processes() {
    let mut shards = three(&["--cluster-slot-migration-max-bandwidth", "2mb"]);
    let names = keys(4000);
    fill(&shards.members[0], &names, &"x".repeat(1000));
    let before = digests(&shards.members[0], &names[..50]);
    begin(&shards.members[0], RANGE, &shards.members[1]);
    let sent = |job: &crate::jobs::Job| job["keys_sent"].parse::<u64>().unwrap();
    wait_until(&shards.members[0], "keys to be sent", |job| sent(job) > 500);
    shards.members[1].kill();
    rest(300);
    shards.members[1].restart();
    wait_until(&shards.members[0], "the job to go on", |job| sent(job) > 1500);
    let began_anew = shards.members[0].said().matches("begins").count();
    assert_eq!(began_anew, 1, "{}", shards.members[0].said());
    shards.members[0].kill();
    rest(300);
    shards.members[0].restart();
    shards.members[0].ask("CONFIG SET cluster-slot-migration-max-bandwidth 0");
    let job = ended(&shards.members[0]);
    assert_eq!(job["state"], "success", "{job:?}");
    shards.heal();
    assert_eq!(digests(&shards.members[1], &names[..50]), before);
    assert_eq!((dbsize(&shards.members[0]), dbsize(&shards.members[1])), (0, names.len()));
}

/// A target that is full takes no more until it is given room; the source keeps serving.
#[test]
fn a_target_that_is_full_is_waited_for() {
    let shards = three(&[]);
    let (from, to) = (&shards.members[0], &shards.members[1]);
    let names = keys(3000);
    fill(from, &names, &"x".repeat(1000));
    assert_eq!(to.ask("CONFIG SET maxmemory 3mb"), "+OK\r\n");
    begin(from, RANGE, to);
    wait_until(from, "the target to be full", |job| job["message"].contains("OOM"));
    assert_eq!(from.ask(&format!("SET {} other", names[0])), "+OK\r\n");
    assert_eq!(to.ask("CONFIG SET maxmemory 0"), "+OK\r\n");
    assert_eq!(ended(from)["state"], "success");
    assert_eq!(to.ask(&format!("GET {}", names[0])), "$5\r\nother\r\n");
    assert_eq!((dbsize(from), dbsize(to)), (0, names.len()));
    shards.heal();
}

/// FLUSHALL makes void what has been sent.
#[test]
fn a_flush_on_the_way_is_obeyed() {
    let shards = three(&["--cluster-slot-migration-max-bandwidth", "1mb"]);
    let (from, to) = (&shards.members[0], &shards.members[1]);
    let names = keys(3000);
    fill(from, &names, &"x".repeat(1000));
    begin(from, RANGE, to);
    wait_until(from, "keys to be sent", |job| job["keys_sent"].parse::<u64>().unwrap() > 300);
    assert_eq!(from.ask("FLUSHALL"), "+OK\r\n");
    fill(from, &names[..10], "new");
    from.ask("CONFIG SET cluster-slot-migration-max-bandwidth 0");
    assert_eq!(ended(from)["state"], "success");
    assert_eq!((dbsize(from), dbsize(to)), (0, 10));
    shards.heal();
}

/// Several jobs of one source at a time, to several targets, and on to a third from the second.
#[test]
fn jobs_run_side_by_side() {
    let shards = three(&[]);
    let [a, b, c] = [0, 1, 2].map(|at| &shards.members[at]);
    let names = keys(2000);
    fill(a, &names, "value");
    let words = format!(
        "CLUSTER MIGRATESLOTS SLOTSRANGE 0 999 2000 2999 NODE {} SLOTSRANGE 1000 1999 NODE {}",
        b.id(),
        c.id()
    );
    assert_eq!(a.ask(&words), "+OK\r\n");
    wait_for("both to end", || {
        let jobs = jobs(a);
        jobs.iter().all(|job| job["state"] == "success").then_some(())
    });
    move_slots(b, (0, 999), c);
    let in_range = |first: u16, last: u16| {
        let slots = names.iter().map(|key| Slot::of(key.as_bytes()).number());
        slots.filter(|slot| (first..=last).contains(slot)).count()
    };
    assert_eq!(dbsize(b), in_range(2000, 2999));
    assert_eq!(dbsize(c), in_range(0, 1999));
    assert_eq!(dbsize(a), in_range(3000, 5460));
    shards.heal();
}
