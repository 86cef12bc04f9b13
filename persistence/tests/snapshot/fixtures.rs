//! The files of a stock server say what the script that made them put in.

use std::collections::BTreeMap;
use std::io::Read;

use highwater_persistence::snapshot::{
    Checksum, EncoderOptions, Event, OwnedEvent, SnapshotReader, StreamId, WriterOptions,
};

use super::{FIXTURES, assert_same_content, events, events_of, fixture, rewrite};

/// The events of each key's value, without its end.
fn values(name: &str) -> BTreeMap<String, Vec<OwnedEvent>> {
    let mut values: BTreeMap<String, Vec<OwnedEvent>> = BTreeMap::new();
    let mut key = None;
    for event in events(&fixture(name)).unwrap() {
        match event {
            OwnedEvent::Key { key: name, .. } => {
                key = Some(name.escape_ascii().to_string());
                values.insert(key.clone().unwrap(), Vec::new());
            }
            OwnedEvent::ValueEnd => key = None,
            event => {
                if let Some(key) = &key {
                    values.get_mut(key).unwrap().push(event);
                }
            }
        }
    }
    values
}

#[test]
fn strings_read_as_they_were_set() {
    let values = values("strings.rdb");
    let mut integers = 0;
    for (key, value) in &values {
        let [OwnedEvent::String(value)] = &value[..] else { panic!("{key}: {value:?}") };
        if let Some(number) = key.strip_prefix("int:") {
            assert_eq!(value, number.as_bytes());
            integers += 1;
        }
        if let Some(length) = key.strip_prefix("letters:") {
            assert_eq!(value.len().to_string(), length);
            assert!(value.iter().all(u8::is_ascii_lowercase));
        }
    }
    assert_eq!(integers, 14);
    assert_eq!(values["repeated"], [OwnedEvent::String(b"abc".repeat(3000))]);
    assert_eq!(values["one-letter"], [OwnedEvent::String(vec![b'z'; 9000])]);
    assert_eq!(values["empty"], [OwnedEvent::String(Vec::new())]);
    assert_eq!(values["not-an-int-2"], [OwnedEvent::String(b"-0".to_vec())]);
}

#[test]
fn collections_have_their_elements() {
    let values = values("collections.rdb");
    let count = |key: &str| values[key].len() - 1;
    assert_eq!(count("list:nodes"), 6000);
    for (index, event) in values["list:nodes"][1..].iter().enumerate() {
        assert_eq!(*event, OwnedEvent::ListItem((index + 1000).to_string().into_bytes()));
    }
    assert_eq!(count("list:mixed"), 23);
    assert_eq!(values["list:mixed"][7], OwnedEvent::ListItem(b"127".to_vec()));
    assert_eq!((count("set:int-limit"), count("set:int-over")), (512, 513));
    assert_eq!((count("hash:limit"), count("hash:over")), (512, 513));
    assert_eq!((count("zset:limit"), count("zset:over")), (128, 129));
    let score = |wanted: &str| {
        values["zset:small"].iter().find_map(|event| match event {
            OwnedEvent::ZsetMember { member, score } if member == wanted.as_bytes() => Some(*score),
            _ => None,
        })
    };
    assert_eq!(score("b"), Some(2.5));
    assert_eq!((score("c"), score("d")), (Some(f64::NEG_INFINITY), Some(f64::INFINITY)));
    assert_eq!((score("e"), score("f"), score("g")), (Some(0.1), Some(1e300), Some(3.0)));
}

#[test]
fn streams_have_their_live_entries_numbers_and_groups() {
    let values = values("streams.rdb");
    let entries = |key: &str| -> Vec<StreamId> {
        let ids = values[key].iter().filter_map(|event| match event {
            OwnedEvent::StreamEntry { id, .. } => Some(*id),
            _ => None,
        });
        ids.collect()
    };
    let many = entries("many");
    assert_eq!(many.len(), 246);
    assert_eq!((many[0], many[245]), (StreamId::new(2, 1), StreamId::new(249, 1)));
    let differing = [(1, 1), (3, 0), (3, 5), (3, 6)].map(|(ms, seq)| StreamId::new(ms, seq));
    assert_eq!(entries("differing"), differing);
    let meta = values["many"].iter().find_map(|event| match event {
        OwnedEvent::StreamMeta(meta) => Some(*meta),
        _ => None,
    });
    let meta = meta.unwrap();
    assert_eq!((meta.length, meta.entries_added), (246, 250));
    assert_eq!(meta.max_deleted_id, StreamId::new(250, 1));
    let names = values["work"].iter().filter_map(|event| match event.borrow() {
        Event::StreamGroup { name, .. } | Event::StreamConsumer { name, .. } => {
            Some(String::from_utf8_lossy(name).into_owned())
        }
        _ => None,
    });
    assert_eq!(names.collect::<Vec<_>>(), ["late", "readers", "alice", "bob", "idle-one"]);
    let pending = values["work"]
        .iter()
        .filter(|event| matches!(event, OwnedEvent::StreamPending { deliveries: 1, .. }));
    assert_eq!(pending.count(), 3);
}

#[test]
fn databases_expiries_and_use_are_told() {
    let events = events(&fixture("keys.rdb")).unwrap();
    let dbs = events.iter().filter_map(|event| match event {
        OwnedEvent::SelectDb(db) => Some(*db),
        _ => None,
    });
    assert_eq!(dbs.collect::<Vec<_>>(), [0, 3, 15]);
    let expiring = events.iter().find_map(|event| match event {
        OwnedEvent::Key { key, expires_ms, freq, .. } if key == b"expiring" => {
            Some((*expires_ms, freq.is_some()))
        }
        _ => None,
    });
    assert_eq!(expiring, Some((Some(4_102_444_800_123), true)));
    assert!(events.iter().any(|event| matches!(event, OwnedEvent::Function(_))));
    assert_eq!(events.last(), Some(&OwnedEvent::Eof { checksum: Checksum::Verified }));
    let idle = super::events(&fixture("idle.rdb")).unwrap();
    assert!(idle.iter().any(|event| matches!(event, OwnedEvent::Key { idle_s: Some(_), .. })));
    let plain = super::events(&fixture("plain.rdb")).unwrap();
    assert_eq!(plain.last(), Some(&OwnedEvent::Eof { checksum: Checksum::Disabled }));
}

/// A source that hands out one byte, three bytes, one byte ...
struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, target: &mut [u8]) -> std::io::Result<usize> {
        self.1 = 4 - self.1;
        let (given, rest) = self.0.split_at(self.1.min(self.0.len()).min(target.len()));
        target[..given.len()].copy_from_slice(given);
        self.0 = rest;
        Ok(given.len())
    }
}

#[test]
fn events_do_not_depend_on_how_the_bytes_arrive() {
    for name in FIXTURES {
        let file = fixture(name);
        let trickled = events_of(SnapshotReader::new(Trickle(&file, 1))).unwrap();
        assert_eq!(trickled, events(&file).unwrap(), "{name}");
    }
}

#[test]
fn what_is_written_again_reads_as_the_same() {
    for name in FIXTURES {
        let file = fixture(name);
        for version in [10, 11, 12] {
            for (compress, checksum) in [(true, true), (false, false)] {
                let encoder = EncoderOptions { version, compress, ..EncoderOptions::default() };
                let written = rewrite(&file, &WriterOptions { encoder, checksum }).unwrap();
                assert_same_content(&written, &file, &format!("{name}, version {version}"));
            }
        }
    }
}

#[test]
fn bytes_behind_the_snapshot_are_left_and_its_length_is_told() {
    let mut file = fixture("keys.rdb");
    let length = file.len() as u64;
    file.extend_from_slice(b"*1\r\n$4\r\nPING\r\n");
    let mut reader = SnapshotReader::new(&file[..]);
    while reader.next().unwrap().is_some() {}
    assert_eq!(reader.offset(), length);
}
