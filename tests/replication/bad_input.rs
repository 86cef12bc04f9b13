//! What a primary sends is checked before it counts: the link is closed with a line that says why, the data stay as they
//! were, reads go on, and an honest primary is followed afterwards.

use crate::liar::{Liar, Lie};
use crate::node::{Kind, Node, settle};
use crate::server::wait_for;

use Kind::Ours;

/// An honest primary, and its replica, which will be lied to.
struct Pair {
    honest: Node,
    replica: Node,
}

impl Pair {
    fn start(appendonly: &str) -> Pair {
        // No PING moves the offset between two looks but the first one, which is waited for.
        let settings = ["--appendonly", appendonly, "--repl-ping-replica-period", "3600"];
        let honest = Node::start(Ours, None, &settings);
        let replica = Node::start(Ours, Some(&honest), &settings);
        wait_for("the first PING", || (honest.position().1 > 0).then_some(()));
        honest.play("SET key value\nSETEX volatile 1000 value\nSELECT 2");
        honest.fill("many", 200, 100);
        settle(&honest, &replica);
        Pair { honest, replica }
    }

    /// A snapshot of the honest one's data.
    fn snapshot(&self) -> Vec<u8> {
        self.honest.play("SAVE");
        std::fs::read(self.honest.path().join("dump.rdb")).unwrap()
    }

    /// The replica hears a lie, and closes the link with `line` in its log. Then nothing has changed, unless the data had
    /// to make room for others (`may_empty`).
    fn check(&mut self, lie: Lie, line: &str, may_empty: bool) {
        let shown = lie.to_psync[..lie.to_psync.len().min(80)].escape_ascii().to_string();
        let said_before = self.replica.said().len();
        let liar = Liar::start(lie);
        let asked = self.replica.ask(&format!("REPLICAOF 127.0.0.1 {}", liar.port));
        assert_eq!(asked, "+OK\r\n");
        // From here on nothing of the honest one comes any more, its PINGs neither.
        let (position, digest) = (self.replica.position(), self.replica.ask("DEBUG DIGEST"));
        wait_for(&format!("'{line}' behind {shown}"), || {
            self.replica.said()[said_before..].contains(line).then_some(())
        });
        wait_for("an end of loading", || (self.replica.info("loading") == "0").then_some(()));
        let is_empty = may_empty && self.replica.ask("DBSIZE") == ":0\r\n";
        if is_empty {
            assert_ne!(self.replica.position().0, position.0, "{shown}: nothing is no history");
        } else {
            assert_eq!(self.replica.ask("DEBUG DIGEST"), digest, "{shown}");
            assert_eq!(self.replica.position(), position, "{shown}");
            assert_eq!(self.replica.ask("GET key"), "$5\r\nvalue\r\n", "{shown}");
        }
        self.replica.follow(&self.honest);
        settle(&self.honest, &self.replica);
        let left = std::fs::read_dir(self.replica.path()).unwrap().map(|entry| entry.unwrap());
        let is_temporary = |name: &str| name.starts_with("temp-");
        let left: Vec<_> = left.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        assert!(!left.iter().any(|name| is_temporary(name)), "{shown} leaves {left:?}");
    }

    fn check_all(&mut self, lies: Vec<(Lie, &str)>) {
        for (lie, line) in lies {
            self.check(lie, line, false);
        }
        assert_eq!(self.honest.syncs().0, 1, "no lie has cost a full resync");
    }
}

#[test]
fn a_handshake_that_is_none_is_given_up() {
    let ping = |bytes: &[u8]| Lie { to_ping: bytes.to_vec(), ..Lie::default() };
    let introduction = |bytes: &[u8]| Lie { to_introduction: bytes.to_vec(), ..Lie::default() };
    let psync = |text: &str| Lie { to_psync: text.as_bytes().to_vec(), ..Lie::default() };
    let id = "5".repeat(40);
    Pair::start("yes").check_all(vec![
        (ping(b"what?\r\n"), "Error reply to PING from master: 'what?'"),
        (ping(b"\x00\xff\x80\n"), "Error reply to PING"),
        (ping(&[b'x'; 5000]), "a line without end"),
        (ping(b""), "has closed the connection"),
        (introduction(b"+OK\r\n:7\r\n"), "Reply to REPLCONF"),
        (psync("+FULLRESYNC 55 1000\r\n"), "FULLRESYNC cannot be understood"),
        (psync(&format!("+FULLRESYNC {id} -5\r\n")), "FULLRESYNC cannot be understood"),
        (psync(&format!("+FULLRESYNC {id}\r\n")), "FULLRESYNC cannot be understood"),
        (psync("+CONTINUE 55\r\n"), "CONTINUE cannot be understood"),
        (psync("-ERR no\r\n"), "refuses PSYNC: '-ERR no'"),
        (psync("+FULL").and_closes(), "has closed the connection"),
        (psync(&format!("+FULLRESYNC {id} 18446744073709551616\r\n")), "cannot be understood"),
    ]);
}

#[test]
fn a_snapshot_that_is_none_changes_nothing() {
    let mut pair = Pair::start("yes");
    let snapshot = pair.snapshot();
    let sized = |size: usize, bytes: &[u8]| {
        Lie::instead_of_snapshot([format!("${size}\r\n").as_bytes(), bytes].concat())
    };
    let whole = snapshot.len();
    let mut damaged = snapshot.clone();
    damaged[whole - 1] ^= 1;
    let mut lies = vec![
        (Lie::instead_of_snapshot("hello\r\n"), "does not send a snapshot"),
        (Lie::instead_of_snapshot("$-5\r\n"), "no size of a snapshot"),
        (Lie::instead_of_snapshot("$99999999999999999999\r\n"), "no size of a snapshot"),
        (Lie::instead_of_snapshot("$EOF:short\r\n"), "a mark of 40 bytes"),
        (sized(whole, &damaged), "Failed trying to load the MASTER synchronization DB"),
        (sized(whole / 2, &snapshot), "Failed trying to load the MASTER synchronization DB"),
        (sized(0, b""), "Failed trying to load the MASTER synchronization DB"),
        (sized(5, b"hello"), "Failed trying to load the MASTER synchronization DB"),
        (sized(whole + 50, &snapshot).and_closes(), "in the middle of the snapshot"),
    ];
    for cut in [0, 1, 9, whole / 3, whole - 9, whole - 1] {
        let lie = sized(whole, &snapshot[..cut]).and_closes();
        lies.push((lie, "in the middle of the snapshot"));
    }
    let mark = "e".repeat(40);
    let wrong_mark = [format!("$EOF:{mark}\r\n").as_bytes(), &snapshot, &[b'f'; 40]].concat();
    let lie = Lie::instead_of_snapshot(wrong_mark).and_closes();
    lies.push((lie, "in the middle of the snapshot"));
    pair.check_all(lies);
}

/// Without a log the old data cannot be brought back once they had to make room; what is left then is nothing at all.
#[test]
fn without_a_log_a_broken_snapshot_leaves_all_or_nothing() {
    let mut pair = Pair::start("no");
    let snapshot = pair.snapshot();
    let mut damaged = snapshot.clone();
    damaged[snapshot.len() / 2] ^= 1;
    for bytes in [&damaged, &snapshot[..snapshot.len() / 2]] {
        let start = format!("${}\r\n", bytes.len());
        let lie = Lie::instead_of_snapshot([start.as_bytes(), bytes].concat());
        pair.check(lie, "Failed trying to load the MASTER synchronization DB", true);
    }
    let start = format!("${}\r\n", snapshot.len());
    let lie = Lie::instead_of_snapshot([start.as_bytes(), &snapshot[..100]].concat()).and_closes();
    pair.check(lie, "in the middle of the snapshot", false);
}

#[test]
fn a_stream_that_is_none_is_not_half_applied() {
    let multi = "*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$1\r\n1\r\n";
    let stream = |text: &str| Lie::instead_of_stream(text);
    Pair::start("yes").check_all(vec![
        (stream("SET inline rubbish\r\n"), "cannot be understood behind offset"),
        (stream("\x00\x01\x02\x03"), "cannot be understood behind offset"),
        (stream("*1\r\n$999999999999\r\n"), "cannot be understood behind offset"),
        (stream("*99999999999\r\n"), "cannot be understood behind offset"),
        (stream("*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n:1\r\n"), "cannot be understood behind offset"),
        (stream("*1\r\n$4\r\nEXEC\r\n"), "cannot be understood behind offset"),
        (stream(&format!("{multi}{multi}")), "cannot be understood behind offset"),
        (stream(multi).and_closes(), "has closed the connection"),
        (stream("*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\noth").and_closes(), "has closed"),
    ]);
}

/// Goal: who cannot follow stays where it is, until somebody looks after it. Method: the time that the link has been down
/// passes the pause between two attempts several times, and nobody has connected again.
#[test]
fn an_unknown_command_stops_the_link_for_good() {
    let multi = "*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$1\r\n1\r\n";
    let unknown = "*2\r\n$7\r\nNOSUCH1\r\n$1\r\nx\r\n";
    let known = "*2\r\n$3\r\nDEL\r\n$4\r\nnone\r\n";
    for stream in [unknown.to_owned(), format!("{multi}{unknown}*1\r\n$4\r\nEXEC\r\n")] {
        let pair = Pair::start("yes");
        let Pair { honest, mut replica } = pair;
        let digest = replica.ask("DEBUG DIGEST");
        let (_, offset) = replica.position();
        let liar = Liar::start(Lie::instead_of_stream(format!("{known}{stream}{known}")));
        replica.ask(&format!("REPLICAOF 127.0.0.1 {}", liar.port));
        wait_for("a critical line", || replica.said().contains("CRITICAL").then_some(()));
        wait_for("some time without a link", || {
            (replica.count("master_link_down_since_seconds") >= 3).then_some(())
        });
        assert_eq!(liar.connections(), 1, "it came back");
        assert!(replica.info("master_link_stopped").contains("NOSUCH1"));
        assert_eq!(replica.ask("DEBUG DIGEST"), digest);
        assert_eq!(replica.position().1, offset + known.len() as u64, "what was known is applied");
        replica.follow(&honest);
        settle(&honest, &replica);
        assert_eq!(honest.syncs().0, 2, "the stream of the liar is no part of the honest one's");
    }
}
