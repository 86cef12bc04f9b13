//! Random values: whatever is written reads back the same, in every version, packed or not, compressed or not.

use fastrand::Rng;
use highwater_persistence::snapshot::{
    EncoderOptions, Event, KeyMeta, OwnedEvent, SnapshotWriter, StreamId, StreamMeta, Thresholds,
    ValueEncoder, WriterOptions, decode_dump, encode_dump,
};

use super::{assert_same_content, events};

/// Bytes of a kind that some encoding treats on its own: integers, short and long text, repetitions, any bytes.
fn bytes(random: &mut Rng) -> Vec<u8> {
    match random.u8(..8) {
        0 => random.i8(..).to_string().into_bytes(),
        1 => random.i16(..).to_string().into_bytes(),
        2 => random.i64(..).to_string().into_bytes(),
        3 => vec![random.u8(..); random.usize(..300)],
        4 => (0..random.usize(..12)).map(|_| random.u8(..)).collect(),
        5 => b"-0 007 +1 1e3".split(|byte| *byte == b' ').nth(random.usize(..4)).unwrap().to_vec(),
        6 => (0..random.usize(60..70)).map(|_| random.u8(b'a'..b'd')).collect(),
        _ => (0..random.usize(..5)).map(|_| random.lowercase() as u8).collect(),
    }
}

/// Different byte strings.
fn distinct(random: &mut Rng, count: usize) -> Vec<Vec<u8>> {
    let only_integers = random.bool();
    let mut found = std::collections::HashSet::new();
    while found.len() < count {
        found.insert(if only_integers {
            random.i32(..).to_string().into_bytes()
        } else {
            bytes(random)
        });
    }
    found.into_iter().collect()
}

/// A value as events, without its end.
fn value(random: &mut Rng) -> Vec<OwnedEvent> {
    let count = [1, 3, 20, 127, 128, 129, 600][random.usize(..7)];
    let len = random.bool().then_some(count as u64);
    let mut events = Vec::new();
    match random.u8(..6) {
        0 => events.push(OwnedEvent::String(bytes(random))),
        1 => {
            events.push(OwnedEvent::ListBegin { len });
            events.extend((0..count).map(|_| OwnedEvent::ListItem(bytes(random))));
        }
        2 => {
            events.push(OwnedEvent::SetBegin { len });
            events.extend(distinct(random, count).into_iter().map(OwnedEvent::SetMember));
        }
        3 => {
            events.push(OwnedEvent::HashBegin { len });
            events.extend(distinct(random, count).into_iter().map(|field| OwnedEvent::HashField {
                field,
                value: bytes(random),
                expires_ms: None,
            }));
        }
        4 => {
            events.push(OwnedEvent::ZsetBegin { len });
            events.extend(distinct(random, count).into_iter().map(|member| {
                let scores = [0.5, -3.0, 1e17, f64::INFINITY, random.f64(), random.f64() * 1e300];
                OwnedEvent::ZsetMember { member, score: scores[random.usize(..6)] }
            }));
        }
        _ => stream(random, count, &mut events),
    }
    events
}

fn stream(random: &mut Rng, count: usize, events: &mut Vec<OwnedEvent>) {
    events.push(OwnedEvent::StreamBegin);
    let mut id = StreamId::new(random.u64(..5), random.u64(1..));
    let first_id = id;
    let mut ids = Vec::new();
    for _ in 0..count {
        let fields = random.u64(..4);
        events.push(OwnedEvent::StreamEntry { id, fields });
        for field in 0..fields {
            // Often the same names, so that entries share them.
            let field = if random.bool() { field.to_string().into_bytes() } else { bytes(random) };
            events.push(OwnedEvent::StreamField { field, value: bytes(random) });
        }
        ids.push(id);
        // The sequence may fall when the milliseconds grow.
        id = StreamId::new(id.ms + random.u64(1..1000), random.u64(..));
    }
    let meta = StreamMeta {
        length: count as u64,
        last_id: id,
        first_id,
        max_deleted_id: StreamId::new(0, random.u64(..9)),
        entries_added: count as u64 + random.u64(..100),
    };
    events.push(OwnedEvent::StreamMeta(meta));
    for group in 0..random.u8(..3) {
        let name = vec![b'g', group];
        let entries_read = random.bool().then(|| random.u64(..1 << 40));
        events.push(OwnedEvent::StreamGroup { name, last_id: first_id, entries_read });
        let pending = &ids[..random.usize(..=ids.len())];
        for &id in pending {
            let (delivered_ms, deliveries) = (random.i64(..), random.u64(..));
            events.push(OwnedEvent::StreamPending { id, delivered_ms, deliveries });
        }
        let owned = random.usize(..=pending.len());
        for (name, own) in [(b"a", &pending[..owned]), (b"b", &pending[owned..])] {
            let seen_ms = random.i64(0..);
            // What formats without a place for it are read as.
            let (name, active_ms) = (name.to_vec(), Some(seen_ms));
            events.push(OwnedEvent::StreamConsumer { name, seen_ms, active_ms });
            events.extend(own.iter().map(|&id| OwnedEvent::StreamConsumerPending { id }));
        }
    }
}

/// Settings of all kinds: the usual, tiny ones, and ones that pack everything.
fn thresholds(random: &mut Rng) -> Thresholds {
    let usual = Thresholds::default();
    match random.u8(..3) {
        0 => usual,
        1 => Thresholds {
            hash_entries_max: 0,
            set_intset_entries_max: 2,
            set_entries_max: 0,
            zset_entries_max: 1,
            list_node_size: 1,
            stream_node_entries_max: 1,
            ..usual
        },
        _ => Thresholds {
            hash_entries_max: 100_000,
            hash_value_bytes_max: 1000,
            set_entries_max: 100_000,
            set_value_bytes_max: 1000,
            zset_entries_max: 100_000,
            zset_value_bytes_max: 1000,
            list_node_size: -5,
            stream_node_bytes_max: 0,
            stream_node_entries_max: 0,
            ..usual
        },
    }
}

fn options(random: &mut Rng) -> EncoderOptions {
    EncoderOptions {
        version: random.u32(10..=12),
        compress: random.bool(),
        thresholds: thresholds(random),
        ..EncoderOptions::default()
    }
}

fn write(values: &[Vec<OwnedEvent>], encoder: EncoderOptions, as_records: bool) -> Vec<u8> {
    let mut values_alone = ValueEncoder::new(&encoder);
    let mut writer = SnapshotWriter::new(Vec::new(), &WriterOptions { encoder, checksum: true });
    writer.select_db(0).unwrap();
    for (number, value) in values.iter().enumerate() {
        let key = format!("key {number}");
        let meta = KeyMeta { expires_ms: Some(number as i64 + 1), idle_s: None, freq: Some(7) };
        let events = value.iter().map(OwnedEvent::borrow).chain([Event::ValueEnd]);
        if as_records {
            events.for_each(|event| values_alone.put(event).unwrap());
            let record = values_alone.take_record();
            writer.record(key.as_bytes(), meta, &record).unwrap();
        } else {
            writer.key(key.as_bytes(), meta).unwrap();
            events.for_each(|event| writer.value(event).unwrap());
        }
    }
    writer.finish().unwrap()
}

#[test]
fn random_values_read_back_whatever_the_options() {
    let mut random = Rng::with_seed(1);
    for _ in 0..12 {
        let values: Vec<_> = (0..10).map(|_| value(&mut random)).collect();
        let plain = EncoderOptions {
            version: 10,
            compress: false,
            thresholds: Thresholds { list_node_size: 1, ..Thresholds::default() },
            ..EncoderOptions::default()
        };
        let expected = write(&values, plain, false);
        // The first file against the events themselves: order is kept by lists and streams.
        let mut read = events(&expected).unwrap().into_iter().skip(2);
        for value in &values {
            let found: Vec<_> =
                read.by_ref().skip(1).take_while(|event| *event != OwnedEvent::ValueEnd).collect();
            let ordered = matches!(
                value[0],
                OwnedEvent::String(_) | OwnedEvent::ListBegin { .. } | OwnedEvent::StreamBegin
            );
            assert_eq!(found.len(), value.len());
            if ordered {
                assert_eq!(found[1..], value[1..]);
            }
        }
        for _ in 0..4 {
            let options = options(&mut random);
            let what = format!("{options:?}");
            let streamed = write(&values, options.clone(), false);
            assert_eq!(streamed, write(&values, options, true), "records say the same: {what}");
            assert_same_content(&streamed, &expected, &what);
        }
    }
}

#[test]
fn random_values_survive_a_payload_and_its_damage() {
    let mut random = Rng::with_seed(2);
    for _ in 0..150 {
        let value = value(&mut random);
        let options = options(&mut random);
        let events = || value.iter().map(OwnedEvent::borrow).chain([Event::ValueEnd]);
        let payload = encode_dump(&options, events()).unwrap();
        let mut count = 0;
        decode_dump(&payload, |_| {
            count += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(count, value.len() + 1);
        for _ in 0..20 {
            let mut content = payload[..payload.len() - 10].to_vec();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..content.len());
                content[at] = random.u8(..);
            }
            let sealed = highwater_persistence::snapshot::seal_dump(content, options.version);
            let _no_panic = decode_dump(&sealed, |_| Ok(()));
        }
    }
}

#[test]
fn elements_that_do_not_fit_what_was_said_are_refused() {
    let item = || Event::SetMember(b"m");
    let many: Vec<_> = (0..1000).map(|number: u32| number.to_string().into_bytes()).collect();
    let mut cases: Vec<Vec<Event<'_>>> = vec![
        vec![Event::SetBegin { len: Some(2) }, item(), Event::ValueEnd],
        vec![item()],
        vec![Event::ValueEnd],
        vec![Event::ListBegin { len: None }, item()],
        vec![Event::StreamBegin, Event::ValueEnd],
        vec![Event::String(b"a"), Event::String(b"b")],
    ];
    let mut too_many = vec![Event::SetBegin { len: Some(900) }];
    too_many.extend(many.iter().map(|member| Event::SetMember(member)));
    cases.push(too_many);
    for case in cases {
        let mut encoder = ValueEncoder::new(&EncoderOptions::default());
        let refused = case.iter().any(|event| encoder.put(*event).is_err());
        assert!(refused, "{case:?}");
    }
}

/// A hash of `count` fields, of which only the one at `timed` expires.
fn timed_hash(count: usize, timed: usize) -> Vec<OwnedEvent> {
    let mut events = vec![OwnedEvent::HashBegin { len: Some(count as u64) }];
    events.extend((0..count).map(|at| OwnedEvent::HashField {
        field: at.to_string().into_bytes(),
        value: b"v".to_vec(),
        expires_ms: (at == timed).then_some(1_700_000_000_000),
    }));
    events.push(OwnedEvent::ValueEnd);
    events
}

#[test]
fn a_field_that_expires_is_written_by_any_version_if_it_comes_early() {
    for (count, timed, version, expected) in [
        (2, 1, 10, true),
        (2, 1, 12, true),
        (2000, 0, 10, true),
        (2000, 0, 11, true),
        (2000, 1999, 11, false),
        (2000, 1999, 12, true),
    ] {
        let events = timed_hash(count, timed);
        let options = EncoderOptions { version, ..EncoderOptions::default() };
        let payload = encode_dump(&options, events.iter().map(OwnedEvent::borrow));
        assert_eq!(payload.is_ok(), expected, "{count} {timed} {version}");
        if let Ok(payload) = payload {
            let mut read = Vec::new();
            decode_dump(&payload, |event| {
                read.push(event.to_owned());
                Ok(())
            })
            .unwrap();
            assert_eq!(read, events);
        }
        let drops = EncoderOptions { drop_field_expiry: true, ..options };
        assert!(encode_dump(&drops, events.iter().map(OwnedEvent::borrow)).is_ok());
    }
}
