//! Files of a log.

use highwater::resp::inline::encode;
use highwater_persistence::log::scan::{Scan, Standing, scan};
use highwater_persistence::log::{Entries, EntryKind, LogOffset};

/// The first byte says what is known before the file, the rest is the file.
pub fn check(input: &[u8]) {
    let Some((&first, bytes)) = input.split_first() else { return };
    entries(bytes);
    let from = match first & 3 {
        0 => Standing::at_start(None),
        1 => Standing::at_start(Some(LogOffset(0))),
        2 => Standing::at_start(Some(LogOffset(1000))),
        _ => Standing { clean: true, ..Standing::at_start(Some(LogOffset(0))) },
    };
    recovered(bytes, from, first & 4 != 0);
}

/// Entries follow one another without gaps, and a command is what its words are.
fn entries(bytes: &[u8]) {
    for unverified in [false, true] {
        let mut entries = Entries::new(bytes, None);
        if unverified {
            entries = entries.unverified();
        }
        let mut at = 0;
        while let Some(entry) = entries.next() {
            let Ok(entry) = entry else {
                assert!(entries.next().is_none(), "nothing follows an error");
                break;
            };
            assert_eq!(entry.position, at, "entries join");
            assert!(entry.size > 0);
            at += entry.size;
            if let EntryKind::Command { args, .. } = entry.kind {
                let words: Vec<&[u8]> = args.iter().collect();
                let again = encode(&words);
                let mut again = Entries::new(&again, None);
                let entry = again.next().expect("there are bytes").expect("they are a command");
                let EntryKind::Command { args, .. } = entry.kind else { panic!("{entry:?}") };
                assert!(args.iter().eq(words), "what is written again is read the same");
            }
        }
        assert!(at <= bytes.len());
        assert!(entries.whole().0 <= entries.position().max(at));
    }
}

/// What recovery keeps of a file is good by itself, and tells the same.
fn recovered(bytes: &[u8], from: Standing, begins_with_head: bool) {
    let found = scan(bytes, from, begins_with_head);
    assert!(found.good <= bytes.len());
    assert_eq!(found.problem.is_none(), found.good == bytes.len(), "{found:?}");
    assert!(found.unverified <= found.good);
    if let Some(error) = found.problem {
        assert!(error.position >= found.good, "{found:?}");
    }
    let kept = scan(&bytes[..found.good], from, begins_with_head);
    // Whether the stop was orderly is no fact about the bytes that are kept: what is dropped says that it was not.
    let known = |scan: &Scan| {
        let standing = Standing { clean: false, ..scan.standing };
        (scan.good, scan.start, standing, scan.durable, scan.unverified)
    };
    assert_eq!(known(&kept), known(&found), "what is kept tells the same");
    assert_eq!(kept.problem, None, "what is kept is good");
    // A loader reads what is kept without looking at checksums again.
    let start = from.anchored.then_some(from.offset);
    let mut entries = Entries::new(&bytes[..found.good], start).unverified();
    let mut last = None;
    while let Some(entry) = entries.next() {
        last = Some(entry.err());
    }
    let whole = matches!(last, None | Some(None));
    assert!(
        whole || found.good > found.unverified,
        "entries nobody vouched for are read: {last:?}"
    );
}
