//! Waits for keys that end otherwise than by being served: by time, by others, with the connection, with the role.

use super::tests::Bench;
use super::waits_tests::{connect, popped, told, waiter};
use crate::config::PrimaryAddress;
use crate::state::{ClientId, Output};

/// Runs lines as another client.
fn run_as(bench: &mut Bench, id: ClientId, lines: &str) -> String {
    let own = std::mem::replace(&mut bench.client, id);
    let replies = bench.run(lines);
    bench.client = own;
    replies
}

fn unblocked(how: &str) -> String {
    format!("-UNBLOCKED {how}\r\n")
}

const CHANGED: &str =
    "force unblock from blocking operation, instance state changed (master -> replica?)";

#[test]
fn waits_end_at_their_very_moment() {
    let mut bench = Bench::new();
    let long = waiter(&mut bench, "blpop a 0.0105");
    let short = waiter(&mut bench, "blmove a b left left 0.002");
    waiter(&mut bench, "blpop a 0");
    let deadlines = bench.node.take_outputs();
    assert_eq!(deadlines, [Output::Deadline, Output::Deadline], "each is sooner than the last");
    let start_ms = bench.clock.0.unix_ms();
    assert_eq!(bench.node.end_due_waits(&mut bench.clock), Some(start_ms + 2));
    bench.clock.advance_ms(2);
    assert_eq!(bench.node.end_due_waits(&mut bench.clock), Some(start_ms + 11));
    assert_eq!(told(&mut bench), [(short, "*-1\r\n".to_owned())]);
    bench.clock.advance_ms(9);
    assert_eq!(bench.node.end_due_waits(&mut bench.clock), None);
    assert_eq!(told(&mut bench), [(long, "*-1\r\n".to_owned())]);
    let stats = bench.run("info commandstats");
    assert!(stats.contains("cmdstat_blpop:calls=1,"), "{stats}");
    for (timeout, error) in [
        ("-1", "timeout is negative"),
        ("x", "timeout is not a float or out of range"),
        ("1e300", "timeout is out of range"),
    ] {
        assert_eq!(bench.run(&format!("blpop a {timeout}")), format!("-ERR {error}\r\n"));
    }
}

#[test]
fn a_wait_in_vain_is_an_array_but_inside_of_exec() {
    let mut bench = Bench::new();
    let requests = ["blmove a b left left", "brpoplpush a b", "blpop a", "bzpopmin a"];
    for (hello, alone, nil) in [(2, "*-1\r\n", "$-1\r\n"), (3, "_\r\n", "_\r\n")] {
        bench.run(&format!("hello {hello}"));
        for request in requests {
            let id = connect(&mut bench);
            run_as(&mut bench, id, &format!("hello {hello}"));
            assert_eq!(run_as(&mut bench, id, &format!("{request} 0.001")), "");
            bench.clock.advance_ms(1);
            bench.node.end_due_waits(&mut bench.clock);
            assert_eq!(told(&mut bench), [(id, alone.to_owned())], "{request}");
        }
        let in_exec = bench.run("multi\nblmove a b left left 0\nbrpoplpush a b 0\nblpop a 0\nexec");
        let (_, replies) = in_exec.split_once("*3\r\n").expect("three replies");
        assert_eq!(replies, format!("{nil}{nil}{alone}"));
    }
}

#[test]
fn a_wait_can_be_broken_off() {
    let mut bench = Bench::new();
    let one = waiter(&mut bench, "blpop a 0");
    let two = waiter(&mut bench, "blpop a 0");
    let three = waiter(&mut bench, "blpop a 0");
    assert!(bench.run("info clients").contains("blocked_clients:3\r\n"));
    assert_eq!(bench.run(&format!("client unblock {}", one.0)), ":1\r\n");
    assert_eq!(bench.run(&format!("client unblock {} error", two.0)), ":1\r\n");
    assert_eq!(bench.run(&format!("client unblock {}", one.0)), ":0\r\n");
    let error = unblocked("client unblocked via CLIENT UNBLOCK");
    assert_eq!(told(&mut bench), [(one, "*-1\r\n".to_owned()), (two, error)]);
    let stats = bench.run("info all");
    assert!(stats.contains("errorstat_UNBLOCKED:count=1\r\n"), "{stats}");
    let of_command = stats.lines().find(|line| line.starts_with("cmdstat_blpop:calls=2,"));
    assert!(of_command.is_some_and(|line| line.contains("failed_calls=1")), "{of_command:?}");
    bench.node.disconnect(three);
    bench.run("rpush a 1");
    assert_eq!((told(&mut bench), bench.run("llen a")), (Vec::new(), ":1\r\n".to_owned()));
}

#[test]
fn a_client_that_waits_is_shown_with_its_command() {
    let mut bench = Bench::new();
    let id = waiter(&mut bench, "blpop a 0");
    let shown = bench.run(&format!("client list id {}", id.0));
    assert!(shown.contains(" cmd=blpop ") && shown.contains(" flags=b "), "{shown}");
}

#[test]
fn what_comes_after_a_kill_is_for_others() {
    for [before, after] in [["", ""], ["multi\n", "\nexec"]] {
        let mut bench = Bench::new();
        let ids: Vec<ClientId> = (0..3).map(|_| waiter(&mut bench, "blpop l 0")).collect();
        let listener = waiter(&mut bench, "xread block 0 streams s $");
        bench.node.take_outputs();
        let pushes = "client kill type normal\nrpush l x\nrpush l x\nrpush l x\nllen l";
        let replies = bench.run(&format!("{before}{pushes}{after}"));
        assert!(replies.ends_with(":4\r\n:1\r\n:2\r\n:3\r\n:3\r\n"), "{replies}");
        let closed: Vec<Output> = [&ids[..], &[listener]]
            .concat()
            .iter()
            .map(|&client| Output::Close { client })
            .collect();
        assert_eq!(bench.node.take_outputs(), closed);
        assert!(bench.node.state.key_waits.is_empty());
        assert!(bench.run("info clients").contains("blocked_clients:0\r\n"));
        // What it has sent before it hears of its end is not executed.
        assert_eq!(run_as(&mut bench, ids[0], "blpop nothing 0\nset k v"), "");
        assert_eq!(bench.run("exists k"), ":0\r\n");
        assert!(bench.node.state.key_waits.is_empty());
    }
}

#[test]
fn clients_closed_for_their_size_wait_no_more() {
    let mut bench = Bench::new();
    bench.run("config set client-output-buffer-limit \"normal 1mb 0 0\"");
    let slow = waiter(&mut bench, "blpop l 0");
    bench.node.output_has_grown(slow, 1 << 20);
    assert_eq!(bench.run("rpush l x\nllen l\ndel l"), ":1\r\n:1\r\n:1\r\n");
    bench.run("config set maxmemory-clients 4mb");
    let large = waiter(&mut bench, "blpop l 0");
    bench.node.state.clients.get_mut(large).expect("it is connected").output_bytes = 5 << 20;
    bench.run("config set client-output-buffer-limit \"normal 0 0 0\"");
    bench.node.tick(bench.clock.0);
    assert_eq!(bench.run("rpush l x\nllen l\ndel l"), ":1\r\n:1\r\n:1\r\n");
    let endless = waiter(&mut bench, "blpop l 0");
    bench.node.output_is_endless(endless);
    assert_eq!(bench.run("rpush l x\nllen l"), ":1\r\n:1\r\n");
}

#[test]
fn an_idle_client_that_is_being_closed_begins_no_wait() {
    let mut bench = Bench::new();
    bench.run("config set timeout 1");
    let idle = connect(&mut bench);
    bench.clock.advance_ms(2000);
    bench.run("ping");
    bench.node.take_outputs();
    bench.node.tick(bench.clock.0);
    assert_eq!(bench.node.take_outputs(), [Output::Close { client: idle }]);
    run_as(&mut bench, idle, "blpop l 0");
    assert_eq!(bench.run("rpush l x\nllen l"), ":1\r\n:1\r\n");
}

#[test]
fn a_connection_that_only_sends_what_is_left_waits_for_nothing() {
    let mut bench = Bench::new();
    let one = waiter(&mut bench, "blpop l 0");
    let two = waiter(&mut bench, "blpop l 0");
    bench.node.waits_no_more(one);
    bench.run("rpush l x");
    assert_eq!(told(&mut bench), [(two, popped("l", "x"))]);
}

#[test]
fn the_memory_of_a_wait_is_its_clients() {
    let mut bench = Bench::new();
    let keys: String = (0..1000).map(|key| format!("{key:0100} ")).collect();
    let blpop = waiter(&mut bench, &format!("blpop {keys} 0"));
    let ids = "0 ".repeat(1000);
    let xread = waiter(&mut bench, &format!("xread block 0 streams {keys} {ids}"));
    for id in [blpop, xread] {
        let shown = bench.run(&format!("client list id {}", id.0));
        let field = |name: &str| {
            let found = shown.split(' ').find_map(|word| word.strip_prefix(name));
            found.and_then(|value| value.parse::<usize>().ok()).expect("a number")
        };
        // The first keeps the queues, too.
        let expected = if id == blpop { 300_000..400_000 } else { 130_000..200_000 };
        assert!(expected.contains(&field("tot-mem=")), "{shown}");
    }
    let usage = |bench: &Bench| bench.node.state.clients.get(xread).map(|one| one.memory_usage());
    let before = usage(&bench);
    bench.node.state.break_key_wait(xread, None);
    assert!(usage(&bench) < before.map(|bytes| bytes - 130_000));
    bench.run("config set maxmemory-clients 100kb");
    bench.node.take_outputs();
    bench.node.tick(bench.clock.0);
    let outputs = bench.node.take_outputs();
    assert!(outputs.contains(&Output::Close { client: blpop }), "{outputs:?}");
}

#[test]
fn a_command_whose_reply_is_skipped_is_skipped_when_it_has_waited() {
    let mut bench = Bench::new();
    let id = connect(&mut bench);
    let skip = |bench: &mut Bench, line: &str| {
        assert_eq!(run_as(bench, id, &format!("client reply skip\n{line}")), "", "{line} waits");
        bench.node.take_outputs();
    };
    let resumed = [Output::Resume { client: id }];
    skip(&mut bench, "blpop l 0");
    bench.run("rpush l a");
    assert_eq!(bench.node.take_outputs(), resumed, "it is served in silence");
    assert_eq!(run_as(&mut bench, id, "ping"), "+PONG\r\n");
    for line in ["blpop l 0.005", "wait 1 5"] {
        skip(&mut bench, line);
        bench.clock.advance_ms(5);
        bench.node.end_due_waits(&mut bench.clock);
        assert_eq!(bench.node.take_outputs(), resumed, "{line}");
        assert_eq!(run_as(&mut bench, id, "ping"), "+PONG\r\n");
    }
    skip(&mut bench, "blpop l 0");
    bench.run(&format!("client unblock {}", id.0));
    assert_eq!(bench.node.take_outputs(), resumed);
    skip(&mut bench, "debug reload");
    bench.node.answer_job(id, b"+OK\r\n".to_vec());
    assert_eq!(bench.node.take_outputs(), resumed);
    // A request that is tried again later is still the one that is skipped.
    bench.run("client pause 10 write");
    skip(&mut bench, "set k v");
    bench.clock.advance_ms(11);
    bench.node.tick(bench.clock.0);
    assert_eq!(run_as(&mut bench, id, "set k v\nping"), "+PONG\r\n");
}

#[test]
fn who_waits_is_sent_away_when_the_node_gets_another_primary() {
    let mut bench = Bench::new();
    let address = |port| Some(PrimaryAddress { host: "h".to_owned(), port });
    let one = waiter(&mut bench, "blpop a 0");
    let two = waiter(&mut bench, "wait 1 0");
    let silent = connect(&mut bench);
    run_as(&mut bench, silent, "client reply off\nblpop a 0");
    let check = |bench: &mut Bench, expected: &[(ClientId, bool)]| {
        let outputs = bench.node.take_outputs();
        let of = |id: ClientId| -> Vec<&Output> {
            let is_its = |output: &&Output| match output {
                Output::Push { client, .. }
                | Output::Finish { client }
                | Output::Resume { client } => *client == id,
                _ => false,
            };
            outputs.iter().filter(is_its).collect()
        };
        for &(client, is_told) in expected {
            let bytes = unblocked(CHANGED).into_bytes();
            let push = Output::Push { client, bytes };
            let finish = Output::Finish { client };
            let all = [&push, &finish];
            assert_eq!(of(client), if is_told { &all[..] } else { &all[1..] });
            assert_eq!(run_as(bench, client, "ping"), "", "it is about to be closed");
        }
    };
    bench.node.take_outputs();
    bench.node.state.set_primary(address(1));
    check(&mut bench, &[(one, true), (two, true), (silent, false)]);
    assert!(bench.run("info errorstats").contains("errorstat_UNBLOCKED:count=3\r\n"));
    assert_eq!(bench.run("ping"), "+PONG\r\n", "who did not wait stays");
    let reader = waiter(&mut bench, "xread block 0 streams s $");
    bench.node.take_outputs();
    bench.node.state.set_primary(address(2));
    check(&mut bench, &[(reader, true)]);
    let reader = waiter(&mut bench, "xread block 0 streams s $");
    bench.node.take_outputs();
    bench.node.state.set_primary(None);
    assert!(bench.node.state.key_waits.get(reader).is_some(), "a promotion ends no waits");
}
