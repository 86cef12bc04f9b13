use super::*;
use crate::log::read_back::tests::{Node, SELECT, SET, TEMP_BASE, id, read_to, start, with_seeds};
use crate::log::{BaseKind, Lineage, LogNames, LogWriter, Salts};
use crate::recovery::{self, Options};
use crate::storage::Storage;
use crate::storage::faulty::FaultyStorage;

const BOUND: u64 = 4000;

/// A node that has some history on disk.
fn with_history(seed: u64, pieces: usize) -> Node {
    let mut node = Node::new(seed);
    node.files().retain(BOUND);
    for _ in 0..1000 {
        node.append();
        node.rewrite();
        if node.files().manifest().history.len() == pieces {
            return node;
        }
    }
    panic!("{pieces} pieces do not fit")
}

/// Everything on offer is served, up to the end.
fn check_served(files: &Arc<LogFiles>, node: &Node) {
    let first = files.first_offset().unwrap();
    let mut reader = files.read_back(first).unwrap().unwrap();
    let expected = &node.stream[usize::try_from(first.0).unwrap()..];
    assert!(read_to(&mut reader, node.end()).unwrap() == expected, "from {first}");
}

fn sizes(storage: &FaultyStorage, history: &[ManifestFile]) -> u64 {
    let size = |file: &ManifestFile| storage.size(&format!("aof/{}", file.name)).unwrap().unwrap();
    history.iter().map(size).sum()
}

/// The node's disk with one file of history changed.
fn changed(node: &Node, number: usize, change: impl FnOnce(&mut Vec<u8>)) -> FaultyStorage {
    let mut files = node.storage.files();
    let name = format!("aof/{}", node.files().manifest().history[number].name);
    change(files.get_mut(&name).unwrap());
    FaultyStorage::holding(files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())))
}

#[test]
fn the_newest_history_within_the_bound_stays_and_is_served() {
    let most = 20_000;
    with_seeds(1..8, |seed| {
        let mut node = Node::new(seed);
        node.files().retain(most);
        let mut pieces = 0;
        for turn in 0..300 {
            node.turn(true);
            let history = node.files().manifest().history;
            assert!(sizes(&node.storage, &history) <= most);
            assert!(history.iter().all(|file| file.start.is_some()), "{history:?}");
            pieces = history.len().max(pieces);
            if turn % 20 == 0 {
                check_served(node.files(), &node);
            }
        }
        assert!(pieces > 1, "there was history to speak of: {pieces}");
        // A start keeps it, within the bound of the day.
        let first = node.files().first_offset();
        let before = node.files().manifest().history;
        for bound in [most, most / 2, 0] {
            let storage = node.storage.after_kill();
            let writer = start(&storage, bound);
            let history = writer.files().manifest().history;
            assert!(sizes(&storage, &history) <= bound && before.ends_with(&history));
            assert!(bound < most || (history == before && writer.files().first_offset() == first));
            assert!(bound > 0 || history.is_empty());
            let left = storage.files();
            let listed = |file: &ManifestFile| left.contains_key(&format!("aof/{}", file.name));
            assert_eq!(before.iter().filter(|file| listed(file)).count(), history.len());
            let manifest = Manifest::parse(&left["aof/log.manifest"]).unwrap();
            assert_eq!(manifest.history, history);
            check_served(writer.files(), &node);
        }
    });
}

#[test]
fn bad_history_keeps_no_node_from_starting() {
    let node = with_history(1, 3);
    let history = node.files().manifest().history;
    for number in 0..history.len() {
        let behind = history
            .get(number + 1)
            .map_or_else(|| node.files().manifest().incrs[0].start, |file| file.start);
        let missing = node.storage.after_kill();
        missing.remove(&format!("aof/{}", history[number].name)).unwrap();
        let cut = changed(&node, number, |bytes| bytes.truncate(bytes.len() - 20));
        let emptied = changed(&node, number, Vec::clear);
        let grown = changed(&node, number, |bytes| bytes.splice(0..0, [b'#'; 5000]).for_each(drop));
        for storage in [missing, cut, emptied, grown] {
            let writer = start(&storage, BOUND);
            assert_eq!(writer.files().first_offset(), behind);
            check_served(writer.files(), &node);
            start(&storage, BOUND);
        }
        // What only a reading shows is offered until it is met.
        let storage = changed(&node, number, |bytes| {
            let place = memchr::memmem::find(bytes, b"SET").unwrap();
            bytes[place] ^= 1;
        });
        let writer = start(&storage, BOUND);
        let first = writer.files().first_offset();
        assert_eq!(first, node.files().first_offset());
        let mut reader = writer.files().read_back(first.unwrap()).unwrap().unwrap();
        read_to(&mut reader, node.end()).unwrap_err();
        assert_eq!(writer.files().first_offset(), behind);
        check_served(writer.files(), &node);
    }
}

#[test]
fn history_that_is_kept_for_people_is_all_kept_and_served_as_far_as_it_joins() {
    let mut node = Node::new(2);
    node.files().keep_history(true);
    while node.files().manifest().history.len() < 6 {
        node.append();
        node.rewrite();
    }
    let history = node.files().manifest().history;
    assert_eq!(node.files().first_offset(), Some(LogOffset(0)));
    assert!(history.iter().any(|file| file.start.is_none()), "bases too: {history:?}");
    let names = LogNames::new("aof", "log");
    let options = Options { names, load_truncated: true, keep_history: true, retain: 0 };
    let storage = node.storage.after_kill();
    let plan = recovery::plan(&storage.shared(), &options).unwrap();
    let lineage = plan.successor(id(9));
    let writer =
        recovery::carry_out(&storage.shared(), &plan, lineage, Salts::counted_from(1)).unwrap();
    assert_eq!(writer.files().manifest().history, history);
    assert_eq!(writer.files().first_offset(), Some(LogOffset(0)));
    check_served(writer.files(), &node);
    // From now on a bound holds.
    writer.files().keep_history(false);
    writer.files().retain(BOUND / 4);
    writer.files().remove_history().unwrap();
    assert!(sizes(&storage, &writer.files().manifest().history) <= BOUND / 4);
    check_served(writer.files(), &node);
}

#[test]
fn what_a_former_log_held_is_not_served_as_history_of_the_next() {
    let node = with_history(3, 2);
    let names = node.files().names().clone();
    let files = LogFiles::open(&node.storage.shared(), &names).unwrap();
    files.keep_history(true);
    // The next log begins at the very offset where the former ends.
    let (mut writer, rewrite) =
        files.begin(Lineage::new(id(7)), node.end(), SELECT, Salts::counted_from(70)).unwrap();
    let append = |writer: &mut LogWriter| {
        let end = writer.end().advanced(SET.len());
        writer.append(&mut SET.to_vec(), end, LogOffset(0)).unwrap();
    };
    append(&mut writer);
    let base = node.storage.create(TEMP_BASE).unwrap();
    base.append(b"REDIS0010\xff\0\0\0\0\0\0\0\0").unwrap();
    rewrite.finish(TEMP_BASE, BaseKind::Rdb, writer.file_size()).unwrap();
    assert_eq!(files.first_offset(), Some(node.end()));
    let writer = start(&node.storage, BOUND);
    assert_eq!(writer.files().first_offset(), Some(node.end()));
    assert!(writer.files().manifest().history.is_empty());
}
