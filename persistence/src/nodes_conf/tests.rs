use std::path::{Path, PathBuf};

use super::*;

const A: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567";
const B: &str = "1b1b2c3d4e5f60718293a4b5c6d7e8f901234567";
const C: &str = "2c1b2c3d4e5f60718293a4b5c6d7e8f901234567";
const VARS: &str = "vars currentEpoch 3 lastVoteEpoch 1\n";

fn fixtures() -> Vec<(PathBuf, Vec<u8>)> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/nodes_conf");
    let folders = [top.join("stock_70"), top];
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    let paths = paths.filter(|path| path.extension().is_some_and(|e| e == "conf"));
    let found: Vec<_> = paths.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    assert_eq!(found.len(), 9);
    found
}

fn fixture(name: &str) -> NodesConf {
    let all = fixtures();
    let (_, bytes) = all.iter().find(|(path, _)| path.ends_with(name)).unwrap();
    NodesConf::parse(bytes).unwrap()
}

/// The line of a node that is alone: its address, flags, primary, and what is behind the link.
fn line(address: &str, flags: &str, primary: &str, slots: &str) -> String {
    format!("{A} {address} {flags} {primary} 0 0 1 connected{slots}\n{VARS}")
}

fn refused(text: &str, at: usize, what: Mistake) {
    assert_eq!(NodesConf::parse(text.as_bytes()), Err(NodesConfError { line: at, what }), "{text}");
}

#[test]
fn every_file_is_read_and_written_so_that_it_reads_the_same() {
    for (path, bytes) in fixtures() {
        let read = NodesConf::parse(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert!(read.has_vars);
        let written = read.write();
        assert_eq!(NodesConf::parse(written.as_bytes()).unwrap(), read, "{}", path.display());
        let mut old = read.clone();
        for node in &mut old.nodes {
            (node.tls_port, node.tcp_port, node.nodename, node.shard_id) = (None, None, None, None);
            node.other_aux.clear();
        }
        let written = read.write_form(Form::Seven0);
        assert_eq!(NodesConf::parse(written.as_bytes()).unwrap(), old, "{}", path.display());
    }
}

#[test]
fn files_of_stock_are_written_as_stock_writes_them() {
    for (path, bytes) in fixtures() {
        let form = match path.file_name().and_then(|name| name.to_str()).unwrap() {
            "redis_72.conf" => Form::Seven2,
            _ if path.parent().unwrap().ends_with("stock_70") => Form::Seven0,
            _ => continue,
        };
        let written = NodesConf::parse(&bytes).unwrap().write_form(form);
        assert_eq!(written, String::from_utf8(bytes).unwrap(), "{}", path.display());
    }
}

#[test]
fn files_of_other_versions_are_understood() {
    let three = fixture("redis_3.conf");
    let ports: Vec<_> = three.nodes.iter().map(|node| (node.port, node.cport)).collect();
    assert_eq!(ports, [(7000, 17000), (7001, 17001)]);

    let six = fixture("redis_62.conf");
    assert_eq!(
        (six.current_epoch, six.last_vote_epoch, six.myself().unwrap().id.as_str()),
        (2, 2, A)
    );
    assert_eq!(six.nodes[0].primary.as_deref(), Some(A));
    assert_eq!(six.nodes[1].slots, [(0, 8190), (8192, 8192)]);
    let lost = &six.nodes[2];
    assert!(lost.is(NodeFlag::NoAddress) && lost.ip.is_empty() && !lost.connected);
    assert_eq!((lost.ping_sent, lost.pong_received), (1_639_000_000_050, 1_639_000_000_020));

    let seven = fixture("redis_72.conf");
    let [myself, replica, suspect] = seven.nodes.as_slice() else { panic!("{seven:?}") };
    assert_eq!((myself.ip.as_str(), myself.port, myself.tls_port), ("fd00::1", 7000, Some(0)));
    assert!(myself.is(NodeFlag::NoFailover) && suspect.is(NodeFlag::Pfail));
    let open = |slot, state| OpenSlot { slot, state };
    let to = open(7, OpenState::Migrating(C.to_owned()));
    assert_eq!(myself.open, [to, open(9, OpenState::Importing(C.to_owned()))]);
    assert_eq!((replica.hostname.as_str(), replica.tls_port), ("node-b.example", Some(7101)));
    assert_eq!(
        (replica.nodename.as_deref(), &replica.shard_id),
        (Some("node_b"), &myself.shard_id)
    );

    let valkey = fixture("valkey_8.conf");
    let others = [("client-ipv4", "203.0.113.1"), ("client-ipv6", "2001:db8::1")];
    let others = others.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(valkey.nodes[0].other_aux, others);
    assert_eq!(valkey.nodes[1].other_aux[1].1, "eu-1a");
}

#[test]
fn files_of_stock_7_0_are_understood() {
    let failed = fixture("failed.conf");
    let [dead, myself, replica, other] = failed.nodes.as_slice() else { panic!("{failed:?}") };
    assert!(dead.is(NodeFlag::Fail) && !dead.connected && dead.slots == [(10923, 16383)]);
    assert!(myself.is(NodeFlag::Myself) && myself.hostname == "node-0.example");
    assert_eq!(replica.primary.as_ref(), Some(&myself.id));
    let to = |slot| OpenSlot { slot, state: OpenState::Migrating(other.id.clone()) };
    assert_eq!(myself.open, [to(5), to(100)]);
    let new = fixture("new.conf");
    assert_eq!((new.nodes[0].ip.as_str(), new.nodes[0].port, new.newest_epoch()), ("", 0, 0));
}

#[test]
fn a_file_that_is_cut_anywhere_is_never_taken_for_a_whole_one() {
    for (path, bytes) in fixtures() {
        let whole = NodesConf::parse(&bytes).unwrap();
        for end in 0..bytes.len() {
            match NodesConf::parse(&bytes[..end]) {
                Ok(read) if read.has_vars => {
                    assert_eq!(read, whole, "{} cut at {end}", path.display());
                    assert!(bytes[end..].iter().all(|byte| *byte == b'\n'));
                }
                Ok(_) => assert_eq!(bytes[end - 1], b'\n'),
                Err(NodesConfError { line, what: Mistake::CutShort }) => {
                    let lines = bytes[..end].iter().filter(|byte| **byte == b'\n').count();
                    assert_eq!(line, lines + 1);
                }
                Err(NodesConfError { line: 0, what: Mistake::NoMyself }) => {}
                Err(other) => panic!("{} cut at {end}: {other}", path.display()),
            }
        }
    }
}

#[test]
fn files_by_hand_may_lack_the_line_of_variables() {
    let text = line("h:1@2", "myself,master", "-", "").replace(VARS, "\n\n");
    let read = NodesConf::parse(text.as_bytes()).unwrap();
    assert_eq!((read.has_vars, read.current_epoch, read.newest_epoch()), (false, 0, 1));
    // Variables of other versions, anywhere.
    let text = format!("vars currentEpoch 7 more 1 lastVoteEpoch 6\n{text}");
    let read = NodesConf::parse(text.as_bytes()).unwrap();
    assert_eq!((read.has_vars, read.current_epoch, read.last_vote_epoch), (true, 7, 6));
    // Quotes as stock splits them, and flags in any order.
    let text = line("'h:1@2'", "master,\"myself\"", "-", " 1 \"3\" ").replace('\n', "\r\n");
    let read = NodesConf::parse(text.as_bytes()).unwrap();
    assert_eq!(read.nodes[0].flags, [NodeFlag::Myself, NodeFlag::Primary]);
    assert_eq!(read.nodes[0].slots, [(1, 1), (3, 3)]);
}

#[test]
fn slots_that_nobody_claims_are_kept() {
    let with = |unclaimed: &str| {
        let vars = format!("vars currentEpoch 3 lastVoteEpoch 1 unclaimed {unclaimed}\n");
        line("h:1@2", "myself,master", "-", "").replace(VARS, &vars)
    };
    let read = NodesConf::parse(with("5-7,9-9").as_bytes()).unwrap();
    assert_eq!(read.unclaimed, [(5, 7), (9, 9)]);
    assert_eq!(NodesConf::parse(read.write().as_bytes()).unwrap(), read);
    assert!(NodesConf::parse(with("7-5").as_bytes()).is_err());
}

#[test]
fn mistakes_in_an_address_are_refused() {
    let check = |address: &str| {
        let text = line(address, "myself,master", "-", "");
        refused(&text, 1, Mistake::Address(address.to_owned()));
    };
    for address in ["h", "h:x@1", "h:1@", "h:65536@1", "h:60000", "h;:1@2", "h:+1@2", "h:1@2,a_b"] {
        check(address);
    }
    check(&format!("{}:1@2", "h".repeat(46)));
    check(&format!("h:1@2,{}", "h".repeat(256)));
    for aux in ["tls-port", "tls-port=65536", "shard-id=x", "nodename=a/b", "new=a;b", "=x", ""] {
        let text = line(&format!("h:1@2,,{aux}"), "myself,master", "-", "");
        refused(&text, 1, Mistake::Aux(aux.to_owned()));
    }
}

#[test]
fn mistakes_in_slots_are_refused() {
    let check = |slots: &str, what: Mistake| {
        refused(&line("h:1@2", "myself,master", "-", &format!(" {slots}")), 1, what);
    };
    for slots in ["16384", "5-4", "0-16384", "-", "5-", "[5]", "[5->-x]", "[5->-", "[5-x-x]", "x"] {
        check(slots, Mistake::Slots(slots.to_owned()));
    }
    let far = format!("[16384->-{B}]");
    check(&far, Mistake::Slots(far.clone()));
    check("0-7 7", Mistake::SlotTwice(7));
    check(&format!("[5->-{B}] [5-<-{B}]"), Mistake::SlotTwice(5));
    let other = format!("{B} h:1@2 master - 0 0 1 connected 3-4 [5->-{A}]\n");
    refused(&other, 1, Mistake::OpenElsewhere);
    let taken = line("h:1@2", "myself,master", "-", " 4");
    refused(&(other.replace(&format!(" [5->-{A}]"), "") + &taken), 2, Mistake::SlotTwice(4));
}

#[test]
fn other_mistakes_are_refused_with_the_line() {
    let good = line("h:1@2", "myself,master", "-", "");
    let other = |id: &str, flags: &str| format!("{id} h:1@2 {flags} - 0 0 1 connected\n");
    refused("", 0, Mistake::NoMyself);
    refused(VARS, 0, Mistake::NoMyself);
    refused(&good[..good.len() - 1], 2, Mistake::CutShort);
    refused(&format!("{good}\"\n"), 3, Mistake::Quotes);
    refused(&format!("{good}# a comment\n"), 3, Mistake::TooFewWords(3));
    refused(&format!("{good}{VARS}"), 3, Mistake::Vars);
    refused("vars currentEpoch 1\n", 1, Mistake::Vars);
    refused("vars currentEpoch 1 lastVoteEpoch\n", 1, Mistake::Vars);
    refused("vars currentEpoch -1 lastVoteEpoch 0\n", 1, Mistake::Number("-1".to_owned()));
    refused(&other("x", "master"), 1, Mistake::Id("x".to_owned()));
    refused(&format!("{good}{}", other(A, "master")), 3, Mistake::Twice(A.to_owned()));
    refused(&format!("{good}{}", other(B, "myself")), 3, Mistake::SecondMyself);
    refused(&other(A, "primary"), 1, Mistake::Flag("primary".to_owned()));
    refused(&other(A, "master,slave"), 1, Mistake::Role);
    refused(&line("h:1@2", "myself,master", B, ""), 1, Mistake::Role);
    refused(&line("h:1@2", "myself,slave", "+", ""), 1, Mistake::Id("+".to_owned()));
    let link = good.replace(" connected", " up");
    refused(&link, 1, Mistake::Link("up".to_owned()));
    let far = (1_u64 << 63).to_string();
    refused(&good.replace("0 0 1 ", &format!("0 0 {far} ")), 1, Mistake::Number(far));
    refused(&good.replace("0 0 1 ", "0 +0 1 "), 1, Mistake::Number("+0".to_owned()));
    let shown = NodesConf::parse(link.as_bytes()).unwrap_err().to_string();
    assert_eq!(shown, "line 1: 'up' is not the state of a link");
}

#[test]
fn nothing_is_written_that_would_be_read_as_something_else() {
    let mut conf = fixture("new.conf");
    conf.nodes[0].hostname = "a b".to_owned();
    assert!(std::panic::catch_unwind(|| conf.write()).is_err());
}
