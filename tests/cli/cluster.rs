//! `-c`: redirections, one by one and in pipes.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::process::Stdio;

use highwater::keyspace::Slot;

use crate::both::{Client, check, ours, say};
use crate::server::{Server, wait_for};

/// Two nodes: the first serves the lower half of the slots.
struct Halves {
    nodes: [Server; 2],
    _folders: [tempfile::TempDir; 2],
}

impl Halves {
    fn start() -> Halves {
        let folders = [0, 1].map(|_| tempfile::tempdir().unwrap());
        let nodes = [0, 1].map(|at: usize| {
            // The bus listens 10000 above.
            Server::start_with(|_| {
                let port = std::iter::repeat_with(crate::server::free_port)
                    .find(|port| *port < 55_000)
                    .unwrap();
                Server::spawn(
                    folders[at].path(),
                    port,
                    &["--cluster-enabled", "yes", "--enable-debug-command", "yes"],
                )
            })
        });
        nodes[0].ask("CLUSTER ADDSLOTSRANGE 0 8191");
        nodes[1].ask("CLUSTER ADDSLOTSRANGE 8192 16383");
        nodes[1].ask("CLUSTER SET-CONFIG-EPOCH 2");
        nodes[0].ask(&format!("CLUSTER MEET 127.0.0.1 {}", nodes[1].port));
        for node in &nodes {
            wait_for("the cluster", || {
                node.ask("CLUSTER INFO").contains("cluster_state:ok").then_some(())
            });
            wait_for("the other", || {
                node.ask("CLUSTER NODES").contains("8192-16383").then_some(())
            });
            wait_for("the first", || node.ask("CLUSTER NODES").contains("0-8191").then_some(()));
        }
        Halves { nodes, _folders: folders }
    }

    fn id(&self, at: usize) -> String {
        let reply = self.nodes[at].ask("CLUSTER MYID");
        reply.lines().nth(1).unwrap().to_owned()
    }
}

#[test]
fn redirections_are_followed() {
    let halves = Halves::start();
    let [low, high] = [&halves.nodes[0], &halves.nodes[1]];
    // `foo` is in slot 12182, `bar` in 5061.
    for port in [low.port, high.port] {
        for line in [
            "-c set foo 1",
            "-c get foo",
            "-c --no-raw get foo",
            "-c -e get foo",
            "-c --csv get bar",
            "-c --json set bar 1",
            "-c mget foo bar",
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            check(port, &[&["-p", "{}"], &words[..]].concat(), "");
        }
        for form in ["--raw", "--no-raw", "--json", "--csv"] {
            check(port, &["-p", "{}", "-c", form], "get foo\nget bar\nget foo\n");
        }
    }
    check(low.port, &["-p", "{}", "get", "foo"], "");
    check(low.port, &["-p", "{}", "-e", "get", "foo"], "");
    // On its way: what the source does not have is asked for at the target.
    low.ask(&format!("CLUSTER SETSLOT 5061 MIGRATING {}", halves.id(1)));
    high.ask(&format!("CLUSTER SETSLOT 5061 IMPORTING {}", halves.id(0)));
    assert_eq!(low.ask("DEL bar"), ":1\r\n");
    for client in [Client::Ours, Client::Stock] {
        let said = say(client, low.port, &["-p", "{}", "-c", "append", "bar", "x"], "");
        assert_eq!((said.status, said.err), (Some(0), String::new()));
    }
    assert_eq!(say(Client::Ours, low.port, &["-p", "{}", "-c", "get", "bar"], "").out, "xx\n");
    check(low.port, &["-p", "{}", "-c"], "get bar\nget bar\n");
}

#[test]
fn pipe_sends_each_request_to_its_node() {
    let halves = Halves::start();
    let [low, high] = [&halves.nodes[0], &halves.nodes[1]];
    let mut input = String::new();
    for at in 0..2_000 {
        writeln!(input, "set key{at} {at}").unwrap();
        writeln!(input, "append order{} {at},", at % 5).unwrap();
    }
    input.push_str("nonsense\nmulti\nset {t}a 1\nincr {t}a\nexec\nping\n");
    let said = ours(low.port, "-c --pipe", &input);
    assert!(said.out.ends_with("errors: 1, replies: 4006\n"), "{said:?}");
    assert_eq!(
        (said.status, &*said.err),
        (Some(1), "ERR unknown command 'nonsense', with args beginning with: \n")
    );
    let count =
        |node: &Server| node.ask("DBSIZE").trim_start_matches(':').trim().parse::<u32>().unwrap();
    assert_eq!(count(low) + count(high), 2_006);
    assert!(count(low) > 500 && count(high) > 500);
    for key in 0..5 {
        let expected: String =
            (0..2_000).filter(|at| at % 5 == key).map(|at| format!("{at},")).collect();
        assert_eq!(ours(low.port, &format!("-c get order{key}"), "").out.trim_end(), expected);
    }
    assert_eq!(ours(low.port, "-c get {t}a", "").out, "2\n");
}

#[test]
fn pipe_follows_slots_that_move() {
    let halves = Halves::start();
    let [low, high] = [&halves.nodes[0], &halves.nodes[1]];
    let slot = Slot::of(b"{bar}").number();
    assert_eq!(slot, 5061);
    low.ask(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", halves.id(1)));
    high.ask(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", halves.id(0)));
    let input: String = (0..50).map(|at| format!("append {{bar}}{} {at},\n", at % 2)).collect();
    let said = ours(high.port, "-c --pipe", &input);
    assert!(said.out.ends_with("errors: 0, replies: 50\n"), "{said:?}");
    let expected: String = (0..50).step_by(2).map(|at| format!("{at},")).collect();
    let mut target = high.client();
    let replies = target.run(&[crate::peer::words("ASKING"), crate::peer::words("GET {bar}0")]);
    assert_eq!(
        String::from_utf8_lossy(&replies[1]),
        format!("${}\r\n{expected}\r\n", expected.len())
    );
}

#[test]
fn pipe_says_what_it_does_not_know_when_a_node_is_gone() {
    let mut halves = Halves::start();
    let input: String = (0..100).map(|at| format!("set key{at} {at}\n")).collect();
    let low = halves.nodes[0].port;
    let moved = ours(low, "--pipe", "set foo 1\nset bar 1\n");
    assert!(moved.out.ends_with("errors: 1, replies: 2\n"), "{moved:?}");
    halves.nodes[1].kill();
    let said = ours(low, "-c --pipe", &input);
    assert_eq!((said.status, &*said.out), (Some(1), "errors: 0, replies: 0\n"));
    let refused = format!("127.0.0.1:{}: Connection refused\n", halves.nodes[1].port);
    assert!(said.err.contains(&refused), "{said:?}");
    assert!(said.err.contains("100 requests have no reply and may have been executed"), "{said:?}");
}

/// At a prompt, and with commands from standard input.
#[test]
fn another_node_is_asked_when_the_one_it_was_sent_to_is_gone() {
    let mut halves = Halves::start();
    let [low, high] = [halves.nodes[0].port, halves.nodes[1].port];
    halves.nodes[1].ask("SET foo far");
    let mut client = crate::both::command(Client::Ours);
    client.args(["-c", "-p", &high.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut client = client.stderr(Stdio::piped()).spawn().unwrap();
    let mut input = client.stdin.take().unwrap();
    let mut output = BufReader::new(client.stdout.take().unwrap());
    let mut line = |wanted: &str| {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), wanted);
    };
    input.write_all(b"get bar\n").unwrap();
    line(&format!("-> Redirected to slot [5061] located at 127.0.0.1:{low}"));
    line("");
    halves.nodes[0].kill();
    // The first one may have lost a transaction with its connection, which has to be seen.
    input.write_all(b"get foo\nget foo\nget foo\n").unwrap();
    line(&format!("-> Asking 127.0.0.1:{high}"));
    line("far");
    line("far");
    drop(input);
    let said = client.wait_with_output().unwrap();
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.starts_with("Error: Server closed the connection\n"), "{said}");
    assert!(said.contains(&format!("Could not connect to Redis at 127.0.0.1:{low}")), "{said}");
}

#[test]
fn pipe_to_a_single_node_does_not_mind() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let said = ours(server.port, "-c --pipe", "set a 1\nset b 1\n");
    assert!(said.out.ends_with("errors: 0, replies: 2\n"), "{said:?}");
}

#[test]
fn pipe_stops_at_what_is_no_request() {
    let halves = Halves::start();
    let said = ours(halves.nodes[0].port, "-c --pipe", "set a 1\n*1\r\nGET\r\n");
    assert_eq!((said.status, &*said.out), (Some(1), "errors: 0, replies: 1\n"));
    assert!(said.err.contains("Error in the input"), "{said:?}");
}
