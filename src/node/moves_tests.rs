//! MIGRATE without sockets: the test is the driver and the target.

use super::cluster_tests;
use super::tests::Bench;
use super::*;
use crate::config::PrimaryAddress;
use crate::resp::CommandError;

/// A node with a client that moves keys and another one that gets in the way.
struct Play {
    bench: Bench,
    mover: ClientId,
    other: ClientId,
}

const FAILED: CommandError = CommandError::new("IOERR failed");

impl Play {
    fn with(mut bench: Bench) -> Self {
        let mover = bench.client;
        let peer = Peer { loopback: true, ..Peer::default() };
        let other = bench.node.connect(peer, bench.clock.0).expect("there is room");
        bench.client = other;
        Self { bench, mover, other }
    }

    fn new() -> Self {
        Self::with(Bench::new())
    }

    /// The other client's requests; its replies.
    fn run(&mut self, lines: &str) -> String {
        self.bench.run(lines)
    }

    /// The first client's; the number of the move that it begins.
    fn begin(&mut self, line: &str) -> u64 {
        self.bench.node.take_outputs();
        self.bench.log();
        self.bench.client = self.mover;
        assert_eq!(self.bench.run(line), "", "the client waits");
        self.bench.client = self.other;
        match self.bench.node.take_outputs()[..] {
            [Output::MoveKeys { number }] => number,
            ref outputs => panic!("{outputs:?}"),
        }
    }

    /// The keys that the driver gets.
    fn fetch(&mut self, number: u64) -> Vec<String> {
        let parcel = self.bench.node.next_parcel(number, self.bench.clock.0).unwrap_or_default();
        let name =
            |entry: &crate::keyspace::Entry| String::from_utf8_lossy(entry.key()).into_owned();
        parcel.iter().map(|(_, entry)| name(entry)).collect()
    }

    fn arrive(&mut self, number: u64, keys: &[usize]) {
        self.bench.node.keys_arrived(number, keys, self.bench.clock.0);
    }

    fn end(&mut self, number: u64, result: Result<(), CommandError>) {
        self.bench.node.move_ended(number, result, self.bench.clock.0);
    }

    /// Begins, and has the driver fetch the keys.
    fn under_way(&mut self, line: &str) -> u64 {
        let number = self.begin(line);
        self.fetch(number);
        number
    }

    /// The other client's request waits; nothing is said.
    fn waits(&mut self, line: &str) {
        assert_eq!(self.run(line), "", "{line} waits");
        let client = self.bench.node.state.clients.get(self.other).expect("it is connected");
        assert_eq!(client.blocked, Some(crate::state::client::Blocked::Held), "{line}");
    }

    /// What clients are told and who goes on: `mover +OK @12`, where the reply waits for that offset; `other goes on`.
    fn outputs(&mut self) -> Vec<String> {
        let name = |client| if client == self.mover { "mover" } else { "other" };
        let shown = |output| match output {
            Output::Answer { client, bytes, hold } => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                Some(format!("{} {} @{hold}", name(client), text.trim_end()))
            }
            Output::Resume { client } => Some(format!("{} goes on", name(client))),
            _ => None,
        };
        let outputs = self.bench.node.take_outputs();
        outputs.into_iter().filter_map(shown).collect()
    }

    fn end_of_log(&self) -> u64 {
        self.bench.node.state.stream.end
    }

    fn nothing_is_held(&self) {
        assert!(!self.bench.node.state.keyspace.has_holds());
        assert!(self.bench.node.state.moves.is_empty());
    }

    fn is_demoted(&mut self) {
        let address = PrimaryAddress { host: "h".to_owned(), port: 1 };
        self.bench.node.state.set_primary(Some(address));
    }
}

#[test]
fn keys_are_removed_as_they_arrive_and_the_reply_waits_for_the_log() {
    let mut play = Play::new();
    play.run("mset a 1 b 2 c 3");
    let number = play.begin("migrate h 1 \"\" 0 1000 keys a b nosuch c");
    assert_eq!(play.fetch(number), ["a", "b", "c"]);
    assert_eq!(play.fetch(number), Vec::<String>::new());
    assert_eq!(play.run("mget a b c"), "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n");
    play.arrive(number, &[0, 1]);
    assert_eq!(play.bench.log(), "DEL a b");
    assert_eq!(play.outputs(), Vec::<String>::new());
    assert_eq!(play.run("mget a b c"), "*3\r\n$-1\r\n$-1\r\n$1\r\n3\r\n");
    play.arrive(number, &[2]);
    play.end(number, Ok(()));
    assert_eq!(play.bench.log(), "DEL c");
    let end = play.end_of_log();
    assert_eq!(play.outputs(), [format!("mover +OK @{end}"), "mover goes on".to_owned()]);
    play.nothing_is_held();
}

#[test]
fn keys_that_have_not_arrived_stay() {
    let mut play = Play::new();
    play.run("mset a 1 b 2");
    let number = play.under_way("migrate h 1 \"\" 0 1000 keys a b");
    play.waits("set b 3");
    play.bench.node.tick(play.bench.clock.0);
    assert_eq!(play.outputs(), Vec::<String>::new(), "nothing has changed for it");
    play.arrive(number, &[0]);
    let end = play.end_of_log();
    play.end(number, Err(FAILED));
    let expected = [format!("mover -IOERR failed @{end}"), "mover goes on".to_owned()];
    let outputs = play.outputs();
    assert!(outputs.contains(&"other goes on".to_owned()), "{outputs:?}");
    assert!(outputs.ends_with(&expected) || outputs.windows(2).any(|two| two == expected));
    play.nothing_is_held();
    assert_eq!(play.run("set b 3\nget a\nget b"), "+OK\r\n$-1\r\n$1\r\n3\r\n");
    assert_eq!(play.bench.log(), "DEL a\nset b 3");
}

#[test]
fn nothing_that_changes_a_key_on_its_way_runs() {
    let lines = [
        "set k 1",
        "append k 1",
        "del other k",
        "unlink k",
        "expire k 10",
        "persist k",
        "getdel k",
        "getex k ex 10",
        "rename other k",
        "rename k other",
        "renamenx other k",
        "copy other k replace",
        "restore k 0 x replace",
        "mset other 1 k 2",
        "bitop not k other",
        "flushall",
        "flushdb",
        "swapdb 0 1",
        "migrate h 1 k 0 1000",
        "migrate h 1 \"\" 0 1000 keys other k",
    ];
    for line in lines {
        for arrives in [true, false] {
            let mut play = Play::new();
            play.run("mset k v other v");
            let number = play.under_way("migrate h 1 k 0 1000");
            play.waits(line);
            assert_eq!(play.bench.log(), "");
            if arrives {
                play.arrive(number, &[0]);
            }
            play.end(number, Ok(()));
            assert!(play.outputs().contains(&"other goes on".to_owned()), "{line}");
            play.nothing_is_held();
            assert!(play.bench.node.state.moves.waiting.is_empty());
        }
    }
}

#[test]
fn what_changes_other_keys_or_nothing_runs() {
    let mut play = Play::new();
    play.run("mset k v other v");
    let number = play.under_way("migrate h 1 k 0 1000");
    let lines = "get k
        exists k
        ttl k
        dump k
        set other 1
        copy k copied
        bitop not negated k
        setrange other 0 x
        select 1
        set k elsewhere
        select 0
        dbsize
        debug object k";
    for line in lines.lines() {
        assert_ne!(play.run(line), "", "{line}");
    }
    play.arrive(number, &[0]);
    play.end(number, Ok(()));
    assert_eq!(play.run("exists k\nselect 1\nget k"), ":0\r\n+OK\r\n$9\r\nelsewhere\r\n");
}

#[test]
fn keys_are_waited_for_in_whichever_database_a_command_reaches() {
    let mut play = Play::new();
    play.run("set k v\nselect 1\nset k other\nset from 1");
    let number = play.under_way("migrate h 1 k 0 1000");
    play.waits("move k 0");
    play.end(number, Err(FAILED));
    assert_eq!(play.run("move k 0"), ":0\r\n");
    let number = play.under_way_again("migrate h 1 k 0 1000");
    play.waits("copy from k db 0 replace");
    play.end(number, Ok(()));
}

impl Play {
    /// A move of a client that has had another one.
    fn under_way_again(&mut self, line: &str) -> u64 {
        self.outputs();
        self.under_way(line)
    }
}

#[test]
fn a_transaction_waits_where_it_would_change_a_key_on_its_way() {
    let mut play = Play::new();
    play.run("mset k v other v");
    let number = play.under_way("migrate h 1 k 0 1000");
    assert_eq!(play.run("multi\nget k\nset other 1\nexec").lines().last(), Some("+OK"));
    let queued = "+OK\r\n+QUEUED\r\n+QUEUED\r\n";
    assert_eq!(play.run("multi\nset other 2\nappend k 1"), queued, "they are only queued");
    play.waits("exec");
    assert_eq!(play.bench.log(), "set other 1");
    play.arrive(number, &[0]);
    play.end(number, Ok(()));
    assert_eq!(play.run("exec"), "*2\r\n+OK\r\n:1\r\n");
    assert_eq!(play.bench.log(), "DEL k\nMULTI\nset other 2\nappend k 1\nEXEC");
}

#[test]
fn a_transaction_cannot_move_keys() {
    let mut play = Play::new();
    let refused = "+OK\r\n-ERR MIGRATE inside MULTI is not allowed\r\n-EXECABORT Transaction discarded because of previous errors.\r\n";
    assert_eq!(play.run("set k v\nmulti\nmigrate h 1 k 0 1000\nexec")[5..], *refused);
    assert_eq!(play.run("exists k"), ":1\r\n");
}

#[test]
fn a_key_that_arrives_breaks_watches_of_it() {
    let mut play = Play::new();
    play.run("set k v\nwatch k");
    let number = play.under_way("migrate h 1 k 0 1000");
    play.arrive(number, &[0]);
    play.end(number, Ok(()));
    assert_eq!(play.run("multi\nset other 1\nexec"), "+OK\r\n+QUEUED\r\n*-1\r\n");
}

#[test]
fn a_key_named_twice_is_moved_once() {
    let mut play = Play::new();
    play.run("set k v");
    let number = play.begin("migrate h 1 \"\" 0 1000 replace keys k k");
    assert_eq!(play.fetch(number), ["k"]);
}

#[test]
fn a_copy_neither_holds_nor_removes_anything() {
    let mut play = Play::new();
    play.run("set k v");
    let number = play.begin("migrate h 1 k 0 1000 copy");
    assert_eq!(play.run("set k w"), "+OK\r\n");
    assert_eq!(play.fetch(number), ["k"]);
    play.arrive(number, &[0]);
    play.end(number, Ok(()));
    assert_eq!(play.outputs(), ["mover +OK @0", "mover goes on"]);
    assert_eq!(play.bench.log(), "set k w");
    play.nothing_is_held();
}

#[test]
fn many_keys_go_in_parcels() {
    let mut play = Play::new();
    let names: Vec<String> = (0..300).map(|number| format!("k{number}")).collect();
    play.run(&format!("mset {}", names.join(" 1 ") + " 1"));
    let number = play.begin(&format!("migrate h 1 \"\" 0 1000 keys {}", names.join(" ")));
    assert_eq!(play.fetch(number), names[..256]);
    play.waits("set k299 2");
    assert_eq!(play.fetch(number), names[256..]);
}

#[test]
fn the_expiry_of_a_key_on_its_way_waits() {
    for arrives in [true, false] {
        let mut play = Play::new();
        play.run("set k v px 100");
        let number = play.under_way("migrate h 1 k 0 1000");
        play.bench.clock.advance_ms(200);
        play.bench.expire();
        assert_eq!(play.run("get k"), "$-1\r\n", "nobody sees it");
        assert_eq!(play.bench.log(), "");
        play.waits("set k 2");
        if arrives {
            play.arrive(number, &[0]);
            assert_eq!(play.bench.log(), "DEL k");
        }
        play.end(number, Ok(()));
        play.bench.expire();
        assert_eq!(play.bench.log(), if arrives { "" } else { "DEL k" });
        assert_eq!(play.run("set k 2\nget k"), "+OK\r\n$1\r\n2\r\n");
    }
}

#[test]
fn a_key_that_expires_before_it_is_fetched_is_not_sent() {
    let mut play = Play::new();
    play.run("set k v px 100\nset other v");
    let number = play.begin("migrate h 1 \"\" 0 1000 keys k other");
    play.bench.clock.advance_ms(200);
    assert_eq!(play.fetch(number), ["other"]);
    play.bench.expire();
    assert_eq!(play.bench.log(), "DEL k");
}

#[test]
fn a_node_that_is_not_a_primary_any_more_removes_nothing() {
    let mut play = Play::new();
    play.run("mset k v l v");
    let number = play.under_way("migrate h 1 \"\" 0 1000 keys k l");
    play.waits("set k w");
    play.arrive(number, &[1]);
    let end = play.end_of_log();
    play.outputs();
    play.waits("set k w");
    play.is_demoted();
    let told = play.outputs();
    let unblocked = format!(
        "mover -UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?) @{end}"
    );
    assert_eq!(told, [&unblocked, "mover goes on", "other goes on"]);
    play.nothing_is_held();
    play.bench.log();
    play.arrive(number, &[0]);
    play.end(number, Ok(()));
    assert_eq!((play.outputs(), play.bench.log()), (vec![], String::new()));
    assert_eq!(play.run("exists k\nset k w").lines().next(), Some(":1"));
    assert!(play.bench.node.next_parcel(number, play.bench.clock.0).is_none());
}

#[test]
fn while_a_replica_takes_over_nothing_is_removed() {
    for demoted in [true, false] {
        let mut play = Play::new();
        play.run("set k v");
        let number = play.under_way("migrate h 1 k 0 1000");
        play.run("client pause 100 write");
        play.arrive(number, &[0]);
        play.end(number, Ok(()));
        assert_eq!(play.run("exists k"), ":1\r\n", "what the replica has to hold is settled");
        assert_eq!((play.outputs(), play.bench.log()), (vec![], String::new()));
        if demoted {
            play.is_demoted();
        } else {
            play.bench.clock.advance_ms(101);
        }
        play.bench.node.tick(play.bench.clock.0);
        assert_eq!(play.bench.log(), if demoted { "" } else { "DEL k" });
        assert_eq!(play.run("exists k"), if demoted { ":1\r\n" } else { ":0\r\n" });
        play.nothing_is_held();
    }
}

#[test]
fn a_client_that_leaves_leaves_no_holds() {
    let mut play = Play::new();
    play.run("mset a 1 b 2");
    let number = play.under_way("migrate h 1 \"\" 0 1000 keys a b");
    play.waits("set b 3");
    play.bench.node.disconnect(play.mover);
    play.bench.node.disconnect(play.other);
    play.arrive(number, &[0]);
    play.end(number, Err(FAILED));
    assert_eq!((play.outputs(), play.bench.log()), (vec![], "DEL a".to_owned()));
    play.nothing_is_held();
}

#[test]
fn what_no_gate_keeps_out_makes_an_arrival_void() {
    let mut play = Play::new();
    play.run("mset k v l v");
    let number = play.under_way("migrate h 1 \"\" 0 1000 keys k l");
    // As a primary's stream would, or the loss of a slot.
    let keyspace = &mut play.bench.node.state.keyspace;
    for (name, replaced) in [(b"k", true), (b"l", false)] {
        let key = keyspace.key(name);
        keyspace.remove(0, &key);
        if replaced {
            keyspace.insert(0, &key, crate::keyspace::Value::Int(7), crate::keyspace::Ttl::Clear);
        }
    }
    play.arrive(number, &[0, 1]);
    play.end(number, Ok(()));
    let told = play.outputs();
    assert!(told[0].starts_with("mover -ERR A key was changed"), "{told:?}");
    assert_eq!(play.run("get k"), "$1\r\n7\r\n");
    assert_eq!(play.bench.log(), "");
}

#[test]
fn another_dataset_loses_nothing_to_an_arrival() {
    let mut play = Play::new();
    play.run("set k v");
    let number = play.under_way("migrate h 1 k 0 1000");
    let mut data = Keyspace::new(16, play.bench.node.state.keyspace.hash_key(), 1);
    data.begin(1, 1);
    let key = data.key(b"k");
    data.insert(0, &key, crate::keyspace::Value::Int(7), crate::keyspace::Ttl::Clear);
    play.bench.node.replace_data(data, Default::default());
    assert!(play.outputs()[0].starts_with("mover -ERR The dataset has been replaced"));
    play.arrive(number, &[0]);
    play.end(number, Ok(()));
    assert_eq!(play.run("get k"), "$1\r\n7\r\n");
}

#[test]
fn a_slot_on_the_move_sends_waiting_writers_after_their_key() {
    let mut play = Play::with(cluster_tests::node('a'));
    cluster_tests::play(
        &mut play.bench,
        "set bar 1 -> +OK
         set {bar}2 2 -> +OK
         cluster setslot 5061 migrating <b> -> +OK",
    );
    let number = play.under_way("migrate h 1 \"\" 0 1000 keys bar {bar}2");
    assert!(play.bench.node.move_target(number).expect("it is under way").asks);
    assert_eq!(play.run("get bar"), "$1\r\n1\r\n");
    play.waits("set bar 2");
    play.arrive(number, &[0]);
    assert_eq!(play.outputs(), ["other goes on"]);
    assert_eq!(play.run("set bar 2\nget bar"), "-ASK 5061 10.0.0.2:7001\r\n".repeat(2));
    assert_eq!(
        play.run("mget bar {bar}2"),
        "-TRYAGAIN Multiple keys request during rehashing of slot\r\n"
    );
    // The slot is closed, or given away, when it is known what has become of its keys.
    let owner = crate::cluster::testing::id('b');
    play.waits("cluster setslot 5061 stable");
    play.arrive(number, &[1]);
    play.end(number, Ok(()));
    let told = cluster_tests::ask(&mut play.bench, &format!("cluster setslot 5061 node {owner}"));
    assert_eq!(told, "+OK\r\n");
    assert_eq!(play.run("get bar"), "-MOVED 5061 10.0.0.2:7001\r\n");
}

#[test]
fn nobody_is_sent_after_a_key_whose_copy_may_still_arrive() {
    let mut play = Play::with(cluster_tests::node('a'));
    cluster_tests::play(
        &mut play.bench,
        "set bar 1 px 100 -> +OK
         cluster setslot 5061 migrating <b> -> +OK",
    );
    let number = play.under_way("migrate h 1 bar 0 1000 replace");
    play.bench.clock.advance_ms(200);
    assert_eq!(play.run("get bar"), "$-1\r\n");
    play.waits("set bar 2");
    play.arrive(number, &[0]);
    play.end(number, Ok(()));
    assert_eq!(play.run("set bar 2"), "-ASK 5061 10.0.0.2:7001\r\n");
}

/// Otherwise a crash would bring the key back here that a client has already written to over there.
#[test]
fn who_is_sent_after_a_key_hears_of_it_when_its_removal_is_in_the_log() {
    let mut play = Play::with(cluster_tests::node('a'));
    cluster_tests::play(
        &mut play.bench,
        "set bar 1 -> +OK
         cluster setslot 5061 migrating <b> -> +OK",
    );
    let number = play.under_way("migrate h 1 bar 0 1000");
    let before = play.end_of_log();
    play.arrive(number, &[0]);
    play.run("ping\ndbsize\nget {06S}");
    let bytes = crate::resp::inline::encode(&["set", "bar", "2"]);
    let mut requests = crate::resp::Requests::default();
    let limits = crate::resp::RequestLimits::default();
    crate::resp::RequestParser::default().parse(&bytes, limits, &mut requests).expect("a request");
    let mut out = Vec::new();
    let Bench { node, clock, .. } = &mut play.bench;
    let told = node.execute(play.other, (&requests, &bytes), 0, &mut out, clock);
    assert!(out.starts_with(b"-ASK 5061"));
    // A unit is released as a whole.
    assert!(told.hold > before, "{} is before {before}", told.hold);
}

#[test]
fn a_client_that_wants_no_reply_gets_none() {
    let mut play = Play::new();
    play.run("mset k v l v");
    for (skips, told) in [("client reply skip", false), ("client reply on", true)] {
        play.bench.client = play.mover;
        play.bench.run(skips);
        play.bench.client = play.other;
        let number =
            play.under_way(if told { "migrate h 1 l 0 1000" } else { "migrate h 1 k 0 1000" });
        play.arrive(number, &[0]);
        play.end(number, Ok(()));
        let outputs = play.outputs();
        assert_eq!(outputs.iter().any(|output| output.starts_with("mover +OK")), told);
        assert!(outputs.contains(&"mover goes on".to_owned()));
    }
}

#[test]
fn a_slot_that_is_open_on_either_side_has_its_keys_moved_here() {
    let mut play = Play::with(cluster_tests::node('b'));
    cluster_tests::play(&mut play.bench, "cluster setslot 5061 importing <a> -> +OK");
    assert_eq!(play.run("migrate h 1 bar 0 1000"), "+NOKEY\r\n");
    assert_eq!(play.run("asking\nset bar 1"), "+OK\r\n+OK\r\n");
    let number = play.under_way("migrate h 1 bar 0 1000");
    assert_eq!(play.run("get bar"), "-MOVED 5061 10.0.0.2:7000\r\n");
    play.waits("cluster setslot 5061 stable");
    play.arrive(number, &[0]);
    play.end(number, Ok(()));
    assert_eq!(play.run("asking\nget bar"), "+OK\r\n$-1\r\n");
}

#[test]
fn the_order_names_the_target_and_how_to_get_there() {
    let order = |line: &str| {
        let mut play = Play::new();
        play.run("set k v");
        let number = play.begin(line);
        play.bench.node.move_target(number).expect("it is under way")
    };
    let target = order("migrate host 7000 k 3 250 replace auth2 user secret");
    assert_eq!((target.host.as_str(), target.port, target.db), ("host", 7000, 3));
    assert_eq!(target.auth, [b"user".to_vec(), b"secret".to_vec()]);
    assert!(target.replaces && !target.asks && target.timeout_ms == 250);
    let target = order("migrate host nowhere k 0 0 auth keys");
    assert_eq!((target.port, target.timeout_ms), (0, 1000));
    assert_eq!(target.auth, [b"keys".to_vec()]);
}
