//! Values of every type, loaded from snapshots that a stock server made, and the same values in a stock server:
//! digests, encodings and DUMP payloads must agree.

use std::sync::Arc;

use std::path::PathBuf;

use highwater::types::convert::{Built, ValueBuilder, dump_object, dump_string, restore};
use highwater::types::digest::{Digest, ScoreText};
use highwater::types::{Hash, Limits, List, Object, Set, Stream, Zset};
use highwater_persistence::snapshot::{
    EncoderOptions, Event, SnapshotReader, StreamId, Thresholds,
};

use crate::peer::{Request, Stock, bulk};

/// A key of a snapshot.
struct Key {
    db: u32,
    name: Vec<u8>,
    expires: bool,
    value: Built,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/snapshot")
}

fn load(file: &str) -> Vec<Key> {
    let bytes = std::fs::read(folder().join(file)).expect("the fixture is there");
    let mut reader = SnapshotReader::new(&bytes[..]);
    let mut keys = Vec::new();
    let mut builder = ValueBuilder::new(0, Limits::default());
    let (mut db, mut current) = (0, None);
    while let Some(event) = reader.next().expect("the fixture is whole") {
        match event {
            Event::SelectDb(number) => db = number,
            Event::Key { key, expires_ms, .. } => {
                current = Some((key.to_vec(), expires_ms.is_some()));
                builder = ValueBuilder::new(0, Limits::default());
            }
            event => {
                let Some((name, expires)) = &current else { continue };
                let built = builder.put(event).expect("the fixture's values are whole");
                if let Some(value) = built {
                    keys.push(Key { db, name: name.clone(), expires: *expires, value });
                    current = None;
                }
            }
        }
    }
    keys
}

/// The digest of a value behind `digest`.
fn digest(mut digest: Digest, value: &Built, expires: bool) -> Digest {
    match value {
        Built::String(bytes) => digest.string(bytes, expires),
        // The server at hand is a 7.0.
        Built::Object(object) => digest.object(object, expires, ScoreText::Seventeen),
        Built::Empty => panic!("stock has no empty collections"),
    }
    digest
}

fn dump(value: &Built) -> Vec<u8> {
    let options = EncoderOptions::default();
    match value {
        Built::String(bytes) => dump_string(bytes, &options),
        Built::Object(object) => dump_object(object, &options).expect("version 10 has it all"),
        Built::Empty => panic!("stock has no empty collections"),
    }
}

fn request(words: &[&[u8]]) -> Request {
    words.iter().map(|word| word.to_vec()).collect()
}

fn ask(stock: &mut Stock, words: &[&[u8]]) -> Vec<u8> {
    stock.run(&[request(words)]).pop().expect("one reply")
}

fn contains(reply: &[u8], text: &str) -> bool {
    reply.windows(text.len()).any(|window| window == text.as_bytes())
}

/// What OBJECT ENCODING of the 7.0 at hand says for what is called `ours` since 7.2.
fn encoding_of_7_0(ours: &'static str, object_type: &str) -> &'static str {
    match (object_type, ours) {
        ("list", "listpack") => "quicklist",
        ("set", "listpack") => "hashtable",
        _ => ours,
    }
}

/// Compares one key with the stock server that has loaded the same file.
fn compare(stock: &mut Stock, file: &str, key: &Key) {
    let what = format!("{file}: {}", key.name.escape_ascii());
    let name = &key.name[..];
    ask(stock, &[b"SELECT", key.db.to_string().as_bytes()]);
    let expected = ask(stock, &[b"DEBUG", b"DIGEST-VALUE", name]);
    let found = digest(Digest::ZERO, &key.value, key.expires).to_string();
    assert!(contains(&expected, &found), "{what}: {found} is not {}", expected.escape_ascii());

    if let Built::Object(object) = &key.value {
        let ours = object.encoding(&Thresholds::default());
        let expected = ask(stock, &[b"OBJECT", b"ENCODING", name]);
        let ours = encoding_of_7_0(ours, object.type_name());
        assert!(contains(&expected, ours), "{what}: {ours} is not {}", expected.escape_ascii());
    }

    // Stock's payload gives our value, and ours gives stock's.
    let payload = ask(stock, &[b"DUMP", name]);
    let restored = restore(bulk(&payload), Limits::default())
        .unwrap_or_else(|error| panic!("{what}: {error:?}"));
    let without_expiry = digest(Digest::ZERO, &key.value, false);
    assert_eq!(digest(Digest::ZERO, &restored, false), without_expiry, "{what}");
    let ours = dump(&key.value);
    let reply = ask(stock, &[b"RESTORE", b"a copy", b"0", &ours, b"REPLACE"]);
    assert_eq!(reply, b"+OK\r\n", "{what}: {}", reply.escape_ascii());
    let copied = ask(stock, &[b"DEBUG", b"DIGEST-VALUE", b"a copy"]);
    assert!(contains(&copied, &without_expiry.to_string()), "{what}, restored");
    ask(stock, &[b"DEL", b"a copy"]);
}

#[test]
fn digests_encodings_and_payloads_agree_with_stock() {
    for file in ["strings.rdb", "collections.rdb", "streams.rdb", "keys.rdb", "plain.rdb"] {
        let dir = folder().display().to_string();
        let mut stock = Stock::start(&["--dir", &dir, "--dbfilename", file]);
        let keys = load(file);
        assert!(keys.len() > 2, "{file}");
        for key in &keys {
            compare(&mut stock, file, key);
        }
        let mut whole = Digest::ZERO;
        let mut db = None;
        for key in &keys {
            // Databases are chained, so their order counts; files have them in the right one.
            if db.replace(key.db) != Some(key.db) {
                whole.database(key.db);
            }
            whole.add_key(digest(Digest::of_key(&key.name), &key.value, key.expires));
        }
        let expected = ask(&mut stock, &[b"DEBUG", b"DIGEST"]);
        assert!(contains(&expected, &whole.to_string()), "{file}: {}", expected.escape_ascii());
    }
}

#[test]
fn groups_and_pending_entries_survive_a_payload() {
    let mut stock = Stock::start(&[]);
    let payload = load("streams.rdb").into_iter().find(|key| key.name == b"work").map(|key| {
        let restored = restore(&dump(&key.value), Limits::default()).expect("our own payload");
        dump(&restored)
    });
    let payload = payload.expect("the fixture has it");
    assert_eq!(ask(&mut stock, &[b"RESTORE", b"work", b"0", &payload]), b"+OK\r\n");
    let groups = ask(&mut stock, &[b"XINFO", b"STREAM", b"work", b"FULL"]);
    for expected in ["readers", "late", "alice", "bob", "idle-one"] {
        assert!(contains(&groups, expected), "{expected}: {}", groups.escape_ascii());
    }
    let pending = ask(&mut stock, &[b"XPENDING", b"work", b"readers"]);
    assert!(pending.starts_with(b"*4\r\n:3\r\n"), "{}", pending.escape_ascii());
}

/// A collection of each type that no packed form holds, a list larger than what the writer holds back among them.
fn large_objects(random: &mut fastrand::Rng) -> Vec<Object> {
    let mut text = |number: u32| {
        let mut text = number.to_string().into_bytes();
        text.extend((0..random.usize(..30)).map(|_| random.u8(..)));
        text
    };
    let limits = Limits::default();
    let mut list = List::new();
    (0..100_000).for_each(|number| list.push_back(&text(number), &limits));
    let (mut set, mut hash, mut zset) = (Set::new(), Hash::new(), Zset::new());
    let mut stream = Stream::default();
    for number in 0..3000 {
        set.insert(&text(number), &limits);
        hash.set(&text(number), &text(number), &limits);
        zset.insert(&text(number), f64::from(number) * 0.3, &limits);
        let id = StreamId::new(u64::from(number / 7), u64::from(number % 7) + 1);
        let field = if number % 5 == 0 { text(number) } else { b"shared".to_vec() };
        let fields = [field, text(number), b"n".to_vec(), text(number)];
        stream.entries.push(id, fields.iter().map(Vec::as_slice), &limits).expect("ids ascend");
    }
    let stream = Object::Stream(Arc::new(stream));
    vec![Object::List(list), Object::Set(set), Object::Hash(hash), Object::Zset(zset), stream]
}

#[test]
fn large_collections_are_restored_by_stock_and_read_back() {
    let mut stock = Stock::start(&[]);
    let mut random = fastrand::Rng::with_seed(9);
    for object in large_objects(&mut random) {
        let what = object.type_name();
        let built = Built::Object(object);
        let expected = digest(Digest::ZERO, &built, false);
        let reply = ask(&mut stock, &[b"RESTORE", b"k", b"0", &dump(&built), b"REPLACE"]);
        assert_eq!(reply, b"+OK\r\n", "{what}: {}", reply.escape_ascii());
        let found = ask(&mut stock, &[b"DEBUG", b"DIGEST-VALUE", b"k"]);
        assert!(contains(&found, &expected.to_string()), "{what}");
        let payload = ask(&mut stock, &[b"DUMP", b"k"]);
        let restored = restore(bulk(&payload), Limits::default())
            .unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_eq!(digest(Digest::ZERO, &restored, false), expected, "{what}");
    }
}
