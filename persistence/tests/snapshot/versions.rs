//! Files of versions that no server at hand writes, put together byte by byte.

use highwater_persistence::checksum::snapshot_crc;
use highwater_persistence::snapshot::{
    Checksum, OwnedEvent, SnapshotError, StreamId, StreamMeta, Vendor,
};

use super::events;

/// A file: magic, then `body`, then the end with a footer where the version has one.
fn file(magic: &str, body: &[&[u8]]) -> Vec<u8> {
    let mut file = [magic.as_bytes(), &body.concat(), b"\xff"].concat();
    if magic > "REDIS0004" {
        let crc = snapshot_crc(&file);
        file.extend_from_slice(&crc.to_le_bytes());
    }
    file
}

/// The events of the value of the only key of a file: `code` and `payload`, under the key `k`.
fn value(magic: &str, code: u8, payload: &[&[u8]]) -> Result<Vec<OwnedEvent>, SnapshotError> {
    let mut events = events(&file(magic, &[&[code], b"\x01k", &payload.concat()]))?;
    assert!(matches!(events.pop(), Some(OwnedEvent::Eof { .. })));
    assert_eq!(events.pop(), Some(OwnedEvent::ValueEnd));
    events.drain(..2);
    Ok(events)
}

/// A string: its length in one byte or five, and its bytes.
fn string(bytes: &[u8]) -> Vec<u8> {
    let mut encoded = match u8::try_from(bytes.len()) {
        Ok(len) if len < 64 => vec![len],
        _ => {
            let len = u32::try_from(bytes.len()).unwrap();
            [&[0x80][..], &len.to_be_bytes()].concat()
        }
    };
    encoded.extend_from_slice(bytes);
    encoded
}

/// A ziplist of strings shorter than 64 bytes.
fn ziplist(items: &[&[u8]]) -> Vec<u8> {
    let (mut body, mut previous, mut tail) = (Vec::new(), 0, 10);
    for item in items {
        tail = 10 + body.len();
        body.extend_from_slice(&[previous, u8::try_from(item.len()).unwrap()]);
        body.extend_from_slice(item);
        previous = u8::try_from(item.len() + 2).unwrap();
    }
    let number = |value: usize| u32::try_from(value).unwrap().to_le_bytes();
    let count = u16::try_from(items.len()).unwrap().to_le_bytes();
    [&number(body.len() + 11)[..], &number(tail), &count, &body, b"\xff"].concat()
}

/// A listpack of entries that are given whole but for the backward length.
fn listpack(entries: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for entry in entries {
        body.extend_from_slice(entry);
        body.push(u8::try_from(entry.len()).unwrap());
    }
    let total = u32::try_from(body.len() + 7).unwrap().to_le_bytes();
    let count = u16::try_from(entries.len()).unwrap().to_le_bytes();
    [&total[..], &count, &body, b"\xff"].concat()
}

fn item(bytes: &[u8]) -> OwnedEvent {
    OwnedEvent::ListItem(bytes.to_vec())
}

fn field(field: &[u8], value: &[u8], expires_ms: Option<u64>) -> OwnedEvent {
    OwnedEvent::HashField { field: field.to_vec(), value: value.to_vec(), expires_ms }
}

fn member(member: &[u8], score: f64) -> OwnedEvent {
    OwnedEvent::ZsetMember { member: member.to_vec(), score }
}

#[test]
fn version_1_has_seconds_no_footer_and_plain_values() {
    let body: &[&[u8]] = &[
        b"\xfe\x00",
        b"\xfd\xff\xff\xff\x7f\x00\x01s\x05value",
        b"\x01\x01l\x02\x01a\xc0\x05",
        b"\x02\x01t\x01\x01m",
        b"\x03\x01z\x03\x01a\x031.5\x01b\xfe\x01c\xff",
        b"\x04\x01h\x01\x01f\x01v",
    ];
    let events = events(&file("REDIS0001", body)).unwrap();
    assert_eq!(events[0], OwnedEvent::Header { version: 1, vendor: Vendor::Redis });
    let key = OwnedEvent::Key {
        key: b"s".to_vec(),
        expires_ms: Some(2_147_483_647_000),
        idle_s: None,
        freq: None,
    };
    assert_eq!(events[2], key);
    // The expiry belongs to one key only.
    assert!(matches!(events[5], OwnedEvent::Key { expires_ms: None, .. }));
    assert!(events.contains(&item(b"5")));
    assert!(events.contains(&member(b"a", 1.5)));
    assert!(events.contains(&member(b"b", f64::INFINITY)));
    assert!(events.contains(&member(b"c", f64::NEG_INFINITY)));
    assert!(events.contains(&field(b"f", b"v", None)));
    assert_eq!(events.last(), Some(&OwnedEvent::Eof { checksum: Checksum::Absent }));
}

#[test]
fn version_2_has_zipmaps_ziplists_and_intsets() {
    let zipmap = b"\x02\x01f\x01\x00v\x01g\x02\x03wwXXX\xff";
    let hash = value("REDIS0002", 9, &[&string(zipmap)]).unwrap();
    assert_eq!(hash[1..], [field(b"f", b"v", None), field(b"g", b"ww", None)]);
    let list = value("REDIS0002", 10, &[&string(&ziplist(&[b"a", b"", b"ccc"]))]).unwrap();
    assert_eq!(list[1..], [item(b"a"), item(b""), item(b"ccc")]);
    let set = value("REDIS0002", 11, &[b"\x0c\x02\0\0\0\x02\0\0\0\xff\xff\x07\0"]).unwrap();
    let members = [b"-1".to_vec(), b"7".to_vec()].map(OwnedEvent::SetMember);
    assert_eq!(set[1..], members);
    let zset = value("REDIS0002", 12, &[&string(&ziplist(&[b"a", b"1.5", b"b", b"inf"]))]).unwrap();
    assert_eq!(zset[1..], [member(b"a", 1.5), member(b"b", f64::INFINITY)]);
}

#[test]
fn versions_4_and_7_have_hashes_and_lists_of_ziplists() {
    let hash = value("REDIS0004", 13, &[&string(&ziplist(&[b"f", b"v"]))]).unwrap();
    assert_eq!(hash, [OwnedEvent::HashBegin { len: Some(1) }, field(b"f", b"v", None)]);
    let nodes = [string(&ziplist(&[b"a", b"b"])), string(&ziplist(&[b"c"]))].concat();
    let list = value("REDIS0007", 14, &[b"\x02", &nodes]).unwrap();
    assert_eq!(list[1..], [item(b"a"), item(b"b"), item(b"c")]);
}

#[test]
fn a_pair_without_its_second_half_is_malformed() {
    let odd = string(&ziplist(&[b"f", b"v", b"g"]));
    for code in [12, 13] {
        let error = value("REDIS0006", code, &[&odd]).unwrap_err();
        assert!(matches!(error, SnapshotError::Malformed { .. }), "{error}");
    }
}

#[test]
fn version_11_has_sets_in_listpacks_and_plain_list_nodes() {
    let set = value("REDIS0011", 20, &[&string(&listpack(&[b"\x81a", b"\x05"]))]).unwrap();
    assert_eq!(set[1..], [b"a".to_vec(), b"5".to_vec()].map(OwnedEvent::SetMember));
    let list = value("REDIS0011", 18, &[b"\x02\x01\x03raw\x02", &string(&listpack(&[b"\x07"]))]);
    assert_eq!(list.unwrap()[1..], [item(b"raw"), item(b"7")]);
}

/// A stream of version 10 and later up to its groups: one node with the entries 5-1 {f: v} and 6-0 {f: w}.
fn stream_node() -> Vec<u8> {
    let node = listpack(&[
        b"\x02",
        b"\x00",
        b"\x01",
        b"\x81f",
        b"\x00", // master: 2 live, 0 deleted, one name
        b"\x02",
        b"\x00",
        b"\x00",
        b"\x81v",
        b"\x04", // same fields, 5-1
        b"\x02",
        b"\x01",
        b"\xdf\xff",
        b"\x81w",
        b"\x04", // same fields, ms + 1, seq - 1
    ]);
    let id = StreamId::new(5, 1).to_bytes();
    [&b"\x01"[..], &string(&id), &string(&node), b"\x02\x06\x00"].concat()
}

/// Group `g`, read up to 5-1, with one pending entry of one consumer `c`.
fn stream_group(entries_read: &[u8], active: &[u8]) -> Vec<u8> {
    let id = StreamId::new(5, 1).to_bytes();
    let time = 1000_i64.to_le_bytes();
    [
        &b"\x01g\x05\x01"[..],
        entries_read,
        b"\x01",
        &id,
        &time,
        b"\x03", //
        b"\x01\x01c",
        &time,
        active,
        b"\x01",
        &id,
    ]
    .concat()
}

fn check_stream(events: &[OwnedEvent], entries_read: Option<u64>, active_ms: Option<i64>) {
    let id = StreamId::new(5, 1);
    let meta = StreamMeta {
        length: 2,
        last_id: StreamId::new(6, 0),
        first_id: id,
        max_deleted_id: StreamId::ZERO,
        entries_added: 2,
    };
    let entry =
        |value: &[u8]| OwnedEvent::StreamField { field: b"f".to_vec(), value: value.to_vec() };
    let expected = [
        OwnedEvent::StreamBegin,
        OwnedEvent::StreamEntry { id, fields: 1 },
        entry(b"v"),
        OwnedEvent::StreamEntry { id: StreamId::new(6, 0), fields: 1 },
        entry(b"w"),
        OwnedEvent::StreamMeta(meta),
        OwnedEvent::StreamGroup { name: b"g".to_vec(), last_id: id, entries_read },
        OwnedEvent::StreamPending { id, delivered_ms: 1000, deliveries: 3 },
        OwnedEvent::StreamConsumer { name: b"c".to_vec(), seen_ms: 1000, active_ms },
        OwnedEvent::StreamConsumerPending { id },
    ];
    assert_eq!(events[..expected.len()], expected);
}

#[test]
fn streams_of_all_versions_say_the_same() {
    let node = stream_node();
    let numbers = b"\x05\x01\x00\x00\x02"; // first 5-1, max deleted 0-0, 2 added
    let unknown = b"\x81\xff\xff\xff\xff\xff\xff\xff\xff";
    let active = 2000_i64.to_le_bytes();

    let old = value("REDIS0009", 15, &[&node, b"\x01", &stream_group(b"", b"")]).unwrap();
    check_stream(&old, Some(1), Some(1000));
    let group = stream_group(unknown, b"");
    let second = value("REDIS0010", 19, &[&node, numbers, b"\x01", &group]).unwrap();
    check_stream(&second, None, Some(1000));
    let group = stream_group(b"\x01", &active);
    let third = value("REDIS0011", 21, &[&node, numbers, b"\x01", &group]).unwrap();
    check_stream(&third, Some(1), Some(2000));
    // Duration, most entries, one producer with one entry, two counters.
    let producers = b"\x0a\x14\x01\x01p\x01\x03iid\x05\x01\x02\x00";
    let fourth = value("REDIS0013", 26, &[&node, numbers, b"\x01", &group, producers]).unwrap();
    check_stream(&fourth, Some(1), Some(2000));
    let unowned = [&b"\x01"[..], &StreamId::new(5, 1).to_bytes()].concat();
    let fifth = value("REDIS0014", 27, &[&node, numbers, b"\x01", &group, &unowned, producers]);
    check_stream(&fifth.unwrap(), Some(1), Some(2000));
}

#[test]
fn a_stream_whose_numbers_contradict_its_entries_is_malformed() {
    let mut node = stream_node();
    let length_at = node.len() - 3;
    node[length_at] = 3;
    let error = value("REDIS0009", 15, &[&node, b"\x00"]).unwrap_err();
    assert!(matches!(error, SnapshotError::Malformed { .. }), "{error}");
}

#[test]
fn hash_fields_expire_in_version_12() {
    let earliest = 1_000_u64.to_le_bytes();
    let plain = value("REDIS0012", 24, &[&earliest, b"\x02\x00\x01f\x01v\x06\x01g\x01w"]).unwrap();
    assert_eq!(plain[1..], [field(b"f", b"v", None), field(b"g", b"w", Some(1005))]);
    let triples = listpack(&[b"\x81g", b"\x81w", b"\xf1\xed\x03", b"\x81f", b"\x81v", b"\x00"]);
    let packed = value("REDIS0012", 25, &[&earliest, &string(&triples)]).unwrap();
    assert_eq!(packed[1..], [field(b"g", b"w", Some(1005)), field(b"f", b"v", None)]);
    // Before the release: absolute times, no earliest one.
    let plain = value("REDIS0012", 22, &[b"\x01\x43\xed\x01g\x01w"]).unwrap();
    assert_eq!(plain[1..], [field(b"g", b"w", Some(1005))]);
    let packed = value("REDIS0012", 23, &[&string(&triples)]).unwrap();
    assert_eq!(packed.len(), 3);
}

#[test]
fn the_same_number_means_something_else_in_a_valkey_file() {
    let payload: &[&[u8]] =
        &[b"\x02\x01f\x01v", &1005_i64.to_le_bytes(), b"\x01g\x01w", &(-1_i64).to_le_bytes()];
    let hash = value("VALKEY080", 22, payload).unwrap();
    assert_eq!(hash[1..], [field(b"f", b"v", Some(1005)), field(b"g", b"w", None)]);
    let import = events(&file("VALKEY080", &[b"\xf3\x03job\x01\x05\x09"])).unwrap();
    assert_eq!(import[1], OwnedEvent::SlotImport { job: b"job".to_vec(), ranges: 1 });
    assert_eq!(import[2], OwnedEvent::SlotRange { start: 5, end: 9 });
    let error = value("VALKEY080", 24, &[b"\x00"]).unwrap_err();
    assert!(matches!(error, SnapshotError::UnsupportedType { code: 24, .. }));
}

#[test]
fn hints_and_module_data_of_newer_servers_are_passed_over() {
    let body: &[&[u8]] = &[
        b"\xf7\x44\x03\x02\x02\x05\x03abc\x00", // module data due after the keys: one string
        b"\xfe\x00\xf4\x07\x02\x01",            // slot 7 has 2 keys, one expires
        b"\xf3\x01spec\x02\x05\x00\x00\x01k\x01v", // metadata of a key: one class, one number
    ];
    let events = events(&file("REDIS0013", body)).unwrap();
    assert!(matches!(events[1], OwnedEvent::ModuleAux { .. }));
    assert_eq!(events[3], OwnedEvent::SlotInfo { slot: 7, keys: 2, expires: 1 });
    assert!(matches!(events[4], OwnedEvent::Skipped { .. }));
    assert_eq!(events[6], OwnedEvent::String(b"v".to_vec()));
}

#[test]
fn what_cannot_be_read_is_refused_by_name() {
    let check = |magic: &str, body: &[u8], expected: &str| {
        let error = events(&file(magic, &[body])).unwrap_err();
        assert!(matches!(error, SnapshotError::UnsupportedType { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    };
    check("REDIS0009", b"\x07\x01k\x81\0\0\0\0\0\0\x04\x01", "matching module type 'AAAAAAAAB'");
    check("REDIS0010", b"\xf6", "Pre-release function format not supported.");
    check("REDIS0014", b"\x1c\x01k", "newer server");
    check("REDIS0010", b"\xf2", "unknown record");
    check("REDIS0010", b"\x08\x01k", "unknown value type");
}
