//! Keyspace notifications that follow from no command: what listeners hear, and when it may leave.

use super::tests::Bench;
use super::*;

/// A bench with a second client that listens to all events of `classes`.
fn listening(classes: &str) -> (Bench, ClientId) {
    let mut bench = Bench::new();
    let peer = Peer { loopback: true, ..Peer::default() };
    let listener = bench.node.connect(peer, bench.clock.0).expect("there is room");
    let writer = std::mem::replace(&mut bench.client, listener);
    bench.run("psubscribe __key*");
    bench.client = writer;
    bench.run(&format!("config set notify-keyspace-events {classes}"));
    (bench, listener)
}

/// What has come: `set k` for each event, and the log offset it waits for.
fn heard(bench: &mut Bench, listener: ClientId) -> (Vec<String>, u64) {
    let Some(mail) = bench.node.take_mail(listener) else { return (Vec::new(), 0) };
    let mut bytes = Vec::new();
    mail.write_to(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let lines: Vec<&str> = text.split("\r\n").collect();
    // `*4 $8 pmessage $n pattern $n channel $n key`
    let events = lines.chunks_exact(9).map(|frame| {
        let event = frame[6].strip_prefix("__keyevent@0__:").expect("only E is on");
        format!("{event} {}", frame[8])
    });
    (events.collect(), mail.hold)
}

#[test]
fn messages_wait_for_what_they_tell_of() {
    let (mut bench, listener) = listening("EA");
    bench.run("set k v EX 100\nmulti\nincr n\ndel k\nexec");
    let end = bench.node.state.stream.end;
    let (events, hold) = heard(&mut bench, listener);
    assert_eq!(events, ["set k", "expire k", "incrby n", "del k"]);
    assert_eq!(hold, end);
}

#[test]
fn keys_that_expire_by_themselves_are_heard_of_behind_their_effect() {
    let (mut bench, listener) = listening("Ex");
    bench.run("set a 1 PX 100\nset b 1 PX 100\nset c 1");
    bench.clock.advance_ms(101);
    bench.run("get a");
    assert_eq!(
        heard(&mut bench, listener),
        (vec!["expired a".into()], bench.node.state.stream.end)
    );
    bench.expire();
    assert_eq!(
        heard(&mut bench, listener),
        (vec!["expired b".into()], bench.node.state.stream.end)
    );
}

#[test]
fn evicted_keys_are_heard_of() {
    let (mut bench, listener) = listening("Een");
    bench.run("set a 1\nset b 1");
    assert_eq!(heard(&mut bench, listener).0, ["new a", "new b"]);
    bench.run("config set maxmemory-policy allkeys-random maxmemory 1");
    bench.node.tick(bench.clock.0);
    let (mut events, hold) = heard(&mut bench, listener);
    events.sort();
    assert_eq!(events, ["evicted a", "evicted b"]);
    assert_eq!(hold, bench.node.state.stream.end);
}

#[test]
fn what_was_missed_comes_in_the_order_of_the_requests() {
    let (mut bench, listener) = listening("EAm");
    bench.run("get a\nset a 1\nmulti\nget b\npublish __keyevent@0__:own x\nget c\nexec");
    let (events, _) = heard(&mut bench, listener);
    assert_eq!(events, ["keymiss a", "set a", "keymiss b", "own x", "keymiss c"]);
}

#[test]
fn keys_of_hidden_slots_are_not_spoken_of() {
    let (mut bench, listener) = listening("EA");
    bench.run("set a 1");
    heard(&mut bench, listener);
    bench.node.state.keyspace.hide(crate::keyspace::Slot::of(b"a"));
    bench.run("del a\nset b 1");
    assert_eq!(heard(&mut bench, listener).0, ["set b"]);
}

#[test]
fn nobody_listens_and_nothing_is_kept() {
    let mut bench = Bench::new();
    bench.run("config set notify-keyspace-events KEAmn\nget a\nset a 1\nset b 1 PX 1");
    bench.clock.advance_ms(10);
    bench.expire();
    assert!(!bench.node.state.keyspace.has_events());
}

#[test]
fn keys_that_have_moved_are_heard_of_when_they_go() {
    let (mut bench, listener) = listening("EA");
    bench.run("mset a 1 b 2");
    heard(&mut bench, listener);
    bench.node.take_outputs();
    bench.run("migrate h 1 \"\" 0 1000 keys a b");
    let number = match bench.node.take_outputs()[..] {
        [Output::MoveKeys { number }] => number,
        ref outputs => panic!("{outputs:?}"),
    };
    bench.node.next_parcel(number, bench.clock.0);
    assert_eq!(heard(&mut bench, listener).0, Vec::<String>::new());
    bench.node.keys_arrived(number, &[1], bench.clock.0);
    assert_eq!(heard(&mut bench, listener), (vec!["del b".into()], bench.node.state.stream.end));
}
