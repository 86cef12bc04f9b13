//! What the log gets of a request that has changed something and answers an error: its keys as they are now. No request is
//! known that does so, and debug builds stop at one; logged as it came it would fail again at each start and on each
//! replica.

use crate::commands::dump::{encoder_options, payload};
use crate::commands::keys::keys_of;
use crate::commands::table::Entry;
use crate::resp::Args;
use crate::state::State;

/// Adds commands to the effects of the open unit that make the keys of a request in `db` what they are here.
#[cold]
pub(super) fn note(state: &mut State, db: u32, entry: &'static Entry, args: Args<'_>) {
    // What it has done to keys of other databases, or to all keys, is not found here.
    tracing::error!("'{}' has changed something and answers an error", entry.full_name);
    let options = encoder_options(&state.config);
    let keyspace = &mut state.keyspace;
    for key in keys_of(entry.command, args) {
        let found = keyspace.peek(db, &keyspace.key(key));
        let Some(found) = found else {
            keyspace.effects.del(db, key);
            continue;
        };
        let expiry = found.expiry_ms().unwrap_or(0).to_string();
        match payload(&options, found.value()) {
            Ok(payload) => {
                let words: [&[u8]; 6] =
                    [b"RESTORE", key, expiry.as_bytes(), &payload, b"ABSTTL", b"REPLACE"];
                keyspace.effects.push(db, &words);
            }
            Err(error) => tracing::error!(
                "'{}' has changed a key and failed, and the log cannot say what the key is now: {error}",
                entry.full_name
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::table::table;
    use crate::node::tests::Bench;
    use crate::resp::inline::encode;
    use crate::resp::{RequestLimits, RequestParser, Requests};

    fn parsed(bytes: &[u8]) -> Requests {
        let mut requests = Requests::default();
        let limits = RequestLimits::default();
        RequestParser::default().parse(bytes, limits, &mut requests).expect("well formed");
        requests
    }

    #[test]
    fn keys_are_logged_as_they_are() {
        let mut bench = Bench::new();
        bench.run(
            "select 3\nrpush list a b\npexpireat list 2000000000000\nset string x\nset other y",
        );
        bench.log();
        let bytes = encode(&["del", "list", "string", "gone"]);
        let requests = parsed(&bytes);
        let del = table().find(b"del").expect("a command");
        super::note(&mut bench.node.state, 3, del, requests.get(0, &bytes));
        crate::node::propagate::flush(&mut bench.node.state);
        let log = bench.node.state.stream.pending.clone();

        let mut copy = Bench::new();
        copy.run("select 3\nrpush list c\nset gone 1");
        let requests = parsed(&log);
        let mut out = Vec::new();
        copy.node.execute(copy.client, (&requests, &log), 0, &mut out, &mut copy.clock);
        let replies = "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n+OK\r\n+OK\r\n:1\r\n";
        assert!(String::from_utf8_lossy(&out).ends_with(replies), "{out:?}");
        let asked = "lrange list 0 -1\npexpiretime list\nget string\nget other\nexists gone";
        let expected = "*2\r\n$1\r\na\r\n$1\r\nb\r\n:2000000000000\r\n$1\r\nx\r\n$-1\r\n:0\r\n";
        assert_eq!(copy.run(asked), expected);
    }
}
