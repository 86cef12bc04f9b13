use std::collections::BTreeMap;

use highwater_persistence::snapshot::StreamId;

use super::*;
use crate::types::Limits;
use crate::types::listpack::Listpack;

type Items = Vec<Vec<u8>>;

/// Entries by id, as plain as can be.
#[derive(Default)]
struct Model {
    entries: BTreeMap<StreamId, Items>,
    last_id: StreamId,
    max_deleted_id: StreamId,
    added: u64,
}

fn items(entry: &Entry<'_>) -> Items {
    let both = entry.fields().flat_map(|(field, value)| [field, value]);
    both.map(|item| item.to_bytes().into_owned()).collect()
}

fn listed<'a>(range: impl Iterator<Item = Entry<'a>>) -> Vec<(StreamId, Items)> {
    range.map(|entry| (entry.id, items(&entry))).collect()
}

fn same(stream: &Stream, model: &Model) {
    let expected: Vec<_> = model.entries.iter().map(|(id, items)| (*id, items.clone())).collect();
    assert_eq!(listed(stream.entries.iter()), expected);
    let meta = stream.meta();
    assert_eq!(meta.length, model.entries.len() as u64);
    assert_eq!(meta.last_id, model.last_id);
    assert_eq!(meta.max_deleted_id, model.max_deleted_id);
    assert_eq!(meta.entries_added, model.added);
    let first = model.entries.first_key_value().map_or(StreamId::ZERO, |(id, _)| *id);
    assert_eq!(meta.first_id, first);
    let last = stream.entries.last().map(|entry| entry.id);
    assert_eq!(last, model.entries.last_key_value().map(|(id, _)| *id));
}

fn some_id(random: &mut fastrand::Rng, model: &Model) -> StreamId {
    match random.u8(..10) {
        0 => StreamId::ZERO,
        1 => MAX_ID,
        2 => StreamId::new(random.u64(..=model.last_id.ms), random.u64(..4)),
        _ if model.entries.is_empty() => model.last_id,
        _ => {
            let at = random.usize(..model.entries.len());
            *model.entries.keys().nth(at).expect("it was counted")
        }
    }
}

fn some_fields(random: &mut fastrand::Rng) -> Items {
    let mut word = |choices: &[&str]| choices[random.usize(..choices.len())].as_bytes().to_vec();
    let shape = word(&["same", "same", "same", "other", "more"]);
    match &shape[..] {
        b"same" => vec![
            b"f".to_vec(),
            word(&["1", "-70000", "text", ""]),
            b"17".to_vec(),
            word(&["x", "y"]),
        ],
        b"other" => vec![word(&["f", "017"]), word(&["1", "b"])],
        _ => (0..20)
            .map(|_| {
                word(&[
                    "",
                    "a",
                    "9999999999",
                    "long enough to need two bytes of length, or so it seems",
                ])
            })
            .collect(),
    }
}

fn add(random: &mut fastrand::Rng, stream: &mut Stream, model: &mut Model, limits: &Limits) {
    let fields = some_fields(random);
    let last = model.last_id;
    let id = match random.u8(..4) {
        0 => StreamId::new(last.ms + random.u64(1..5), 0),
        1 => last,
        _ => StreamId::new(last.ms, last.seq + random.u64(1..3)),
    };
    let pushed = stream.entries.push(id, fields.iter().map(Vec::as_slice), limits);
    if id <= last {
        return assert_eq!(pushed, Err(Refused::IdNotAbove));
    }
    assert_eq!(pushed, Ok(()));
    model.entries.insert(id, fields);
    model.last_id = id;
    model.added += 1;
}

fn trim(random: &mut fastrand::Rng, stream: &mut Stream, model: &mut Model) {
    let keep = if random.bool() {
        Keep::Last(random.u64(..model.entries.len() as u64 + 5))
    } else {
        Keep::From(some_id(random, model))
    };
    let whole_nodes = random.bool();
    let entries_max = if whole_nodes { random.u64(..20) } else { 0 };
    let trim = Trim { keep, whole_nodes, entries_max };
    let expected = stream.entries.trims(&trim);
    let removed = stream.entries.trim(&trim);
    assert!(expected || removed == 0, "{trim:?}");
    assert!(entries_max == 0 || removed <= entries_max);
    let goes = |model: &Model, id: StreamId| match keep {
        Keep::Last(count) => model.entries.len() as u64 > count,
        Keep::From(from) => id < from,
    };
    let mut left = removed;
    while let Some(first) = model.entries.first_entry() {
        let id = *first.key();
        if left == 0 {
            assert!(whole_nodes || !goes(model, id), "{trim:?} ends at {id}");
            break;
        }
        first.remove();
        left -= 1;
    }
    assert_eq!(left, 0);
}

#[test]
fn random_changes_agree_with_a_map() {
    let mut random = fastrand::Rng::with_seed(8);
    let tight =
        Limits { stream_node_bytes_max: 150, stream_node_entries_max: 5, ..Limits::default() };
    let free = Limits { stream_node_bytes_max: 0, stream_node_entries_max: 0, ..Limits::default() };
    for limits in [tight, free, Limits::default()] {
        let (mut stream, mut model) = (Stream::default(), Model::default());
        let mut held = Vec::new();
        for round in 0..6000 {
            match random.u32(..100) {
                0..60 => add(&mut random, &mut stream, &mut model, &limits),
                60..90 => {
                    let id = some_id(&mut random, &model);
                    let removed = model.entries.remove(&id).is_some();
                    assert_eq!(stream.entries.remove(id), removed);
                    if removed {
                        model.max_deleted_id = model.max_deleted_id.max(id);
                    }
                }
                90..92 => trim(&mut random, &mut stream, &mut model),
                _ => {
                    let (one, two) = (some_id(&mut random, &model), some_id(&mut random, &model));
                    let (start, end) = (one.min(two), one.max(two));
                    let mut expected: Vec<_> = model
                        .entries
                        .range(start..=end)
                        .map(|(id, items)| (*id, items.clone()))
                        .collect();
                    assert_eq!(listed(stream.entries.range(start, end)), expected);
                    expected.reverse();
                    assert_eq!(listed(stream.entries.range_back(start, end)), expected);
                    assert_eq!(stream.entries.get(one).is_some(), model.entries.contains_key(&one));
                    assert_eq!(
                        listed(stream.entries.range(end, start)).is_empty(),
                        start != end || expected.is_empty()
                    );
                }
            }
            if round % 10 == 0 {
                stream.check_invariants();
                same(&stream, &model);
            }
            if round % 1000 == 0 {
                held.push((stream.clone(), listed(stream.entries.iter())));
            }
        }
        for (stream, expected) in &held {
            assert_eq!(&listed(stream.entries.iter()), expected);
            stream.check_invariants();
        }
    }
}

#[test]
fn random_deliveries_agree_with_a_map() {
    let mut random = fastrand::Rng::with_seed(3);
    let mut group = Group::default();
    let mut pending: BTreeMap<StreamId, (String, u64)> = BTreeMap::new();
    let mut consumers: BTreeMap<String, ()> = BTreeMap::new();
    for round in 0..20_000_u64 {
        let name = format!("c{}", random.u8(..5));
        let id = StreamId::new(random.u64(..300), 0);
        match random.u32(..100) {
            0..60 => {
                let number = match group.consumer_number(name.as_bytes()) {
                    Some(number) => number,
                    None => group.create_consumer(name.as_bytes(), 5).expect("it is not there"),
                };
                assert_eq!(group.create_consumer(name.as_bytes(), 5), None);
                consumers.insert(name.clone(), ());
                group.deliver(id, Pending { delivered_ms: 1, deliveries: round, consumer: number });
                pending.insert(id, (name, round));
            }
            60..98 => assert_eq!(group.acknowledge(id), pending.remove(&id).is_some()),
            _ => {
                let before = pending.len();
                pending.retain(|_, (owner, _)| *owner != name);
                let expected = consumers.remove(&name).map(|()| before - pending.len());
                assert_eq!(group.remove_consumer(name.as_bytes()), expected);
            }
        }
        if round % 50 == 0 {
            group.check_invariants();
            let found = group.all_pending().map(|(id, pending)| {
                let owner = group.consumer(pending.consumer).name();
                (id, (String::from_utf8_lossy(owner).into_owned(), pending.deliveries))
            });
            assert!(found.eq(pending.clone()));
            assert!(
                group
                    .consumers()
                    .map(|one| String::from_utf8_lossy(one.name()).into_owned())
                    .eq(consumers.keys().cloned())
            );
        }
    }
}

#[test]
fn what_a_clone_holds_stays() {
    let mut stream = Stream::default();
    let limits = Limits::default();
    for number in 1..1000 {
        stream
            .entries
            .push(StreamId::new(number, 0), [&b"f"[..], b"v"].into_iter(), &limits)
            .unwrap();
    }
    assert!(stream.create_group(b"g", Group::new(StreamId::ZERO, None)));
    let before = stream.clone();
    stream.entries.remove(StreamId::new(7, 0));
    stream.remove_group(b"g");
    assert_eq!(before.entries.len(), 999);
    assert!(before.entries.get(StreamId::new(7, 0)).is_some());
    assert!(before.group(b"g").is_some());
}

/// A stock server takes 13.4 bytes for such an entry, and 150 for one that is pending.
#[test]
fn small_entries_take_no_more_memory_than_in_stock() {
    let (mut stream, limits) = (Stream::default(), Limits::default());
    let id = |number: u64| StreamId::new(1_700_000_000_000 + number * 37, 0);
    for number in 0..100_000 {
        stream.entries.push(id(number), [&b"f"[..], b"v"].into_iter(), &limits).unwrap();
    }
    assert!(stream.memory_usage() < 1_338_000, "{}", stream.memory_usage());
    let mut group = Group::default();
    let names = [&b"one"[..], b"two"];
    let consumers = names.map(|name| group.create_consumer(name, 0).unwrap());
    for number in 0..100_000 {
        let consumer = consumers[usize::from(number / 100 % 2 == 1)];
        group.deliver(id(number), Pending { delivered_ms: 1, deliveries: 1, consumer });
    }
    assert!(group.memory_usage() < 6_000_000, "{}", group.memory_usage());
}

/// A node that others wrote in a way of their own is written anew, with its names.
#[test]
fn nodes_of_others_become_nodes_as_they_are_written_here() {
    let limits = Limits { stream_node_bytes_max: 4096, ..Limits::default() };
    let endless = Limits { stream_node_bytes_max: 0, stream_node_entries_max: 0, ..limits };
    let name = [b'n'; 20_000];
    let mut entries = Entries::default();
    for seq in 1..=500 {
        let own = [b"own".as_slice(), b"v", b"b", b"c"];
        let fields = if seq % 7 == 1 { &own[..] } else { &[&name[..], b"v"] };
        let fields = if seq == 1 { &[&name[..], b"v"] } else { fields };
        entries.push(StreamId::new(1, seq), fields.iter().copied(), &endless).unwrap();
    }
    assert!(entries.remove(StreamId::new(1, 1)) && entries.remove(StreamId::new(1, 90)));
    let shown = |entries: &Entries| {
        let fields =
            |entry: Entry<'_>| format!("{} {:?}", entry.id, entry.fields().collect::<Vec<_>>());
        entries.iter().map(fields).collect::<Vec<_>>()
    };
    let (base, block) = entries.blocks().next().unwrap();
    let sound = Listpack::from_bytes(block.to_vec()).unwrap();
    // A count of deleted entries that is wrong.
    let mut odd = sound.clone();
    odd.replace_integer(odd.at(1).unwrap(), 77);
    for (pack, is_kept) in [(sound, true), (odd, false)] {
        let mut taken = Entries::default();
        taken.push_node(base, pack).unwrap();
        taken.check_invariants();
        assert_eq!(taken.blocks().next().unwrap().1 == block, is_kept);
        assert_eq!(shown(&taken), shown(&entries));
        assert!(taken.memory_usage() < 60_000, "{}", taken.memory_usage());
        let again = Listpack::from_bytes(block.to_vec()).unwrap();
        assert_eq!(taken.push_node(base, again), Err(Refused::IdNotAbove));
    }
}
